/* From tensors to one product, and the views that products of gradients are made of. See matmul.h.
 *
 * Invariant: whether an operand folds is decided by shapes alone; one whose strides do not allow it is copied. So results do
 * not depend on strides.
 * Does not: compute (product.h). Read next: matmul.c. */
#include "matmul.h"

void fnn_side_read(fnn_side *s, const fnn_tensor *t, bool left) {
    s->copy = false;
    s->ndim = t->ndim > 2 ? t->ndim - 2 : 0;
    if (t->ndim == 1) {
        s->rows = left ? 1 : t->shape[0];
        s->cols = left ? t->shape[0] : 1;
        s->row = left ? t->shape[0] * t->stride[0] : t->stride[0];
        s->col = left ? t->stride[0] : 1;
        return;
    }
    for (int d = 0; d < s->ndim; d++) {
        s->shape[d] = t->shape[d];
        s->stride[d] = t->stride[d];
    }
    s->rows = t->shape[s->ndim];
    s->cols = t->shape[s->ndim + 1];
    s->row = t->stride[s->ndim];
    s->col = t->stride[s->ndim + 1];
}

void fnn_side_turn(fnn_side *s) {
    const int64_t rows = s->rows, row = s->row;
    s->rows = s->cols;
    s->row = s->col;
    s->cols = rows;
    s->col = row;
}

void fnn_side_fold(fnn_side *s, bool contiguous) {
    int64_t rows = s->rows;
    for (int d = s->ndim - 1; d >= 0; d--) {
        if (!contiguous && s->shape[d] != 1 && rows != 1 && s->stride[d] != rows * s->row) s->copy = true;
        if (rows == 1 && s->shape[d] != 1) s->row = s->stride[d];
        rows *= s->shape[d];
    }
    if (s->copy || contiguous) {
        s->row = s->cols;
        s->col = 1;
    }
    s->rows = rows;
    s->ndim = 0;
}

fnn_status fnn_side_product(const char *op, const fnn_side *a, const fnn_side *b, fnn_product *p) {
    *p = (fnn_product){.M = a->rows, .N = b->cols, .K = a->cols, .a_row = a->row, .a_col = a->col, .b_row = b->row, .b_col = b->col, .c_row = b->cols};
    int n = a->ndim > b->ndim ? a->ndim : b->ndim;
    if (n > FNN_PRODUCT_BATCH_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "%s: found %d leading dimensions, wanted at most %d", op, n, FNN_PRODUCT_BATCH_DIMS);
    p->batch_ndim = n;
    int64_t step;
    bool counted = !__builtin_mul_overflow(p->M, p->N, &step);
    for (int d = n - 1; d >= 0; d--) {
        int da = d - (n - a->ndim), db = d - (n - b->ndim);
        int64_t sa = da < 0 ? 1 : a->shape[da], sb = db < 0 ? 1 : b->shape[db];
        if (sa != sb && sa != 1 && sb != 1)
            return fnn_fail(FNN_ERR_RUNTIME, "%s: The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %d",
                            op, (long long)sa, (long long)sb, d);
        p->batch[d] = sa == 1 ? sb : sa;
        p->a_batch[d] = da < 0 || sa == 1 ? 0 : a->stride[da];
        p->b_batch[d] = db < 0 || sb == 1 ? 0 : b->stride[db];
        p->c_batch[d] = step;
        counted = counted && !__builtin_mul_overflow(step, p->batch[d], &step);
    }
    if (!counted) return fnn_fail(FNN_ERR_RUNTIME, "%s: the elements of the result cannot be counted", op);
    return FNN_OK;
}

void fnn_matmul_run(const fnn_product *p, int dtype, char *c, const char *a, const char *b, const char *bias, void *scratch) {
    if (dtype == FNN_F32)
        fnn_product_f32(p, (float *)c, (const float *)a, (const float *)b, (const float *)bias, scratch);
    else
        fnn_product_f64(p, (double *)c, (const double *)a, (const double *)b, (const double *)bias, scratch);
}

double fnn_matmul_work(const fnn_product *p) {
    double flops = 2.0 * (double)p->M * (double)p->N * (double)p->K;
    for (int d = 0; d < p->batch_ndim; d++) flops *= (double)p->batch[d];
    return flops / 50; /* 50 GFLOP/s: what a small product reaches */
}

size_t fnn_matmul_scratch(const fnn_product *p, int dtype) { return dtype == FNN_F32 ? fnn_product_scratch_f32(p) : fnn_product_scratch_f64(p); }

fnn_status fnn_matmul_product(const char *op, const fnn_tensor *a, const fnn_tensor *b, fnn_product *p, bool *copy_a) {
    if (!a->ndim || !b->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: both arguments to matmul need to be at least 1D, but they are %dD and %dD", op, a->ndim, b->ndim);
    if (a->dtype != b->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: expected a and b to have the same dtype, but got: %s != %s", op, fnn_dtype_name(a->dtype), fnn_dtype_name(b->dtype));
    fnn_side l, r;
    fnn_side_read(&l, a, true);
    fnn_side_read(&r, b, false);
    if (l.cols != r.rows)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: mat1 and mat2 shapes cannot be multiplied: %s and %s, expected %lld rows in the second, found %lld",
                        op, fnn_shape_of(a), fnn_shape_of(b), (long long)l.cols, (long long)r.rows);
    if (!r.ndim && l.ndim) fnn_side_fold(&l, a->contiguous);
    *copy_a = l.copy;
    return fnn_side_product(op, &l, &r, p);
}

void fnn_matmul_result(fnn_call *c, const fnn_tensor *a, const fnn_tensor *b, const fnn_product *p) {
    int n = 0;
    int64_t shape[FNN_MAX_DIMS];
    if (p->batch_ndim)
        for (; n < p->batch_ndim; n++) shape[n] = p->batch[n];
    else
        for (; n < a->ndim - 2; n++) shape[n] = a->shape[n];
    if (a->ndim > 1) shape[n++] = a->shape[a->ndim - 2];
    if (b->ndim > 1) shape[n++] = b->shape[b->ndim - 1];
    fnn_tensor_set_geometry(c->out, n, shape, NULL);
    c->out->dtype = a->dtype;
    c->work = fnn_matmul_work(p);
}

/* ---- views for the gradients ---- */

const fnn_tensor *fnn_rows_of(fnn_expr *x, const fnn_tensor *t, int64_t cols) {
    fnn_tensor *out = fnn_xslot(x);
    if (!out) return NULL;
    x->status = fnn_contiguous(out, t);
    if (x->status) return NULL;
    int64_t shape[2] = {cols ? out->numel / cols : 0, cols};
    fnn_tensor_set_geometry(out, 2, shape, NULL);
    return out;
}

const fnn_tensor *fnn_swapped(fnn_expr *x, const fnn_tensor *t) {
    fnn_tensor *out = t ? fnn_xslot(x) : NULL;
    if (!out) return NULL;
    fnn_tensor_ref_data(out, t);
    int r = t->ndim - 2, c = t->ndim - 1;
    out->shape[r] = t->shape[c];
    out->shape[c] = t->shape[r];
    out->stride[r] = t->stride[c];
    out->stride[c] = t->stride[r];
    fnn_tensor_derive(out);
    return out;
}
