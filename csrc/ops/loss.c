/* cross_entropy and nll_loss for targets that are class numbers.
 *
 * Inputs: x (C), (N,C) or (N,C,d1,..) logits or log-probabilities, target (), (N) or (N,d1,..) int64 or uint8, weight? (C).
 * attrs: v[0].i ignore_index, v[1].i reduction (0 none, 1 mean, 2 sum), v[2].f label smoothing (cross_entropy only).
 * Saved: the inputs and the extras total (sum of the weights of the targets that count) and parts (rows, 2) of
 * log sum e^x: the largest x and the log of the sum of e^(x - largest) (cross_entropy only).
 *   forward:  loss[r] = w[t] (lse - x[t])  (nll_loss: -w[t] x[t]), 0 for an ignored target; label smoothing: kernels.def
 *             sum: a fixed tree over all rows; mean: that sum / total
 *   backward: dx = scale w[t] (softmax(x) - onehot(t))  (nll_loss: -scale w[t] onehot(t)), scale = dy, for mean dy / total
 * Classes are brought last, so a row is one position; weight and target get no gradient. */
#include <string.h>

#include "rows.h"

enum { NONE, MEAN, SUM };

static bool is_nll(const fnn_op *op) { return op == &fnn_op_NLL_LOSS; }
static double smoothing_of(const fnn_op *op, const fnn_attrs *a) { return is_nll(op) ? 0 : a->v[2].f; }
static int class_dim(int ndim) { return ndim > 1 ? 1 : 0; }

/* ---- plan ---- */

static fnn_status check_shapes(const char *op, const fnn_tensor *x, const fnn_tensor *target) {
    if (!x->ndim) return fnn_fail(FNN_ERR_RUNTIME, "%s: input has shape (), expected (C), (N, C) or (N, C, d1, ...)", op);
    if (x->ndim == 1) {
        if (target->ndim > 1) return fnn_fail(FNN_ERR_RUNTIME, "%s: 0D or 1D target tensor expected, multi-target not supported, found shape %s", op, fnn_shape_of(target));
        if (target->numel != 1) return fnn_fail(FNN_ERR_VALUE, "%s: For 1D input, 1D target must have size 1, but got target size: %lld", op, (long long)target->numel);
        return FNN_OK;
    }
    int64_t found = target->ndim ? target->shape[0] : 0;
    if (found != x->shape[0] || !target->ndim)
        return fnn_fail(FNN_ERR_VALUE, "%s: Expected input batch_size (%lld) to match target batch_size (%lld).", op, (long long)x->shape[0], (long long)found);
    if (x->ndim == 2 && target->ndim != 1)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: 0D or 1D target tensor expected, multi-target not supported, found shape %s", op, fnn_shape_of(target));
    bool same = target->ndim == x->ndim - 1;
    for (int d = 1; same && d < target->ndim; d++) same = target->shape[d] == x->shape[d + 1];
    if (!same)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: size mismatch: input %s wants a target of its sizes without the class dimension 1, found target %s", op,
                        fnn_sizes_text(x->shape, x->ndim), fnn_sizes_text(target->shape, target->ndim));
    return FNN_OK;
}

static fnn_status check_weight(const char *op, const fnn_tensor *w, const fnn_tensor *x) {
    if (!w) return FNN_OK;
    int64_t classes = x->shape[class_dim(x->ndim)];
    if (w->ndim != 1 || w->shape[0] != classes)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: weight tensor should be defined either for all %lld classes or no classes but got weight tensor of shape: %s", op,
                        (long long)classes, fnn_sizes_text(w->shape, w->ndim));
    return fnn_want_same_dtype(op, "weight", w, x->dtype);
}

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *target = c->in[1];
    const char *op = c->op->name;
    double smoothing = smoothing_of(c->op, c->attrs);
    if (!(smoothing >= 0 && smoothing <= 1))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: label_smoothing must be between 0.0 and 1.0. Got: %g", op, smoothing);
    FNN_TRY(check_shapes(op, x, target));
    FNN_TRY(fnn_rows_want_float(op, x));
    if (target->dtype != FNN_I64 && target->dtype != FNN_U8)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: expected target dtype to be Long or Byte, but got %s", op, fnn_dtype_name(target->dtype));
    FNN_TRY(check_weight(op, c->in[2], x));
    bool none = c->attrs->v[1].i == NONE;
    fnn_tensor_set_geometry(c->out, none ? target->ndim : 0, target->shape, NULL);
    c->out->dtype = x->dtype;
    fnn_tensor_set_geometry(&c->extra[0], 0, NULL, NULL);
    c->extra[0].dtype = x->dtype;
    if (!is_nll(c->op)) {
        fnn_tensor_set_geometry(&c->extra[1], 2, (int64_t[]){target->numel, 2}, NULL);
        c->extra[1].dtype = x->dtype;
    }
    c->scratch_bytes = (size_t)(2 * target->numel + 1) * fnn_itemsize[x->dtype]; /* losses and weights of the rows */
    c->work = is_nll(c->op) ? 2.0 * (double)target->numel : 0.6 * (double)x->numel;
    return FNN_OK;
}

static fnn_status inspect(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    int64_t classes = x->shape[class_dim(x->ndim)], ignore = c->attrs->v[0].i;
    fnn_tensor target;
    FNN_TRY(fnn_contiguous_as(&target, c->in[1], FNN_I64));
    const int64_t *t = (const int64_t *)target.data;
    fnn_status status = FNN_OK;
    int64_t outside;
    fnn_k.i64_count_outside(&outside, t, target.numel, 0, classes);
    for (int64_t r = 0; outside && r < target.numel && !status; r++) /* ignored ones may be outside, nothing else */
        if ((uint64_t)t[r] >= (uint64_t)classes && t[r] != ignore)
            status = fnn_fail(FNN_ERR_INDEX, "%s: Target %lld is out of bounds. Expected 0 <= target < %lld, the number of classes, or ignore_index %lld",
                              c->op->name, (long long)t[r], (long long)classes, (long long)ignore);
    fnn_tensor_unref(&target);
    return status;
}

/* ---- rows ---- */

typedef struct task {
    bool nll;
    int dtype;
    int64_t rows, n, per, ignore, scale_step;
    double smoothing;
    char *loss;                /* (rows,): forward */
    char *parts;               /* (rows, 2): written by forward unless NULL, read by backward */
    char *dx;                  /* (rows, n): backward */
    const char *x, *w, *scale; /* (rows, n), (n,) or NULL, (rows,) or one */
    const int64_t *target;     /* (rows,) */
} task;

/* nll_loss: one element of each row; the rest of dx is zero. */
#define NLL(real)                                                                                            \
    static void nll_forward_##real(real *loss, const real *x, const int64_t *target, const real *w, int64_t rows, int64_t n, int64_t ignore) { \
        for (int64_t r = 0; r < rows; r++) {                                                                 \
            int64_t t = target[r];                                                                           \
            loss[r] = t == ignore ? 0 : -x[r * n + t] * (w ? w[t] : 1);                                      \
        }                                                                                                    \
    }                                                                                                        \
    static void nll_backward_##real(real *dx, const real *scale, int64_t step, const int64_t *target, const real *w, int64_t rows, int64_t n, \
                                    int64_t ignore) {                                                        \
        memset(dx, 0, (size_t)(rows * n) * sizeof *dx);                                                      \
        for (int64_t r = 0; r < rows; r++) {                                                                 \
            int64_t t = target[r];                                                                           \
            if (t != ignore) dx[r * n + t] = -scale[r * step] * (w ? w[t] : 1);                              \
        }                                                                                                    \
    }                                                                                                        \
    /* the weights that count, row by row */                                                                 \
    static void pick_##real(real *y, const int64_t *target, const real *w, int64_t rows, int64_t ignore) {   \
        for (int64_t r = 0; r < rows; r++) y[r] = target[r] == ignore ? 0 : w[target[r]];                    \
    }
NLL(float)
NLL(double)

static void forward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per, size = fnn_itemsize[t->dtype];
    void *loss = t->loss + first * size, *parts = t->parts ? t->parts + 2 * first * size : NULL;
    const void *x = t->x + first * t->n * size, *w = t->w;
    const int64_t *target = t->target + first;
    if (!t->nll)
        FNN_KERNEL_OF(t->dtype, cross_entropy_forward, loss, parts, x, target, w, rows, t->n, t->ignore, t->smoothing);
    else if (t->dtype == FNN_F32)
        nll_forward_float(loss, x, target, w, rows, t->n, t->ignore);
    else
        nll_forward_double(loss, x, target, w, rows, t->n, t->ignore);
}

static void backward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per, size = fnn_itemsize[t->dtype], step = t->scale_step;
    void *dx = t->dx + first * t->n * size;
    const void *x = t->x + first * t->n * size, *w = t->w, *scale = t->scale + first * step * size, *parts = t->nll ? NULL : t->parts + 2 * first * size;
    const int64_t *target = t->target + first;
    if (!t->nll)
        FNN_KERNEL_OF(t->dtype, cross_entropy_backward, dx, scale, x, parts, target, w, rows, t->n, step, t->ignore, t->smoothing);
    else if (t->dtype == FNN_F32)
        nll_backward_float(dx, scale, step, target, w, rows, t->n, t->ignore);
    else
        nll_backward_double(dx, scale, step, target, w, rows, t->n, t->ignore);
}

/* ---- forward ---- */

/* How much the rows count in a mean: their number, or the sum of their targets' weights. */
static double total_of(const task *t, char *scratch) {
    if (!t->w) {
        int64_t count;
        fnn_k.i64_count_outside(&count, t->target, t->rows, t->ignore, 1);
        return (double)count;
    }
    void *picked = scratch;
    if (t->dtype == FNN_F32) {
        float sum;
        pick_float(picked, t->target, (const float *)t->w, t->rows, t->ignore);
        fnn_k.f32.sum_rows(&sum, picked, 1, t->rows, t->rows);
        return sum;
    }
    double sum;
    pick_double(picked, t->target, (const double *)t->w, t->rows, t->ignore);
    fnn_k.f64.sum_rows(&sum, picked, 1, t->rows, t->rows);
    return sum;
}

static void reduce(fnn_call *c, const task *t, char *scratch) {
    int64_t reduction = c->attrs->v[1].i;
    double total = reduction == MEAN || c->save ? total_of(t, scratch) : 0;
    bool single = t->dtype == FNN_F32;
    if (c->save) {
        if (single) *(float *)c->extra[0].data = (float)total;
        else *(double *)c->extra[0].data = total;
    }
    if (reduction == NONE) return;
    void *sum = c->out->data, *loss = t->loss;
    FNN_KERNEL_OF(t->dtype, sum_rows, sum, loss, 1, t->rows, t->rows);
    if (reduction != MEAN) return;
    if (single) *(float *)sum /= (float)total;
    else *(double *)sum /= total;
}

static fnn_status forward(fnn_call *c) {
    fnn_tensor x = {0}, target = {0}, w = {0};
    fnn_status status = fnn_rows_in(&x, c->in[0], class_dim(c->in[0]->ndim));
    if (!status) status = fnn_contiguous_as(&target, c->in[1], FNN_I64);
    if (!status && c->in[2]) status = fnn_contiguous(&w, c->in[2]);
    if (!status) {
        int64_t n = x.shape[x.ndim - 1], size = fnn_itemsize[x.dtype];
        bool none = c->attrs->v[1].i == NONE, nll = is_nll(c->op);
        task t = {.nll = nll, .dtype = x.dtype, .rows = target.numel, .n = n, .per = fnn_rows_per_chunk(n), .ignore = c->attrs->v[0].i,
                  .smoothing = smoothing_of(c->op, c->attrs), .loss = none ? c->out->data : c->scratch,
                  .parts = c->save && !nll ? c->extra[1].data : NULL, .x = x.data, .w = w.data, .target = (const int64_t *)target.data};
        fnn_parallel(fnn_chunks(t.rows, t.per), c->work, forward_chunk, &t);
        reduce(c, &t, c->scratch + t.rows * size);
    }
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&target);
    fnn_tensor_unref(&w);
    return status;
}

/* ---- backward ---- */

/* The factor of each row, contiguous: dy, or dy / total. */
static fnn_status scale_of(const fnn_backcall *b, fnn_tensor *scale) {
    if (b->attrs->v[1].i == MEAN) return fnn_run2(&fnn_op_DIV, scale, b->dy[0], &b->extra[0]);
    return fnn_contiguous(scale, b->dy[0]);
}

static fnn_status backward(fnn_backcall *b) {
    if (!b->need[0]) return FNN_OK;
    const fnn_geom *g = &b->in_geom[0];
    int dim = class_dim(g->ndim);
    fnn_tensor x = {0}, target = {0}, w = {0}, scale = {0}, rows = {0};
    fnn_status status = fnn_contiguous_as(&target, &b->in[1], FNN_I64);
    if (!status && b->in[0].data) status = fnn_rows_in(&x, &b->in[0], dim);
    if (!status && b->in[2].data) status = fnn_contiguous(&w, &b->in[2]);
    if (!status) status = scale_of(b, &scale);
    if (!status) status = fnn_empty(&b->dx[0], g->dtype, g->ndim, g->shape);
    if (!status) status = fnn_rows_out(&rows, &b->dx[0], dim);
    if (!status) {
        int64_t n = g->shape[dim];
        bool nll = is_nll(b->op);
        task t = {.nll = nll, .dtype = g->dtype, .rows = target.numel, .n = n, .per = fnn_rows_per_chunk(n), .ignore = b->attrs->v[0].i,
                  .scale_step = b->attrs->v[1].i == NONE, .smoothing = smoothing_of(b->op, b->attrs), .parts = nll ? NULL : b->extra[1].data,
                  .dx = rows.data, .x = nll ? rows.data : x.data, .w = w.data, .scale = scale.data, .target = (const int64_t *)target.data};
        fnn_parallel(fnn_chunks(t.rows, t.per), (nll ? 0.1 : 0.6) * (double)(t.rows * n), backward_chunk, &t);
        status = fnn_rows_done(&rows, &b->dx[0], dim);
    }
    fnn_tensor *const temporaries[] = {&x, &target, &w, &scale};
    for (int i = 0; i < 4; i++) fnn_tensor_unref(temporaries[i]);
    return status;
}

const fnn_op fnn_op_CROSS_ENTROPY = {.name = "cross_entropy", .grad_name = "NllLossBackward0", .n_in = 3, .n_out = 1, .n_extra = 2, .optional_in = 4,
                                     .no_grad_in = 2 | 4, .save_in = {1 | 2 | 4}, .plan = plan, .inspect = inspect, .forward = forward, .backward = backward};
const fnn_op fnn_op_NLL_LOSS = {.name = "nll_loss", .grad_name = "NllLossBackward0", .n_in = 3, .n_out = 1, .n_extra = 1, .optional_in = 4,
                                .no_grad_in = 2 | 4, .save_in = {2 | 4}, .plan = plan, .inspect = inspect, .forward = forward, .backward = backward};
