/* linear: y = x w^T + bias, the rows of x being the leading dimensions of one matrix; integers by the ops it is made of.
 *   backward: dx = dy w, dw = dy^T x, dbias = column sums of dy
 * Read next: matmul.h. */
#include "grad_names.h"
#include "matmul.h"

static fnn_status linear_product(const fnn_tensor *x, const fnn_tensor *w, fnn_product *p, bool *copy_x) {
    fnn_side l, r;
    fnn_side_read(&l, x, true);
    r.ndim = 0;
    r.rows = w->shape[1];
    r.cols = w->shape[0];
    r.row = w->stride[1];
    r.col = w->stride[0];
    if (l.ndim) fnn_side_fold(&l, x->contiguous);
    *copy_x = l.copy;
    return fnn_side_product("linear", &l, &r, p);
}

static fnn_status plan_linear(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *w = c->in[1], *bias = c->in[2];
    if (x->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "linear: not implemented for bool");
    FNN_TRY(fnn_want_same_dtype("linear", "weight", w, x->dtype));
    if (bias) FNN_TRY(fnn_want_same_dtype("linear", "bias", bias, x->dtype));
    if (w->ndim != 2 && w->ndim != 1) return fnn_fail(FNN_ERR_RUNTIME, "linear: weight has shape %s, expected (out_features, in_features)", fnn_shape_of(w));
    if (w->ndim == 1) return fnn_fail(FNN_ERR_RUNTIME, "linear: weight has shape %s, expected 2 dimensions", fnn_shape_of(w));
    if (!x->ndim || x->shape[x->ndim - 1] != w->shape[1])
        return fnn_fail(FNN_ERR_RUNTIME, "linear: mat1 and mat2 shapes cannot be multiplied: input %s, weight %s; expected the last size of input to be %lld",
                        fnn_shape_of(x), fnn_shape_of(w), (long long)w->shape[1]);
    if (bias && (bias->ndim != 1 || (bias->shape[0] != w->shape[0])))
        return fnn_fail(FNN_ERR_RUNTIME, "linear: bias has shape %s, expected (%lld,)", fnn_shape_of(bias), (long long)w->shape[0]);
    fnn_product p;
    bool copy;
    FNN_TRY(linear_product(x, w, &p, &copy));
    int64_t shape[FNN_MAX_DIMS];
    for (int d = 0; d < x->ndim; d++) shape[d] = x->shape[d];
    shape[x->ndim - 1] = w->shape[0];
    fnn_tensor_set_geometry(c->out, x->ndim, shape, NULL);
    c->out->dtype = x->dtype;
    p.has_bias = bias != NULL;
    c->scratch_bytes = fnn_matmul_scratch(&p, x->dtype);
    c->work = fnn_matmul_work(&p);
    return FNN_OK;
}

/* Integers: by the ops it is made of. */
static fnn_status forward_linear_whole(fnn_call *c) {
    FNN_EXPR(x);
    const fnn_tensor *y = fnn_x2(&x, &fnn_op_MATMUL, c->in[0], fnn_swapped(&x, c->in[1]));
    if (c->in[2]) y = fnn_x2(&x, &fnn_op_ADD, y, c->in[2]);
    fnn_tensor result;
    FNN_TRY(fnn_give(&x, &result, y));
    fnn_status status = fnn_copy_into(c->out, &result);
    fnn_tensor_unref(&result);
    return status;
}

static fnn_status forward_linear(fnn_call *c) {
    if (!fnn_dtype_is_float(c->out->dtype)) return forward_linear_whole(c);
    fnn_product p;
    bool copy;
    fnn_tensor x = {0}, bias = {0};
    FNN_TRY(linear_product(c->in[0], c->in[1], &p, &copy));
    p.has_bias = c->in[2] != NULL;
    fnn_status status = copy ? fnn_contiguous(&x, c->in[0]) : FNN_OK;
    if (!status && p.has_bias) status = fnn_contiguous(&bias, c->in[2]);
    if (!status) fnn_matmul_run(&p, c->out->dtype, c->out->data, copy ? x.data : c->in[0]->data, c->in[1]->data, bias.data, c->scratch);
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&bias);
    return status;
}

static fnn_status back_linear(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0];
    int64_t in = b->in_geom[1].shape[1], out = b->in_geom[1].shape[0];
    const bool both = b->need[0] && b->need[1] && b->in_geom[0].ndim > 1;
    if (both) FNN_TRY(fnn_matmul_back_rows(b, true));
    if (b->need[0] && !both) {
        FNN_EXPR(x);
        FNN_TRY(fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MATMUL, dy, &b->in[1])));
    }
    if (b->need[1] && !both) {
        FNN_EXPR(x);
        const fnn_tensor *d2 = dy->ndim == 2 ? dy : fnn_rows_of(&x, dy, out), *x2 = b->in[0].ndim == 2 ? &b->in[0] : fnn_rows_of(&x, &b->in[0], in);
        FNN_TRY(fnn_give(&x, &b->dx[1], d2 && x2 ? fnn_x2(&x, &fnn_op_MATMUL, fnn_swapped(&x, d2), x2) : NULL));
    }
    return b->need[2] ? fnn_sum_to(&b->dx[2], dy, &b->in_geom[2]) : FNN_OK;
}

const fnn_op fnn_op_LINEAR = {.name = "linear", .grad_name_of = fnn_grad_name_linear, .n_in = 3, .n_out = 1, .optional_in = 4, .save_in = {2, 1, 0},
                              .plan = plan_linear, .forward = forward_linear, .backward = back_linear};
