/* Dropout: the one random op with a gradient; fills are core/random.h, their Python face python/random_fill.c.
 *
 * DROPOUT attrs: v[0].f p, v[1].i training, v[2].p generator (NULL: the default one). For p = 0, outside training and for no
 * elements nothing is drawn and the result is a copy of the input (the Python face gives the input itself).
 * Invariant: y = x * noise with noise = 0 or 1/(1-p), drawn in the order of the result's memory, as torch draws it; the mask is
 * kept as bytes and multiplied again in backward. p = 1 draws nothing. */
#include <string.h>

#include "core/random.h"
#include "core/threads.h"
#include "iter.h"

#define CHUNK 16384

static bool draws(const fnn_attrs *a, int64_t numel) { return a->v[1].i && a->v[0].f > 0 && a->v[0].f < 1 && numel; }

/* Dense strides in the order of the input's own, also where those have gaps. */
static void dense_layout(fnn_tensor *y, const fnn_tensor *x) {
    int order[FNN_MAX_DIMS], n = 0;
    for (int d = x->ndim - 1; d >= 0; d--) {
        int at = n++;
        for (; at > 0 && x->stride[order[at - 1]] > x->stride[d] && x->stride[d]; at--) order[at] = order[at - 1];
        order[at] = d;
    }
    int64_t step = 1, stride[FNN_MAX_DIMS];
    for (int i = 0; i < n; i++) {
        stride[order[i]] = step;
        step *= x->shape[order[i]] > 1 ? x->shape[order[i]] : 1;
    }
    fnn_tensor_set_geometry(y, x->ndim, x->shape, stride);
}

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    double p = c->attrs->v[0].f;
    if (!(p >= 0 && p <= 1)) return fnn_fail(FNN_ERR_RUNTIME, "dropout: dropout probability has to be between 0 and 1, but got %g", p);
    if (draws(c->attrs, x->numel)) FNN_TRY(fnn_want_float("dropout", "input", x));
    fnn_tensor_set_geometry(c->out, x->ndim, x->shape, fnn_is_dense(x) ? x->stride : NULL);
    if (!fnn_is_dense(x)) dense_layout(c->out, x);
    c->out->dtype = x->dtype;
    c->extra[0].numel = -1; /* nothing to keep */
    if (draws(c->attrs, x->numel)) {
        c->extra[0] = *c->out;
        c->extra[0].dtype = FNN_BOOL;
        if (!c->save) c->scratch_bytes = (size_t)x->numel;
    }
    c->work = (double)x->numel * 3;
    return FNN_OK;
}

typedef struct task {
    char *y;
    const char *x;
    const uint8_t *mask;
    int64_t n;
    int dtype;
    double scale;
} task;

static void run_chunk(void *ctx, int64_t i) {
    const task *t = ctx;
    int64_t first = i * CHUNK, n = t->n - first < CHUNK ? t->n - first : CHUNK, skip = first * fnn_itemsize[t->dtype];
    void *y = t->y + skip;
    const void *x = t->x + skip;
    if (t->dtype == FNN_F32)
        fnn_k.f32.dropout_apply(y, x, t->mask + first, n, (float)t->scale);
    else
        fnn_k.f64.dropout_apply(y, x, t->mask + first, n, t->scale);
}

/* y = x * (mask ? 1/(1-p) : 0), where y and mask are dense and of one layout. */
static fnn_status apply(const fnn_tensor *y, const fnn_tensor *x, const uint8_t *mask, double p) {
    bool alike = x->contiguous && y->contiguous;
    if (!alike) FNN_TRY(fnn_copy_into(y, x));
    double scale = y->dtype == FNN_F32 ? 1.0f / (float)(1 - p) : 1 / (1 - p);
    task t = {.y = y->data, .x = alike ? x->data : y->data, .mask = mask, .n = y->numel, .dtype = y->dtype, .scale = scale};
    fnn_parallel((t.n + CHUNK - 1) / CHUNK, (double)t.n * 0.3, run_chunk, &t);
    return FNN_OK;
}

/* p = 1: x * 0, which keeps NaN and the sign */
static fnn_status all_dropped(fnn_tensor *dst, const fnn_tensor *x) {
    int64_t zero = 0;
    fnn_tensor number = fnn_number_i64(&zero);
    return fnn_run2(&fnn_op_MUL, dst, x, &number);
}

static fnn_status forward(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *y = c->out;
    double p = c->attrs->v[0].f;
    if (!draws(c->attrs, x->numel)) {
        if (!c->attrs->v[1].i || p == 0 || !x->numel) return fnn_copy_into(y, x);
        fnn_tensor zeros;
        FNN_TRY(all_dropped(&zeros, x));
        fnn_status status = fnn_copy_into(y, &zeros);
        fnn_tensor_unref(&zeros);
        return status;
    }
    fnn_generator *g = c->attrs->v[2].p ? c->attrs->v[2].p : fnn_default_generator();
    uint8_t *mask = (uint8_t *)(c->save ? c->extra[0].data : c->scratch);
    fnn_generator_lock(g);
    fnn_rng_bernoulli_u8(g, mask, x->numel, 1, 1 - p);
    fnn_generator_unlock(g);
    return apply(y, x, mask, p);
}

static fnn_status backward(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *mask = &b->extra[0];
    double p = b->attrs->v[0].f;
    if (!mask->data) {
        if (b->attrs->v[1].i && p == 1) return all_dropped(&b->dx[0], dy);
        fnn_tensor_ref_data(&b->dx[0], dy);
        return FNN_OK;
    }
    fnn_tensor dx = {.dtype = dy->dtype};
    fnn_tensor_set_geometry(&dx, mask->ndim, mask->shape, mask->stride);
    FNN_TRY(fnn_tensor_alloc(&dx));
    FNN_TRY(apply(&dx, dy, (const uint8_t *)mask->data, p));
    b->dx[0] = dx;
    return FNN_OK;
}

const fnn_op fnn_op_DROPOUT = {.name = "dropout", .grad_name = "MulBackward0", .n_in = 1, .n_out = 1, .n_extra = 1, .flags = FNN_F_RANDOM,
                               .plan = plan, .forward = forward, .backward = backward};
