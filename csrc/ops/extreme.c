/* Largest and smallest elements: max, min (of all, or along one dimension with indices), amax, amin, argmax, argmin.
 *
 * attrs: MAX, MIN, AMAX, AMIN: list[0] dims (n <= 0: all), v[0].i keepdim; NULL: all dims. MAX_DIM, MIN_DIM: v[0].i dim, v[1].i keepdim; outputs
 * values, indices. ARGMAX, ARGMIN: v[0].i dim (FNN_NONE: of the flattened tensor), v[1].i keepdim.
 * A NaN counts as largest and as smallest; among equals the first counts. The gradient of MAX_DIM goes to the element found;
 * that of the others is shared evenly among equals, as in torch. */
#include "expr.h"
#include "kernels/kernels.h"
#include "reduce.h"

static bool largest(const fnn_op *op) { return op == &fnn_op_MAX || op == &fnn_op_MAX_DIM || op == &fnn_op_AMAX || op == &fnn_op_ARGMAX; }

#define INTEGER_ROWS(type)                                                                                           \
    static void rows_##type(type *y, int64_t *index, const type *x, int64_t rows, int64_t n, bool up) {              \
        for (int64_t r = 0; r < rows; r++, x += n) {                                                                 \
            int64_t best = 0;                                                                                        \
            for (int64_t i = 1; i < n; i++)                                                                          \
                if (up ? x[i] > x[best] : x[i] < x[best]) best = i;                                                  \
            if (y) y[r] = x[best];                                                                                   \
            if (index) index[r] = best;                                                                              \
        }                                                                                                            \
    }
INTEGER_ROWS(int32_t)
INTEGER_ROWS(uint8_t)

typedef struct task {
    int dtype;
    bool up;
    int64_t n;
    char *y;        /* (rows,) or NULL */
    int64_t *index; /* (rows,) or NULL */
    const char *x;  /* (rows, n) */
} task;

static void find(const void *ctx, int64_t first, int64_t rows) {
    const task *t = ctx;
    int64_t n = t->n, size = fnn_itemsize[t->dtype], *index = t->index ? t->index + first : NULL;
    void *y = t->y ? t->y + first * size : NULL;
    const void *x = t->x + first * n * size;
    switch (t->dtype) {
    case FNN_F32: (t->up ? fnn_k.f32.max_rows : fnn_k.f32.min_rows)(y, index, x, rows, n, n); break;
    case FNN_F64: (t->up ? fnn_k.f64.max_rows : fnn_k.f64.min_rows)(y, index, x, rows, n, n); break;
    case FNN_I64: (t->up ? fnn_k.i64_max_rows : fnn_k.i64_min_rows)(y, index, x, rows, n, n); break;
    case FNN_I32: rows_int32_t(y, index, x, rows, n, t->up); break;
    default: rows_uint8_t(y, index, x, rows, n, t->up);
    }
}

/* One dimension, or all of them for FNN_NONE, as a list of dims. */
static fnn_ints dims_of(const fnn_op *op, const fnn_attrs *a) {
    if (!a) return (fnn_ints){.n = 0};
    if (op == &fnn_op_MAX || op == &fnn_op_MIN || op == &fnn_op_AMAX || op == &fnn_op_AMIN) return a->list[0];
    fnn_ints dims = {.n = a->v[0].i == FNN_NONE ? 0 : 1, .v = {a->v[0].i}};
    return dims;
}
static bool keepdim(const fnn_op *op, const fnn_attrs *a) {
    if (!a) return false;
    bool list = op == &fnn_op_MAX || op == &fnn_op_MIN || op == &fnn_op_AMAX || op == &fnn_op_AMIN;
    return list ? a->v[0].i : a->v[1].i;
}

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    fnn_ints dims = dims_of(c->op, c->attrs);
    fnn_reduction r;
    FNN_TRY(fnn_reduction_make(c->op->name, x, &dims, keepdim(c->op, c->attrs), &r));
    bool index_only = c->op == &fnn_op_ARGMAX || c->op == &fnn_op_ARGMIN;
    if (index_only && x->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_RUNTIME, "%s(): does not support bool input", c->op->name);
    if (!r.n)
        return fnn_fail(dims.n > 0 || index_only ? FNN_ERR_INDEX : FNN_ERR_RUNTIME, "%s(): Expected reduction dim to be specified for input.numel() == 0, or to have non-zero size. "
                        "Specify the reduction dim with the 'dim' argument; found shape %s", c->op->name, fnn_shape_of(x));
    for (int i = 0; i < c->n_out; i++) fnn_reduction_shape(&r, x, &c->out[i]);
    c->out[0].dtype = index_only ? FNN_I64 : x->dtype;
    if (c->n_out > 1) c->out[1].dtype = FNN_I64;
    c->work = (double)x->numel * 0.5;
    return FNN_OK;
}

static fnn_status forward(fnn_call *c) {
    fnn_ints dims = dims_of(c->op, c->attrs);
    fnn_reduction r;
    fnn_tensor rows;
    FNN_TRY(fnn_reduction_make(c->op->name, c->in[0], &dims, keepdim(c->op, c->attrs), &r));
    if (!r.rows) return FNN_OK;
    FNN_TRY(fnn_reduction_rows(&r, c->in[0], &rows));
    bool index_only = c->out[0].dtype == FNN_I64 && (c->op == &fnn_op_ARGMAX || c->op == &fnn_op_ARGMIN);
    int64_t *index = index_only ? (int64_t *)c->out[0].data : c->n_out > 1 ? (int64_t *)c->out[1].data : NULL;
    task t = {.dtype = rows.dtype, .up = largest(c->op), .n = r.n, .y = index_only ? NULL : c->out[0].data, .index = index, .x = rows.data};
    fnn_reduction_each(&r, 0.2, find, &t);
    fnn_tensor_unref(&rows);
    return FNN_OK;
}

/* The found elements get dy. */
static fnn_status back_found(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    fnn_ints dims = dims_of(b->op, b->attrs);
    fnn_reduction r;
    fnn_tensor dy, index, *dx = &b->dx[0];
    FNN_TRY(fnn_reduction_of_geom(g, &dims, keepdim(b->op, b->attrs), &r));
    FNN_TRY(fnn_zeros(dx, g));
    FNN_TRY(fnn_contiguous(&dy, b->dy[0]));
    fnn_status status = fnn_contiguous(&index, &b->out[1]);
    if (status) {
        fnn_tensor_unref(&dy);
        return status;
    }
    const int64_t *at = (const int64_t *)index.data;
    for (int64_t i = 0; i < r.rows; i++) { /* row i is (outer, inner) around the reduced dimension */
        int64_t to = (i / r.inner * r.n + at[i]) * r.inner + i % r.inner;
        if (g->dtype == FNN_F32)
            ((float *)dx->data)[to] = ((float *)dy.data)[i];
        else
            ((double *)dx->data)[to] = ((double *)dy.data)[i];
    }
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&index);
    return FNN_OK;
}

/* dy shared by all that equal the result: mask * (dy / count) */
static fnn_status back_shared(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    fnn_reduction r;
    fnn_ints dims = dims_of(b->op, b->attrs);
    FNN_TRY(fnn_reduction_of_geom(g, &dims, keepdim(b->op, b->attrs), &r));
    FNN_EXPR(x);
    fnn_tensor *y = fnn_xslot(&x), *dy = fnn_xslot(&x);
    fnn_reduction_keep(&r, g, &b->out[0], y);
    fnn_reduction_keep(&r, g, b->dy[0], dy);
    fnn_attrs sum = {.v = {{.i = 1}, {.i = -1}}, .list[0] = dims};
    const fnn_tensor *mask = fnn_x2(&x, &fnn_op_EQ, &b->in[0], y);
    const fnn_tensor *share = mask ? fnn_x2(&x, &fnn_op_DIV, dy, fnn_xa(&x, &fnn_op_SUM, mask, &sum)) : NULL;
    return fnn_give(&x, &b->dx[0], share ? fnn_x2(&x, &fnn_op_MUL, mask, share) : NULL);
}

#define EXTREME(NAME, text, grad, outs, ...) \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = outs, .plan = plan, .forward = forward, __VA_ARGS__};
EXTREME(MAX, "max", "MaxBackward1", 1, .save_in = {1}, .save_out = 1, .backward = back_shared)
EXTREME(MIN, "min", "MinBackward1", 1, .save_in = {1}, .save_out = 1, .backward = back_shared)
EXTREME(AMAX, "amax", "AmaxBackward0", 1, .save_in = {1}, .save_out = 1, .backward = back_shared)
EXTREME(AMIN, "amin", "AminBackward0", 1, .save_in = {1}, .save_out = 1, .backward = back_shared)
EXTREME(MAX_DIM, "max", "MaxBackward0", 2, .no_grad_out = 2, .save_out = 2, .backward = back_found)
EXTREME(MIN_DIM, "min", "MinBackward0", 2, .no_grad_out = 2, .save_out = 2, .backward = back_found)
EXTREME(ARGMAX, "argmax", NULL, 1, .flags = FNN_F_NO_GRAD)
EXTREME(ARGMIN, "argmin", NULL, 1, .flags = FNN_F_NO_GRAD)
