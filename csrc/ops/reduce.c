/* The shapes of reductions (reduce.h), and sums: sum, mean, any, all.
 *
 * attrs: list[0] dims (n <= 0: all), v[0].i keepdim. SUM, MEAN: v[1].i dtype (-1: by torch's rule). Integers and bools are
 * summed in int64.
 * The way of summing is chosen by shapes alone: reduced dimensions that lie last give rows, others that lie side by side give
 * columns, anything else is brought into rows; so results do not depend on strides. Long single rows are cut into blocks of
 * BLOCK elements whose sums are summed, long columns into parts of LONG_ROWS rows.
 * Does not: reduce rows by other kernels than sums. Read next: reduce_rows.c, extreme.c. */
#include "reduce.h"

#include <string.h>

#include "core/threads.h"
#include "expr.h"
#include "grad_names.h"
#include "kernels/kernels.h"
#include "rows.h"

#define BLOCK 65536   /* elements of a row that one thread sums */
#define LONG_ROWS 512 /* rows of a long column that one thread sums: 8 * 2^k, see merge_cols */

/* ---- shapes ---- */

static fnn_status mark(const char *op, int ndim, const fnn_ints *dims, unsigned *reduced) {
    *reduced = dims->n > 0 ? 0 : ~0u;
    for (int i = 0; i < dims->n; i++) {
        int64_t d = dims->v[i];
        FNN_TRY(fnn_wrap_dim(op, &d, ndim));
        if (ndim && (*reduced >> d & 1)) return fnn_fail(FNN_ERR_RUNTIME, "%s: dim %lld appears multiple times in the list of dims", op, (long long)d);
        *reduced |= 1u << d;
    }
    return FNN_OK;
}

static void measure(fnn_reduction *r, int ndim, const int64_t *shape) {
    r->rows = r->n = r->outer = r->inner = 1;
    int first = ndim, last = -1;
    for (int d = 0; d < ndim; d++) {
        if (r->reduced >> d & 1) {
            r->n *= shape[d];
            if (d < first) first = d;
            last = d;
        } else {
            r->rows *= shape[d];
        }
    }
    bool side_by_side = true;
    for (int d = first; d <= last; d++) side_by_side &= (r->reduced >> d & 1) != 0;
    for (int d = 0; d < first && d < ndim; d++) r->outer *= shape[d];
    for (int d = last + 1; d < ndim && last >= 0; d++) r->inner *= shape[d];
    r->middle = side_by_side && last >= 0 && r->inner > 1;
}

fnn_status fnn_reduction_make(const char *op, const fnn_tensor *x, const fnn_ints *dims, bool keepdim, fnn_reduction *r) {
    r->keepdim = keepdim;
    FNN_TRY(mark(op, x->ndim, dims, &r->reduced));
    measure(r, x->ndim, x->shape);
    return FNN_OK;
}

fnn_status fnn_reduction_of_geom(const fnn_geom *g, const fnn_ints *dims, bool keepdim, fnn_reduction *r) {
    r->keepdim = keepdim;
    FNN_TRY(mark("backward", g->ndim, dims, &r->reduced));
    measure(r, g->ndim, g->shape);
    return FNN_OK;
}

void fnn_reduction_shape(const fnn_reduction *r, const fnn_tensor *x, fnn_tensor *out) {
    int64_t shape[FNN_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (!(r->reduced >> d & 1))
            shape[n++] = x->shape[d];
        else if (r->keepdim)
            shape[n++] = 1;
    }
    fnn_tensor_set_geometry(out, n, shape, NULL);
}

fnn_status fnn_reduction_rows(const fnn_reduction *r, const fnn_tensor *x, fnn_tensor *rows) {
    fnn_tensor moved = *x;
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int d = 0; d < x->ndim; d++)
            if ((int)(r->reduced >> d & 1) == pass) {
                moved.shape[n] = x->shape[d];
                moved.stride[n++] = x->stride[d];
            }
    fnn_tensor_derive(&moved);
    FNN_TRY(fnn_contiguous(rows, &moved));
    fnn_tensor_set_geometry(rows, 2, (int64_t[2]){r->rows, r->n}, NULL);
    return FNN_OK;
}

static void spread(const fnn_reduction *r, const fnn_geom *g, const fnn_tensor *t, fnn_tensor *out, bool expand) {
    fnn_tensor_ref_data(out, t);
    int from = 0;
    for (int d = 0; d < g->ndim; d++) {
        bool gone = r->reduced >> d & 1;
        out->shape[d] = gone && !expand ? 1 : g->shape[d];
        out->stride[d] = gone ? 0 : t->stride[from];
        if (!gone || r->keepdim) from++;
    }
    out->ndim = g->ndim;
    fnn_tensor_derive(out);
}
void fnn_reduction_expand(const fnn_reduction *r, const fnn_geom *g, const fnn_tensor *t, fnn_tensor *out) { spread(r, g, t, out, true); }
void fnn_reduction_keep(const fnn_reduction *r, const fnn_geom *g, const fnn_tensor *t, fnn_tensor *out) { spread(r, g, t, out, false); }

typedef struct each {
    const fnn_reduction *r;
    fnn_rows_fn fn;
    const void *ctx;
    int64_t per;
} each;
static void each_chunk(void *ctx, int64_t chunk) {
    const each *t = ctx;
    int64_t first = chunk * t->per, left = t->r->rows - first;
    t->fn(t->ctx, first, left < t->per ? left : t->per);
}
void fnn_reduction_each(const fnn_reduction *r, double ns, fnn_rows_fn fn, const void *ctx) {
    each t = {r, fn, ctx, fnn_rows_per_chunk(r->n)};
    fnn_parallel(fnn_chunks(r->rows, t.per), ns * (double)r->rows * (double)r->n, each_chunk, &t);
}

/* ---- plans ---- */

static bool keepdim(const fnn_attrs *a) { return a->v[0].i != 0; }

fnn_status fnn_reduction_plan(fnn_call *c, int dtype) {
    fnn_reduction r;
    FNN_TRY(fnn_reduction_make(c->op->name, c->in[0], &c->attrs->list[0], keepdim(c->attrs), &r));
    fnn_reduction_shape(&r, c->in[0], c->out);
    c->out->dtype = (uint8_t)dtype;
    c->work = (double)c->in[0]->numel * 0.4;
    return FNN_OK;
}
fnn_status fnn_reduction_plan_sum(fnn_call *c) {
    int want = (int)c->attrs->v[1].i, have = c->in[0]->dtype;
    return fnn_reduction_plan(c, want >= 0 ? want : fnn_dtype_is_float(have) ? have : FNN_I64);
}
static fnn_status plan_mean(fnn_call *c) {
    int want = (int)c->attrs->v[1].i, dtype = want >= 0 ? want : c->in[0]->dtype;
    if (!fnn_dtype_is_float(dtype))
        return fnn_fail(FNN_ERR_RUNTIME, "mean: could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: %s", fnn_dtype_name((fnn_dtype)dtype));
    return fnn_reduction_plan(c, dtype);
}
static fnn_status plan_truth(fnn_call *c) { return fnn_reduction_plan(c, c->in[0]->dtype == FNN_U8 ? FNN_U8 : FNN_BOOL); }

/* ---- sums of floats ---- */

typedef struct sum_task {
    const fnn_reduction *r;
    const char *x;
    char *y;
    int64_t columns; /* of one chunk, in the middle case */
} sum_task;

#define SUM_CHUNKS(suffix, real)                                                                                                    \
    static void rows_##suffix(void *ctx, int64_t chunk) {                                                                           \
        const sum_task *t = ctx;                                                                                                    \
        int64_t per = BLOCK / (t->r->n + 1) + 1, first = chunk * per, rows = t->r->rows - first < per ? t->r->rows - first : per;   \
        fnn_k.suffix.sum_rows((real *)t->y + first, (const real *)t->x + first * t->r->n, rows, t->r->n, t->r->n);                  \
    }                                                                                                                               \
    static void blocks_##suffix(void *ctx, int64_t chunk) {                                                                         \
        const sum_task *t = ctx;                                                                                                    \
        int64_t from = chunk * BLOCK, n = t->r->n - from < BLOCK ? t->r->n - from : BLOCK;                                          \
        fnn_k.suffix.sum_rows((real *)t->y + chunk, (const real *)t->x + from, 1, n, n);                                            \
    }                                                                                                                               \
    static void columns_##suffix(void *ctx, int64_t chunk) {                                                                        \
        const sum_task *t = ctx;                                                                                                    \
        int64_t per_outer = (t->r->inner + t->columns - 1) / t->columns, o = chunk / per_outer, from = chunk % per_outer * t->columns; \
        int64_t cols = t->r->inner - from < t->columns ? t->r->inner - from : t->columns;                                           \
        fnn_k.suffix.sum_cols((real *)t->y + o * t->r->inner + from, (const real *)t->x + o * t->r->n * t->r->inner + from, t->r->n, cols, t->r->inner); \
    }                                                                                                                               \
    static void long_##suffix(void *ctx, int64_t chunk) {                                                                           \
        const sum_task *t = ctx;                                                                                                    \
        int64_t from = chunk * LONG_ROWS, n = t->r->n - from < LONG_ROWS ? t->r->n - from : LONG_ROWS, cols = t->r->inner;          \
        fnn_k.suffix.sum_cols((real *)t->y + chunk * cols, (const real *)t->x + from * cols, n, cols, cols);                        \
    }
SUM_CHUNKS(f32, float)
SUM_CHUNKS(f64, double)

/* Few long columns: rows are shared out, the parts merged to the bits of one sum_cols. x and out are contiguous. */
static fnn_status sum_long(const fnn_reduction *r, const fnn_tensor *x, const fnn_tensor *out, double work) {
    int64_t parts = (r->n + LONG_ROWS - 1) / LONG_ROWS;
    fnn_tensor part;
    FNN_TRY(fnn_empty(&part, x->dtype, 2, (int64_t[2]){parts, r->inner}));
    sum_task task = {r, x->data, part.data, 0};
    fnn_parallel(parts, work, x->dtype == FNN_F32 ? long_f32 : long_f64, &task);
    FNN_KERNEL_OF(x->dtype, merge_cols, (void *)out->data, (const void *)part.data, parts, r->inner, r->inner);
    fnn_tensor_unref(&part);
    return FNN_OK;
}

/* out (contiguous, of x's dtype) <- sums of x. */
static fnn_status sum_float(const fnn_reduction *r, const fnn_tensor *x, const fnn_tensor *out) {
    bool single = x->dtype == FNN_F32;
    double work = (double)x->numel * 0.3;
    fnn_tensor t;
    if (r->middle) {
        FNN_TRY(fnn_contiguous(&t, x));
        fnn_status status = FNN_OK;
        if (r->outer == 1 && r->inner <= 64 && r->n >= 2 * LONG_ROWS) {
            status = sum_long(r, &t, out, work);
        } else {
            sum_task task = {r, t.data, out->data, 64};
            fnn_parallel(r->outer * ((r->inner + 63) / 64), work, single ? columns_f32 : columns_f64, &task);
        }
        fnn_tensor_unref(&t);
        return status;
    }
    FNN_TRY(fnn_reduction_rows(r, x, &t));
    fnn_status status = FNN_OK;
    sum_task task = {r, t.data, out->data, 0};
    if (r->rows == 1 && r->n > BLOCK) {
        int64_t blocks = (r->n + BLOCK - 1) / BLOCK;
        fnn_tensor part;
        status = fnn_empty(&part, x->dtype, 1, &blocks);
        if (!status) {
            task.y = part.data;
            fnn_parallel(blocks, work, single ? blocks_f32 : blocks_f64, &task);
            fnn_reduction all = {.rows = 1, .n = blocks};
            sum_task last = {&all, part.data, out->data, 0};
            (single ? rows_f32 : rows_f64)(&last, 0);
            fnn_tensor_unref(&part);
        }
    } else if (r->rows) {
        int64_t per = BLOCK / (r->n + 1) + 1;
        fnn_parallel((r->rows + per - 1) / per, work, single ? rows_f32 : rows_f64, &task);
    }
    fnn_tensor_unref(&t);
    return status;
}

static fnn_status sum_into(fnn_call *c, const fnn_tensor *out) {
    fnn_reduction r;
    FNN_TRY(fnn_reduction_make(c->op->name, c->in[0], &c->attrs->list[0], keepdim(c->attrs), &r));
    fnn_tensor x, rows, sum = *out;
    if (fnn_dtype_is_float(out->dtype)) {
        FNN_TRY(fnn_cast(&x, c->in[0], out->dtype));
        fnn_status status = sum_float(&r, &x, out);
        fnn_tensor_unref(&x);
        return status;
    }
    fnn_tensor asked; /* elements become what is asked for before they are summed: a sum of truth values is whether any is true */
    FNN_TRY(fnn_cast(&asked, c->in[0], out->dtype));
    fnn_status status = fnn_cast(&x, &asked, FNN_I64);
    fnn_tensor_unref(&asked);
    if (status) return status;
    status = fnn_reduction_rows(&r, &x, &rows);
    fnn_tensor_unref(&x);
    if (status) return status;
    if (out->dtype != FNN_I64) status = fnn_empty(&sum, FNN_I64, out->ndim, out->shape);
    if (!status) {
        const int64_t *in = (const int64_t *)rows.data;
        int64_t *y = (int64_t *)sum.data;
        for (int64_t i = 0; i < r.rows; i++) {
            uint64_t total = 0;
            for (int64_t k = 0; k < r.n; k++) total += (uint64_t)in[i * r.n + k];
            y[i] = (int64_t)total;
        }
        if (out->dtype != FNN_I64) {
            status = fnn_copy_into(out, &sum);
            fnn_tensor_unref(&sum);
        }
    }
    fnn_tensor_unref(&rows);
    return status;
}

static fnn_status forward_sum(fnn_call *c) { return sum_into(c, c->out); }

static int64_t count_of(const fnn_geom *g, const fnn_attrs *a) {
    fnn_reduction r = {0};
    return fnn_reduction_of_geom(g, &a->list[0], true, &r) ? 0 : r.n;
}

static fnn_status forward_mean(fnn_call *c) {
    FNN_TRY(sum_into(c, c->out));
    fnn_geom g = fnn_geom_of(c->in[0]);
    double n = (double)count_of(&g, c->attrs);
    fnn_tensor number = fnn_number_f64(&n);
    const fnn_tensor *in[2] = {c->out, &number};
    fnn_call div = {.op = &fnn_op_DIV, .n_in = 2, .n_out = 1, .in = in, .out = &(fnn_tensor){0}, .inplace = true, .keep = c->out};
    return fnn_run_call(&div);
}

static fnn_status back_sum(fnn_backcall *b) {
    fnn_reduction r;
    fnn_tensor cast;
    FNN_TRY(fnn_reduction_of_geom(&b->in_geom[0], &b->attrs->list[0], keepdim(b->attrs), &r));
    FNN_TRY(fnn_cast(&cast, b->dy[0], b->in_geom[0].dtype));
    fnn_reduction_expand(&r, &b->in_geom[0], &cast, &b->dx[0]);
    fnn_tensor_unref(&cast);
    return FNN_OK;
}
static fnn_status back_mean(fnn_backcall *b) {
    fnn_reduction r;
    FNN_TRY(fnn_reduction_of_geom(&b->in_geom[0], &b->attrs->list[0], keepdim(b->attrs), &r));
    FNN_EXPR(x);
    fnn_tensor part = {0};
    const fnn_tensor *share = fnn_x2(&x, &fnn_op_DIV, b->dy[0], fnn_xnum(&x, (double)r.n));
    if (!x.status) x.status = fnn_cast(&part, share, b->in_geom[0].dtype);
    if (!x.status) fnn_reduction_expand(&r, &b->in_geom[0], &part, &b->dx[0]);
    fnn_tensor_unref(&part);
    for (int i = 0; i < x.n; i++) fnn_tensor_unref(&x.temp[i]);
    return x.status;
}

/* ---- any, all ---- */

static fnn_status forward_truth(fnn_call *c) {
    fnn_reduction r;
    fnn_tensor x, rows;
    bool any = c->op == &fnn_op_ANY;
    FNN_TRY(fnn_reduction_make(c->op->name, c->in[0], &c->attrs->list[0], keepdim(c->attrs), &r));
    FNN_TRY(fnn_cast(&x, c->in[0], FNN_BOOL));
    fnn_status status = fnn_reduction_rows(&r, &x, &rows);
    fnn_tensor_unref(&x);
    if (status) return status;
    for (int64_t i = 0; i < r.rows; i++)
        c->out->data[i] = any ? (r.n && memchr(rows.data + i * r.n, 1, (size_t)r.n)) : !(r.n && memchr(rows.data + i * r.n, 0, (size_t)r.n));
    fnn_tensor_unref(&rows);
    return FNN_OK;
}

#define REDUCTION(NAME, text, grad, the_plan, the_forward, ...) \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = 1, .plan = the_plan, .forward = the_forward, __VA_ARGS__};
REDUCTION(SUM, "sum", "SumBackward0", fnn_reduction_plan_sum, forward_sum, .grad_name_of = fnn_grad_name_sum, .backward = back_sum)
REDUCTION(MEAN, "mean", "MeanBackward0", plan_mean, forward_mean, .grad_name_of = fnn_grad_name_mean, .backward = back_mean)
REDUCTION(ANY, "any", NULL, plan_truth, forward_truth, .flags = FNN_F_NO_GRAD)
REDUCTION(ALL, "all", NULL, plan_truth, forward_truth, .flags = FNN_F_NO_GRAD)
