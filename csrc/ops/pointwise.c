/* See pointwise.h. */
#include "pointwise.h"

#include <string.h>

fnn_status fnn_plan_pointwise(fnn_call *c, int dtype, double ns) {
    fnn_tensor *out = c->out;
    const fnn_tensor *a = c->in[0];
    bool plain = a->contiguous;
    for (int i = 1; i < c->n_in && plain; i++)
        plain = (c->in[i]->numel == 1 && c->in[i]->ndim <= a->ndim) || (c->in[i]->contiguous && fnn_same_shape(a, c->in[i]));
    if (plain) { /* the usual case: the first input's geometry */
        memcpy(out->shape, a->shape, sizeof out->shape);
        memcpy(out->stride, a->stride, sizeof out->stride);
        out->ndim = a->ndim;
        out->numel = a->numel;
        out->contiguous = 1;
    } else {
        FNN_TRY(fnn_broadcast(c->op->name, out, c->in, c->n_in));
        fnn_keep_layout(out, c->in, c->n_in);
    }
    out->dtype = (uint8_t)dtype;
    c->work = (double)out->numel * ns;
    return FNN_OK;
}

/* One element of any dtype, converted into an 8-byte slot. */
static void convert_one(const fnn_tensor *t, int dtype, void *slot) {
    char *ptr[2] = {slot, t->data};
    int64_t stride[2] = {0, 0};
    fnn_k.cast[t->dtype][dtype](ptr, stride, 1);
}

fnn_status fnn_run_loop(const char *op, fnn_loop loop, const fnn_tensor *out, const fnn_tensor *const *in, int n_in, int dtype, double ns) {
    if (!loop) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for %s", op, fnn_dtype_name((fnn_dtype)dtype));
    const fnn_tensor *use[FNN_MAX_OPERANDS] = {NULL};
    fnn_tensor temp[FNN_MAX_OPERANDS];
    double slot[FNN_MAX_OPERANDS];
    int n_temp = 0;
    fnn_status status = FNN_OK;
    for (int i = 0; i < n_in; i++) {
        use[i] = in[i];
        if (in[i]->dtype == dtype || status) continue;
        fnn_tensor *t = &temp[n_temp];
        if (in[i]->numel == 1) {
            convert_one(in[i], dtype, &slot[i]);
            *t = *in[i];
            t->data = (char *)&slot[i];
            t->storage = NULL;
            t->version = NULL;
            t->meta = NULL;
            t->dtype = (uint8_t)dtype;
        } else {
            status = fnn_cast(t, in[i], dtype);
            if (status) break;
        }
        use[i] = t;
        n_temp++;
    }
    if (!status) fnn_iterate(loop, out, use, n_in, ns);
    for (int i = 0; i < n_temp; i++) fnn_tensor_unref(&temp[i]);
    return status;
}

fnn_status fnn_slope(fnn_tensor *dst, int loop, const fnn_tensor *a, const fnn_tensor *b) {
    const fnn_tensor *in[2] = {a, b};
    fnn_tensor out = {.dtype = a->dtype};
    fnn_tensor_set_geometry(&out, a->ndim, a->shape, NULL);
    fnn_keep_layout(&out, in, 2);
    FNN_TRY(fnn_tensor_alloc(&out));
    fnn_iterate(fnn_k.binary[loop][a->dtype], &out, in, 2, 1.0);
    *dst = out;
    return FNN_OK;
}
