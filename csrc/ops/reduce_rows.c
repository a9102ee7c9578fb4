/* Reductions of one kernel call per block of rows: prod, var, std, logsumexp.
 *
 * attrs: list[0] dims (n <= 0: all), v[0].i keepdim. PROD: v[1].i dtype (-1: by torch's rule). VAR,
 * STD: v[1].f correction.
 * Invariant: whatever the reduced dimensions, the input is brought into rows first, so results depend on shapes and values only;
 * chunks of rows are independent.
 * Does not: sum (reduce.c) or look for extremes (extreme.c). Read next: reduce.h, kernels/moments.h. */
#include "reduce.h"

#include <math.h>

#include "expr.h"
#include "grad_names.h"
#include "kernels/kernels.h"
#include "rows.h"

/* Rows of x (rows, n) reduced to y (rows,): one kernel call per chunk. */
typedef struct rows_task {
    const fnn_op *op;
    int dtype;
    int64_t n;
    char *y;
    const char *x;
} rows_task;

static void row_chunk(const void *ctx, int64_t first, int64_t rows) {
    const rows_task *t = ctx;
    int64_t n = t->n, size = fnn_itemsize[t->dtype];
    void *y = t->y + first * size;
    const void *x = t->x + first * n * size;
    if (t->op == &fnn_op_PROD && t->dtype == FNN_I64)
        fnn_k.i64_prod_rows(y, x, rows, n, n);
    else if (t->op == &fnn_op_PROD)
        FNN_KERNEL_OF(t->dtype, prod_rows, y, x, rows, n, n);
    else if (t->op == &fnn_op_LOGSUMEXP)
        FNN_KERNEL_OF(t->dtype, logsumexp_rows, y, x, rows, n, n);
    else if (n)
        FNN_KERNEL_OF(t->dtype, moments_rows, NULL, y, x, rows, n, n);
}

/* x (as of out's dtype) in rows of the dtype its factors are multiplied in: integers and bools in int64. */
static fnn_status factors(const fnn_reduction *r, const fnn_tensor *x, int dtype, fnn_tensor *rows) {
    fnn_tensor cast, wide;
    FNN_TRY(fnn_cast(&cast, x, dtype));
    fnn_status status = fnn_cast(&wide, &cast, fnn_dtype_is_float(dtype) ? dtype : FNN_I64);
    fnn_tensor_unref(&cast);
    if (status) return status;
    status = fnn_reduction_rows(r, &wide, rows);
    fnn_tensor_unref(&wide);
    return status;
}

static fnn_status forward_prod(fnn_call *c) {
    fnn_reduction r;
    fnn_tensor rows, *out = c->out, product = *out;
    FNN_TRY(fnn_reduction_make("prod", c->in[0], &c->attrs->list[0], c->attrs->v[0].i != 0, &r));
    FNN_TRY(factors(&r, c->in[0], out->dtype, &rows));
    bool narrow = rows.dtype != out->dtype;
    fnn_status status = narrow ? fnn_empty(&product, rows.dtype, out->ndim, out->shape) : FNN_OK;
    if (!status) {
        rows_task t = {.op = c->op, .dtype = rows.dtype, .n = r.n, .y = product.data, .x = rows.data};
        fnn_reduction_each(&r, 0.2, row_chunk, &t);
        if (narrow) {
            status = fnn_copy_into(out, &product);
            fnn_tensor_unref(&product);
        }
    }
    fnn_tensor_unref(&rows);
    return status;
}

/* d/dx_k = dy * product of the others, by running products from both ends: right with zeros too. */
#define PROD_ROWS(real)                                                                         \
    static void prod_back_##real(real *dx, const real *x, const real *dy, int64_t rows, int64_t n) { \
        for (int64_t i = 0; i < rows; i++, x += n, dx += n) {                                   \
            real before = dy[i], after = 1;                                                     \
            for (int64_t k = 0; k < n; k++) {                                                   \
                dx[k] = before;                                                                 \
                before *= x[k];                                                                 \
            }                                                                                   \
            for (int64_t k = n - 1; k >= 0; k--) {                                              \
                dx[k] *= after;                                                                 \
                after *= x[k];                                                                  \
            }                                                                                   \
        }                                                                                       \
    }
PROD_ROWS(float)
PROD_ROWS(double)

/* dx, computed as rows, put back where the rows came from. */
static fnn_status from_rows(const fnn_reduction *r, const fnn_geom *g, fnn_tensor *rows, fnn_tensor *dx) {
    int n = 0;
    int64_t step[FNN_MAX_DIMS], shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS], at = 1;
    int order[FNN_MAX_DIMS];
    for (int pass = 0; pass < 2; pass++)
        for (int d = 0; d < g->ndim; d++)
            if ((int)(r->reduced >> d & 1) == pass) order[n++] = d;
    for (int i = n - 1; i >= 0; i--) {
        step[order[i]] = at;
        at *= g->shape[order[i]] > 1 ? g->shape[order[i]] : 1;
    }
    for (int d = 0; d < g->ndim; d++) {
        shape[d] = g->shape[d];
        stride[d] = step[d];
    }
    fnn_tensor_set_geometry(rows, g->ndim, shape, stride);
    *dx = *rows;
    return FNN_OK;
}

static fnn_status back_prod(fnn_backcall *b) {
    fnn_reduction r;
    fnn_tensor rows, dy, dx;
    const fnn_geom *g = &b->in_geom[0];
    FNN_TRY(fnn_reduction_of_geom(g, &b->attrs->list[0], b->attrs->v[0].i != 0, &r));
    FNN_TRY(fnn_reduction_rows(&r, &b->in[0], &rows));
    fnn_status status = fnn_contiguous(&dy, b->dy[0]);
    if (!status) status = fnn_empty(&dx, g->dtype, 2, (int64_t[2]){r.rows, r.n});
    if (!status) {
        if (g->dtype == FNN_F32)
            prod_back_float((float *)dx.data, (const float *)rows.data, (const float *)dy.data, r.rows, r.n);
        else
            prod_back_double((double *)dx.data, (const double *)rows.data, (const double *)dy.data, r.rows, r.n);
        status = from_rows(&r, g, &dx, &b->dx[0]);
        fnn_tensor_unref(&dy);
    }
    fnn_tensor_unref(&rows);
    return status;
}

static fnn_status forward_var(fnn_call *c) {
    fnn_reduction r;
    fnn_tensor rows, *out = c->out;
    FNN_TRY(fnn_reduction_make(c->op->name, c->in[0], &c->attrs->list[0], c->attrs->v[0].i != 0, &r));
    double below = (double)r.n - c->attrs->v[1].f;
    if (below < 0) below = 0;
    bool root = c->op == &fnn_op_STD;
    FNN_TRY(fnn_reduction_rows(&r, c->in[0], &rows));
    rows_task t = {.op = c->op, .dtype = out->dtype, .n = r.n, .y = out->data, .x = rows.data};
    fnn_reduction_each(&r, 0.2, row_chunk, &t);
    for (int64_t i = 0; i < r.rows; i++) {
        if (out->dtype == FNN_F32) {
            float *y = (float *)out->data + i;
            *y = r.n ? *y / (float)below : NAN;
            if (root) *y = sqrtf(*y);
        } else {
            double *y = (double *)out->data + i;
            *y = r.n ? *y / below : NAN;
            if (root) *y = sqrt(*y);
        }
    }
    fnn_tensor_unref(&rows);
    return FNN_OK;
}

/* var: (2 / (n - correction)) dy (x - mean); std: the same with dy / (2 y), zero where y is 0 */
static fnn_status back_var(fnn_backcall *b) {
    fnn_reduction r;
    const fnn_geom *g = &b->in_geom[0];
    FNN_TRY(fnn_reduction_of_geom(g, &b->attrs->list[0], b->attrs->v[0].i != 0, &r));
    FNN_EXPR(x);
    const fnn_tensor *dy = b->dy[0];
    if (b->op == &fnn_op_STD) {
        const fnn_tensor *half = fnn_x2(&x, &fnn_op_DIV, dy, fnn_x2(&x, &fnn_op_MUL, &b->out[0], fnn_xnum(&x, 2)));
        dy = fnn_x3(&x, &fnn_op_MASKED_FILL, half, fnn_x2(&x, &fnn_op_EQ, &b->out[0], fnn_xnum(&x, 0)), fnn_xnum(&x, 0));
    }
    fnn_attrs mean_attrs = {.v = {{.i = 1}, {.i = -1}}, .list[0] = b->attrs->list[0]};
    const fnn_tensor *centred = fnn_x2(&x, &fnn_op_SUB, &b->in[0], fnn_xa(&x, &fnn_op_MEAN, &b->in[0], &mean_attrs));
    const fnn_tensor *scaled = fnn_x2(&x, &fnn_op_MUL, dy, fnn_xnum(&x, 2.0 / ((double)r.n - b->attrs->v[1].f)));
    fnn_tensor *wide = fnn_xslot(&x);
    if (!x.status) fnn_reduction_keep(&r, g, scaled, wide);
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MUL, wide, centred));
}

static fnn_status forward_logsumexp(fnn_call *c) {
    fnn_reduction r;
    fnn_tensor rows;
    FNN_TRY(fnn_reduction_make("logsumexp", c->in[0], &c->attrs->list[0], c->attrs->v[0].i != 0, &r));
    fnn_tensor in;
    FNN_TRY(fnn_cast(&in, c->in[0], c->out->dtype));
    fnn_status status = fnn_reduction_rows(&r, &in, &rows);
    fnn_tensor_unref(&in);
    if (status) return status;
    rows_task t = {.op = c->op, .dtype = rows.dtype, .n = r.n, .y = c->out->data, .x = rows.data};
    fnn_reduction_each(&r, 0.3, row_chunk, &t);
    fnn_tensor_unref(&rows);
    return FNN_OK;
}
static fnn_status back_logsumexp(fnn_backcall *b) { /* dy e^(x - y) */
    fnn_reduction r;
    const fnn_geom *g = &b->in_geom[0];
    FNN_TRY(fnn_reduction_of_geom(g, &b->attrs->list[0], b->attrs->v[0].i != 0, &r));
    FNN_EXPR(x);
    fnn_tensor *y = fnn_xslot(&x), *dy = fnn_xslot(&x);
    fnn_reduction_keep(&r, g, &b->out[0], y);
    fnn_reduction_keep(&r, g, b->dy[0], dy);
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MUL, dy, fnn_x1(&x, &fnn_op_EXP, fnn_x2(&x, &fnn_op_SUB, &b->in[0], y))));
}

static fnn_status plan_real(fnn_call *c) {
    FNN_TRY(fnn_want_float(c->op->name, "input", c->in[0]));
    return fnn_reduction_plan(c, c->in[0]->dtype);
}

static fnn_status plan_logsumexp(fnn_call *c) { /* integers as floats */
    int dtype = c->in[0]->dtype;
    return fnn_reduction_plan(c, fnn_dtype_is_float(dtype) ? dtype : (int)fnn_default_dtype);
}

#define REDUCTION(NAME, text, grad, the_plan, the_forward, ...) \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = 1, .plan = the_plan, .forward = the_forward, __VA_ARGS__};
REDUCTION(PROD, "prod", "ProdBackward0", fnn_reduction_plan_sum, forward_prod, .grad_name_of = fnn_grad_name_prod, .save_in = {1}, .backward = back_prod)
REDUCTION(VAR, "var", "VarBackward0", plan_real, forward_var, .save_in = {1}, .backward = back_var)
REDUCTION(STD, "std", "StdBackward0", plan_real, forward_var, .save_in = {1}, .save_out = 1, .backward = back_var)
REDUCTION(LOGSUMEXP, "logsumexp", "LogsumexpBackward0", plan_logsumexp, forward_logsumexp, .save_in = {1}, .save_out = 1, .backward = back_logsumexp)
