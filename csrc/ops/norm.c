/* layer_norm and rms_norm over the last dimensions.
 *
 * attrs: list[0] normalized_shape, v[0].f eps (rms_norm: NaN means the dtype's epsilon). Inputs x, weight?, bias? (rms_norm: no
 * bias). Saved: x, weight and the extras mean (layer_norm only) and rstd, of the leading dimensions' shape.
 *   forward:  y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps)       rms_norm: mean = 0, var = avg(x^2), no b
 *   backward: with h = (x - mean) rstd, g = dy w:
 *             dx = rstd (g - avg(g) - h avg(g h)), dw = sum over rows dy h, db = sum over rows dy
 * Each chunk of rows has its own dw and db, added up in the order of the chunks; the chunks follow from the shape. */
#include <float.h>
#include <math.h>

#include "rows.h"

#define PARTS 32 /* chunks of a backward at most: each has its own dw and db to be added up */
#define SHORT 16 /* rows of a chunk of RMS norm's backward, while PARTS suffice: torch adds its dw up as a tree */

typedef struct task {
    bool rms;
    int dtype;
    int64_t rows, n, per;
    double eps;
    char *out;                    /* (rows, n): y or dx; may be NULL in backward */
    const char *x, *dy, *w, *b;   /* w, b may be NULL */
    char *mean, *rstd;            /* (rows,): may be NULL in forward */
    char *dw, *db;                /* (chunks, n), may be NULL */
} task;

static void *at(const char *p, int64_t bytes) { return p ? (char *)p + bytes : NULL; }

static void forward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t size = fnn_itemsize[t->dtype], first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per;
    void *y = at(t->out, first * t->n * size), *mean = at(t->mean, first * size), *rstd = at(t->rstd, first * size);
    const void *x = at(t->x, first * t->n * size), *w = t->w, *b = t->b;
    if (t->rms)
        FNN_KERNEL_OF(t->dtype, rms_norm_forward, y, rstd, x, w, rows, t->n, t->eps);
    else
        FNN_KERNEL_OF(t->dtype, layer_norm_forward, y, mean, rstd, x, w, b, rows, t->n, t->eps);
}

static void backward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t size = fnn_itemsize[t->dtype], first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per;
    void *dx = at(t->out, first * t->n * size), *dw = at(t->dw, chunk * t->n * size), *db = at(t->db, chunk * t->n * size);
    const void *x = at(t->x, first * t->n * size), *dy = at(t->dy, first * t->n * size), *w = t->w;
    const void *mean = at(t->mean, first * size), *rstd = at(t->rstd, first * size);
    if (t->rms)
        FNN_KERNEL_OF(t->dtype, rms_norm_backward, dx, dw, dy, x, rstd, w, rows, t->n);
    else
        FNN_KERNEL_OF(t->dtype, layer_norm_backward, dx, dw, db, dy, x, mean, rstd, w, rows, t->n);
}

/* ---- plan ---- */

static fnn_status check_parameter(const char *op, const char *name, const fnn_tensor *p, const fnn_ints *shape, int dtype) {
    if (!p) return FNN_OK;
    bool same = p->ndim == shape->n;
    for (int d = 0; same && d < p->ndim; d++) same = p->shape[d] == shape->v[d];
    if (!same)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected %s to be of same shape as normalized_shape, but got %s of shape %s and normalized_shape = %s", op,
                        name, name, fnn_sizes_text(p->shape, p->ndim), fnn_sizes_text(shape->v, shape->n));
    return fnn_want_same_dtype(op, name, p, dtype);
}

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    const fnn_ints *shape = &c->attrs->list[0];
    const char *op = c->op->name;
    if (shape->n < 1)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
                                         "but got normalized_shape = []", op);
    int lead = x->ndim - (int)shape->n;
    bool fits = lead >= 0;
    for (int d = 0; fits && d < shape->n; d++) fits = x->shape[lead + d] == shape->v[d];
    if (!fits)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Given normalized_shape=%s, expected input with shape ending in these sizes, but got input of size %s", op,
                        fnn_sizes_text(shape->v, shape->n), fnn_sizes_text(x->shape, x->ndim));
    FNN_TRY(fnn_rows_want_float(op, x));
    FNN_TRY(check_parameter(op, "weight", c->in[1], shape, x->dtype));
    if (c->op->n_in > 2) FNN_TRY(check_parameter(op, "bias", c->in[2], shape, x->dtype));
    fnn_tensor_set_geometry(c->out, x->ndim, x->shape, NULL);
    c->out->dtype = x->dtype;
    for (int i = 0; i < c->op->n_extra; i++) {
        fnn_tensor_set_geometry(&c->extra[i], lead, x->shape, NULL);
        c->extra[i].dtype = x->dtype;
    }
    c->work = 0.4 * (double)x->numel;
    return FNN_OK;
}

static int64_t row_length(const fnn_ints *shape) {
    int64_t n = 1;
    for (int d = 0; d < shape->n; d++) n *= shape->v[d];
    return n;
}

/* ---- forward ---- */

/* The kernel adds a bias only beside a weight: one of ones changes no bit. */
static fnn_status ones_like(const fnn_tensor *t, fnn_tensor *out) {
    FNN_TRY(fnn_empty(out, t->dtype, t->ndim, t->shape));
    double one = 1;
    fnn_tensor number = fnn_number_f64(&one);
    return fnn_copy_into(out, &number);
}

static fnn_status forward(fnn_call *c) {
    const fnn_tensor *bias = c->op->n_in > 2 ? c->in[2] : NULL;
    bool rms = c->op == &fnn_op_RMS_NORM;
    fnn_tensor x = {0}, w = {0}, b = {0};
    fnn_status status = fnn_contiguous(&x, c->in[0]);
    if (!status && c->in[1]) status = fnn_contiguous(&w, c->in[1]);
    if (!status && bias) status = fnn_contiguous(&b, bias);
    if (!status && bias && !c->in[1]) status = ones_like(&b, &w);
    if (!status && x.numel) {
        double eps = c->attrs->v[0].f;
        if (isnan(eps)) eps = x.dtype == FNN_F32 ? FLT_EPSILON : DBL_EPSILON;
        int64_t n = row_length(&c->attrs->list[0]);
        char *mean = c->save && !rms ? c->extra[0].data : NULL, *rstd = c->save ? c->extra[rms ? 0 : 1].data : NULL;
        task t = {.rms = rms, .dtype = x.dtype, .rows = x.numel / n, .n = n, .per = fnn_rows_per_chunk(n), .eps = eps,
                  .out = c->out->data, .x = x.data, .w = w.data, .b = b.data, .mean = mean, .rstd = rstd};
        fnn_parallel(fnn_chunks(t.rows, t.per), c->work, forward_chunk, &t);
    }
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&w);
    fnn_tensor_unref(&b);
    return status;
}

/* ---- backward ---- */

/* dw or db: the sum of the chunks' parts, in order. */
static fnn_status merge(fnn_backcall *b, int input, const fnn_tensor *parts, int64_t chunks, int64_t n) {
    if (!b->need[input]) return FNN_OK;
    const fnn_geom *g = &b->in_geom[input];
    if (!chunks) return fnn_zeros(&b->dx[input], g);
    FNN_TRY(fnn_empty(&b->dx[input], g->dtype, g->ndim, g->shape));
    void *dst = b->dx[input].data, *src = parts->data;
    FNN_KERNEL_OF(g->dtype, sum_cols, dst, src, chunks, n, n);
    return FNN_OK;
}

static fnn_status backward(fnn_backcall *b) {
    const fnn_geom *g = &b->out_geom[0];
    bool rms = b->op == &fnn_op_RMS_NORM, need_b = !rms && b->need[2];
    int64_t n = row_length(&b->attrs->list[0]);
    fnn_tensor dy = {0}, x = {0}, w = {0}, dw = {0}, db = {0};
    fnn_status status = fnn_contiguous(&dy, b->dy[0]);
    int64_t rows = dy.numel && n ? dy.numel / n : 0, per = fnn_rows_per_chunk(n);
    if (rms && per > SHORT) per = SHORT;
    if (per * PARTS < rows) per = fnn_chunks(rows, PARTS);
    int64_t chunks = fnn_chunks(rows, per), parts[2] = {chunks, n};
    if (!status) status = fnn_contiguous(&x, &b->in[0]);
    if (!status && b->in[1].data) status = fnn_contiguous(&w, &b->in[1]);
    if (!status && b->need[0]) status = fnn_empty(&b->dx[0], g->dtype, g->ndim, g->shape);
    if (!status && b->need[1]) status = fnn_empty(&dw, g->dtype, 2, parts);
    if (!status && need_b) status = fnn_empty(&db, g->dtype, 2, parts);
    if (!status && chunks) {
        task t = {.rms = rms, .dtype = g->dtype, .rows = rows, .n = n, .per = per, .out = b->dx[0].data, .x = x.data, .dy = dy.data, .w = w.data,
                  .mean = rms ? NULL : b->extra[0].data, .rstd = b->extra[rms ? 0 : 1].data, .dw = dw.data, .db = db.data};
        fnn_parallel(chunks, 0.8 * (double)(rows * n), backward_chunk, &t);
    }
    if (!status) status = merge(b, 1, &dw, chunks, n);
    if (!status && need_b) status = merge(b, 2, &db, chunks, n);
    fnn_tensor *const temporaries[] = {&dy, &x, &w, &dw, &db};
    for (int i = 0; i < 5; i++) fnn_tensor_unref(temporaries[i]);
    return status;
}

const fnn_op fnn_op_LAYER_NORM = {.name = "layer_norm", .grad_name = "NativeLayerNormBackward0", .n_in = 3, .n_out = 1, .n_extra = 2, .optional_in = 6,
                                  .save_in = {1 | 2, 1, 1}, .plan = plan, .forward = forward, .backward = backward};
/* torch composes it of pointwise ops: the last one's name is what grad_fn shows. */
const fnn_op fnn_op_RMS_NORM = {.name = "rms_norm", .grad_name = "MulBackward0", .n_in = 2, .n_out = 1, .n_extra = 1, .optional_in = 2,
                                .save_in = {1 | 2, 1}, .plan = plan, .forward = forward, .backward = backward};
