/* See expr.h. */
#include "expr.h"

fnn_tensor *fnn_xslot(fnn_expr *x) {
    if (x->status) return NULL;
    if (x->n == FNN_EXPR_TEMPS) {
        x->status = fnn_fail(FNN_ERR_RUNTIME, "backward: an expression has more than %d temporaries", FNN_EXPR_TEMPS);
        return NULL;
    }
    fnn_tensor_clear(&x->temp[x->n]);
    return &x->temp[x->n++];
}

static const fnn_tensor *run(fnn_expr *x, const fnn_op *op, const fnn_tensor *const *in, int n, const fnn_attrs *attrs) {
    fnn_tensor *out = fnn_xslot(x);
    if (!out) return NULL;
    x->status = fnn_run(op, out, in, n, attrs);
    return x->status ? NULL : out;
}

const fnn_tensor *fnn_x1(fnn_expr *x, const fnn_op *op, const fnn_tensor *a) { return run(x, op, &a, 1, NULL); }

const fnn_tensor *fnn_xa(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_attrs *attrs) { return run(x, op, &a, 1, attrs); }

const fnn_tensor *fnn_x2(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_tensor *b) {
    const fnn_tensor *in[2] = {a, b};
    return run(x, op, in, 2, NULL);
}

const fnn_tensor *fnn_x3(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_tensor *b, const fnn_tensor *c) {
    const fnn_tensor *in[3] = {a, b, c};
    return run(x, op, in, 3, NULL);
}

const fnn_tensor *fnn_xto(fnn_expr *x, const fnn_tensor *a, int dtype) {
    if (a && a->dtype == dtype && !(a->flags & FNN_T_NUMBER)) return a;
    fnn_attrs attrs = {.v[0].i = dtype};
    return fnn_xa(x, &fnn_op_TO, a, &attrs);
}

const fnn_tensor *fnn_xnum(fnn_expr *x, double value) {
    fnn_tensor *out = fnn_xslot(x);
    if (!out) return NULL;
    double *slot = &x->number[x->n_numbers++ % 8];
    *slot = value;
    *out = fnn_number_f64(slot);
    return out;
}

const fnn_tensor *fnn_xsum_to(fnn_expr *x, const fnn_tensor *a, const fnn_geom *g) {
    fnn_tensor *out = fnn_xslot(x);
    if (!out) return NULL;
    x->status = fnn_sum_to(out, a, g);
    return x->status ? NULL : out;
}

fnn_status fnn_give(fnn_expr *x, fnn_tensor *dst, const fnn_tensor *result) {
    bool own = result >= x->temp && result < x->temp + x->n;
    if (!x->status && own) { /* moved */
        *dst = *result;
        fnn_tensor_clear(&x->temp[result - x->temp]);
    } else if (!x->status) {
        fnn_tensor_ref_data(dst, result);
    }
    for (int i = 0; i < x->n; i++) fnn_tensor_unref(&x->temp[i]);
    return x->status;
}

fnn_status fnn_give_sum(fnn_expr *x, fnn_tensor *dst, const fnn_tensor *result, const fnn_geom *g) {
    const fnn_tensor *sum = x->status ? NULL : fnn_xsum_to(x, result, g);
    return fnn_give(x, dst, sum);
}
