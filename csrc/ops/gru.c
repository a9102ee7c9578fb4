/* gru and gru_cell: from tensors to sequences (gru_core.h, formulas in kernels/gru_task.h).
 *
 *   gru       x (B,T,I) or (T,B,I), h? (B,H)  ->  y (B,T,H) or (T,B,H), the last h (B,H): one layer, one direction
 *   gru_cell  x (B,I) or (I,), h? (B,H) or (H,)  ->  h' of h's kind: the sequence of one step
 * in: x, h?, w_ih (3H,I), w_hh (3H,H), b_ih? (3H,), b_hh? (3H,). Variant "before": w (3H, I+H) in w_ih's place, no w_hh, b in
 * b_ih's place, no b_hh. attrs: v[0].i 1 for "before"; gru also v[1].i batch_first, v[2].i reverse (from the last step to the
 * first, results at their own steps). Saved: gates and what belongs to them, 5H numbers per row and step.
 * Invariant: strides decide no result; an operand whose last dimension is not contiguous is copied.
 * Read next: gru_core.c. */
#include "core/pool.h"
#include "ops/gru_core.h"
#include "ops/op.h"

enum { X, HX, W_IH, W_HH, B_IH, B_HH, OPERANDS };

/* The call as numbers. Strides along batch and time; time runs backwards for `reverse`. */
typedef struct frame {
    const char *name;
    bool cell, before, batch_first, reverse;
    int64_t B, T, I, H;
} frame;

static frame frame_of(const fnn_op *op, const fnn_attrs *attrs) {
    frame f = {.name = op->name, .cell = op == &fnn_op_GRU_CELL, .before = attrs->v[0].i != 0};
    if (!f.cell) f.batch_first = attrs->v[1].i != 0, f.reverse = attrs->v[2].i != 0;
    return f;
}

/* ---- shapes ---- */

static fnn_status want_shape(const frame *f, const char *what, const fnn_tensor *t, int64_t rows, int64_t cols) {
    const bool fits = cols < 0 ? t->ndim == 1 && t->shape[0] == rows : t->ndim == 2 && t->shape[0] == rows && t->shape[1] == cols;
    if (fits) return FNN_OK;
    if (cols < 0) return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has shape %s, expected (%lld,)", f->name, what, fnn_shape_of(t), (long long)rows);
    return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has shape %s, expected (%lld, %lld)", f->name, what, fnn_shape_of(t), (long long)rows, (long long)cols);
}

/* Fills B, T, I, H from shapes that `check` has passed, or is about to. */
static void measure(frame *f, const fnn_geom *x, const fnn_geom *w_ih, const fnn_geom *w_hh) {
    f->I = x->shape[x->ndim - 1];
    f->H = f->before ? w_ih->shape[0] / 3 : w_hh->shape[1];
    if (f->cell) f->B = x->ndim == 2 ? x->shape[0] : 1, f->T = 1;
    else f->B = x->shape[f->batch_first ? 0 : 1], f->T = x->shape[f->batch_first ? 1 : 0];
}

static fnn_status check(frame *f, const fnn_tensor *const *in) {
    static const char *const names[OPERANDS] = {"input", "hx", "w_ih", "w_hh", "b_ih", "b_hh"};
    const fnn_tensor *x = in[X], *h = in[HX];
    FNN_TRY(fnn_want_float(f->name, "input", x));
    for (int i = HX; i < OPERANDS; i++)
        if (in[i]) FNN_TRY(fnn_want_same_dtype(f->name, names[i], in[i], x->dtype));
    if (f->cell ? x->ndim != 1 && x->ndim != 2 : x->ndim != 3)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: input has shape %s, expected %s", f->name, fnn_shape_of(x), f->cell ? "(B, I) or (I,)" : "3 dimensions");
    if (f->before && (in[W_HH] || in[B_HH]))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: variant 'before' has one weight (3H, I+H) and one bias (3H,), found w_hh or b_hh as well", f->name);
    if (!f->before && !in[W_HH]) return fnn_fail(FNN_ERR_RUNTIME, "%s: variant 'after' wants w_hh (3H, H), found none", f->name);
    for (int i = W_IH; i <= W_HH; i++)
        if (in[i] && (in[i]->ndim != 2 || in[i]->shape[0] % 3 != 0))
            return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has shape %s, expected (3H, ..)", f->name, names[i], fnn_shape_of(in[i]));
    const fnn_geom gx = fnn_geom_of(x), gw = fnn_geom_of(in[W_IH]), gu = in[W_HH] ? fnn_geom_of(in[W_HH]) : gw;
    measure(f, &gx, &gw, &gu);
    if (in[W_IH]->shape[1] != f->I + (f->before ? f->H : 0))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: input has inconsistent input_size: got %lld expected %lld", f->name, (long long)f->I,
                        (long long)(in[W_IH]->shape[1] - (f->before ? f->H : 0)));
    FNN_TRY(want_shape(f, "w_ih", in[W_IH], 3 * f->H, in[W_IH]->shape[1]));
    if (in[W_HH]) FNN_TRY(want_shape(f, "w_hh", in[W_HH], 3 * f->H, f->H));
    for (int i = B_IH; i <= B_HH; i++)
        if (in[i]) FNN_TRY(want_shape(f, names[i], in[i], 3 * f->H, -1));
    if (!h) return FNN_OK;
    if (f->cell && h->ndim != x->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: hx has shape %s, expected as many dimensions as input %s", f->name, fnn_shape_of(h), fnn_shape_of(x));
    if (h->ndim && h->shape[h->ndim - 1] != f->H)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: hidden has inconsistent hidden_size: got %lld, expected %lld", f->name, (long long)h->shape[h->ndim - 1],
                        (long long)f->H);
    return h->ndim == 1 ? FNN_OK : want_shape(f, "hx", h, f->B, f->H);
}

/* ---- tensors to fnn_gru ---- */

/* Element strides along batch and time; *first moves to the step that comes first. */
static void strides(const frame *f, const fnn_tensor *t, const char **first, int64_t *b, int64_t *time) {
    if (f->cell) {
        *b = t->ndim == 2 ? t->stride[0] : 0;
        *time = 0;
        return;
    }
    *b = t->stride[f->batch_first ? 0 : 1];
    *time = t->stride[f->batch_first ? 1 : 0];
    if (!f->reverse) return;
    if (*first) *first += (f->T - 1) * *time * fnn_itemsize[t->dtype];
    *time = -*time;
}

/* x, h0 and weights; `in` has contiguous last dimensions. NULL entries of data are absent operands. */
static fnn_gru describe(const frame *f, const fnn_tensor *const *in) {
    fnn_gru g = {.B = f->B, .T = f->T, .I = f->I, .H = f->H, .before = f->before};
    const int64_t size = fnn_itemsize[in[X]->dtype];
    const char *x = in[X]->data;
    strides(f, in[X], &x, &g.x_b, &g.x_t);
    g.x = x;
    if (in[HX]) g.h0 = in[HX]->data, g.h0_b = in[HX]->ndim == 2 ? in[HX]->stride[0] : 0;
    g.wx = in[W_IH]->data;
    g.wx_row = in[W_IH]->stride[0];
    g.wh = f->before ? in[W_IH]->data + f->I * size : in[W_HH]->data;
    g.wh_row = f->before ? g.wx_row : in[W_HH]->stride[0];
    g.bx = in[B_IH] ? in[B_IH]->data : NULL;
    g.bh = in[B_HH] ? in[B_HH]->data : NULL;
    return g;
}

/* Operands with a contiguous last dimension: the tensors themselves or copies, which release() gives back. */
static fnn_status straighten(const fnn_tensor *const *in, const fnn_tensor **straight, fnn_tensor *copies) {
    for (int i = 0; i < OPERANDS; i++) {
        straight[i] = in[i];
        if (!in[i] || in[i]->stride[in[i]->ndim - 1] == 1 || in[i]->shape[in[i]->ndim - 1] <= 1) continue;
        FNN_TRY(fnn_contiguous(&copies[i], in[i]));
        straight[i] = &copies[i];
    }
    return FNN_OK;
}
static void release(fnn_tensor *t, int n) {
    for (int i = 0; i < n; i++) fnn_tensor_unref(&t[i]);
}

/* ---- forward ---- */

static size_t forward_scratch(const fnn_gru *g, int dtype) {
    return dtype == FNN_F32 ? fnn_gru_forward_scratch_f32(g) : fnn_gru_forward_scratch_f64(g);
}

static fnn_status plan_gru(fnn_call *c) {
    frame f = frame_of(c->op, c->attrs);
    FNN_TRY(check(&f, c->in));
    const fnn_tensor *x = c->in[X];
    int64_t shape[3] = {x->shape[0], x->shape[x->ndim > 1 ? 1 : 0], f.H};
    if (x->ndim < 3) shape[x->ndim - 1] = f.H;
    fnn_tensor_set_geometry(&c->out[0], x->ndim, shape, NULL);
    c->out[0].dtype = x->dtype;
    if (!f.cell) {
        fnn_tensor_set_geometry(&c->out[1], 2, (const int64_t[]){f.B, f.H}, NULL);
        c->out[1].dtype = x->dtype;
    }
    fnn_tensor_set_geometry(&c->extra[0], 3, (const int64_t[]){f.B, f.T, FNN_GRU_SAVED * f.H}, NULL);
    c->extra[0].dtype = x->dtype;
    const fnn_gru g = {.B = f.B, .T = f.T, .I = f.I, .H = f.H, .before = f.before};
    c->scratch_bytes = forward_scratch(&g, x->dtype);
    c->work = (double)(f.B * f.T * f.H) * (3.0 * (double)(f.I + f.H) + 60) * (x->dtype == FNN_F32 ? 0.013 : 0.026);
    return FNN_OK;
}

/* The last h: y's last step, or h0 where there are no steps. */
static fnn_status give_last(const frame *f, const fnn_tensor *y, const fnn_tensor *h0, const fnn_tensor *last) {
    if (f->T == 0) return h0 ? fnn_copy_into(last, h0) : fnn_fill_zero(last);
    const int t = f->batch_first ? 1 : 0;
    fnn_tensor step = *y;
    step.data += (f->reverse ? 0 : f->T - 1) * y->stride[t] * fnn_itemsize[y->dtype];
    const int64_t shape[2] = {f->B, f->H}, stride[2] = {y->stride[1 - t], 1};
    fnn_tensor_set_geometry(&step, 2, shape, stride);
    return fnn_copy_into(last, &step);
}

static fnn_status forward_gru(fnn_call *c) {
    frame f = frame_of(c->op, c->attrs);
    FNN_TRY(check(&f, c->in));
    const fnn_tensor *in[OPERANDS];
    fnn_tensor copies[OPERANDS] = {0};
    fnn_status status = straighten(c->in, in, copies);
    if (!status) {
        fnn_gru g = describe(&f, in);
        const char *y = c->out[0].data;
        strides(&f, &c->out[0], &y, &g.y_b, &g.y_t);
        g.y = (char *)y;
        g.saved = c->save ? c->extra[0].data : NULL;
        (c->out[0].dtype == FNN_F32 ? fnn_gru_forward_f32 : fnn_gru_forward_f64)(&g, c->scratch);
        if (!f.cell) status = give_last(&f, &c->out[0], in[HX], &c->out[1]);
    }
    release(copies, OPERANDS);
    return status;
}

/* ---- backward ---- */

/* A fresh contiguous tensor of input i's shape in b->dx[i]; NULL data where it is not wanted. */
static fnn_status make_gradients(fnn_backcall *b, const frame *f, fnn_tensor *dh0) {
    for (int i = 0; i < OPERANDS; i++) {
        if (!b->need[i] || i == HX) continue;
        FNN_TRY(fnn_empty(&b->dx[i], b->in_geom[i].dtype, b->in_geom[i].ndim, b->in_geom[i].shape));
    }
    return fnn_empty(dh0, b->in_geom[X].dtype, 2, (const int64_t[]){f->B, f->H});
}

static void describe_gradients(fnn_backcall *b, const frame *f, const fnn_tensor *dh0, fnn_gru *g) {
    const int64_t size = fnn_itemsize[dh0->dtype];
    g->dh0 = dh0->data;
    if (b->need[X]) {
        const char *dx = b->dx[X].data;
        strides(f, &b->dx[X], &dx, &g->dx_b, &g->dx_t);
        g->dx = (char *)dx;
    }
    g->dwx_row = b->in_geom[W_IH].shape[1];
    g->dwh_row = f->before ? g->dwx_row : f->H;
    if (b->need[W_IH]) {
        g->dwx = b->dx[W_IH].data;
        if (f->before) g->dwh = b->dx[W_IH].data + f->I * size;
    }
    if (b->need[W_HH]) g->dwh = b->dx[W_HH].data;
    if (b->need[B_IH]) g->dbx = b->dx[B_IH].data;
    if (b->need[B_HH]) g->dbh = b->dx[B_HH].data;
}

static fnn_status run_backward(fnn_backcall *b, const frame *f, fnn_gru *g, const fnn_tensor *dy, const fnn_tensor *dhn) {
    if (dy) {
        const char *data = dy->data;
        strides(f, dy, &data, &g->dy_b, &g->dy_t);
        g->dy = data;
    }
    if (dhn) g->dhn = dhn->data;
    g->saved = b->extra[0].data;
    const bool f32 = b->in_geom[X].dtype == FNN_F32;
    const size_t bytes = f32 ? fnn_gru_backward_scratch_f32(g) : fnn_gru_backward_scratch_f64(g);
    void *scratch = fnn_pool_alloc(bytes);
    if (!scratch) return fnn_fail(FNN_ERR_MEMORY, "%s: out of memory for %zu bytes of scratch", f->name, bytes);
    (f32 ? fnn_gru_backward_f32 : fnn_gru_backward_f64)(g, scratch);
    fnn_pool_free(scratch, bytes);
    return FNN_OK;
}

static fnn_status back_gru(fnn_backcall *b) {
    frame f = frame_of(b->op, b->attrs);
    measure(&f, &b->in_geom[X], &b->in_geom[W_IH], &b->in_geom[W_HH]);
    /* Biases and h0 are not read again: only what is saved takes part. */
    const fnn_tensor *saved[OPERANDS] = {&b->in[X], NULL, &b->in[W_IH], f.before ? NULL : &b->in[W_HH]}, *in[OPERANDS];
    fnn_tensor copies[OPERANDS] = {0}, dh0 = {0}, dy = {0}, dhn = {0};
    fnn_status status = straighten(saved, in, copies);
    const fnn_tensor *gy = b->dy[0], *gh = f.cell ? NULL : b->dy[1];
    if (!status && gy && gy->stride[gy->ndim - 1] != 1) {
        status = fnn_contiguous(&dy, gy);
        gy = &dy;
    }
    if (!status && gh) {
        status = fnn_contiguous(&dhn, gh);
        gh = &dhn;
    }
    if (!status) status = make_gradients(b, &f, &dh0);
    if (!status) {
        fnn_gru g = describe(&f, in);
        describe_gradients(b, &f, &dh0, &g);
        status = run_backward(b, &f, &g, gy, gh);
    }
    if (!status && b->need[HX]) {
        fnn_tensor_ref_data(&b->dx[HX], &dh0);
        fnn_tensor_set_geometry(&b->dx[HX], b->in_geom[HX].ndim, b->in_geom[HX].shape, NULL);
    }
    release(copies, OPERANDS);
    fnn_tensor_unref(&dh0);
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&dhn);
    return status;
}

#define SAVES {13, 13, 13, 13, 13, 13} /* x, w_ih, w_hh, whatever is wanted: all gradients go through the recurrence */
const fnn_op fnn_op_GRU = {.name = "gru", .grad_name = "GruBackward0", .n_in = OPERANDS, .n_out = 2, .n_extra = 1,
                           .optional_in = 1 << HX | 1 << W_HH | 1 << B_IH | 1 << B_HH, .save_in = SAVES,
                           .plan = plan_gru, .forward = forward_gru, .backward = back_gru};
const fnn_op fnn_op_GRU_CELL = {.name = "gru_cell", .grad_name = "GruCellBackward0", .n_in = OPERANDS, .n_out = 1, .n_extra = 1,
                                .optional_in = 1 << HX | 1 << W_HH | 1 << B_IH | 1 << B_HH, .save_in = SAVES,
                                .plan = plan_gru, .forward = forward_gru, .backward = back_gru};
