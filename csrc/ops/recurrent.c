/* rnn, lstm, gru and their cells: from tensors to sequences (recurrent_core.h, formulas in kernels/recurrent_task.h).
 *
 *   rnn, gru   x (B,T,I) or (T,B,I), h? (B,H)  ->  y (B,T,H) or (T,B,H), the last h (B,H): one layer, one direction
 *   lstm       the same with c? (B,H)  ->  y, the last h, the last c (B,H)
 *   *_cell     x (B,I) or (I,), h? (c?) (B,H) or (H,)  ->  h' (c') of h's kind: the sequence of one step
 * in: x, h?, w_ih (GH,I), w_hh (GH,H), b_ih? (GH,), b_hh? (GH,), lstm: c?; G = 1, 4, 3 gates. GRU variant "before": w (3H, I+H)
 * in w_ih's place, no w_hh, b in b_ih's place, no b_hh. attrs: rnn 1 for relu, gru 1 for "before"; then, cells excepted,
 * batch_first, reverse (from the last step to the first, results at their own steps). Saved: gates and what belongs to them.
 * Invariant: strides decide no result; an operand whose last dimension is not contiguous is copied.
 * Read next: recurrent_core.c. */
#include "core/pool.h"
#include "core/threads.h"
#include "ops/op.h"
#include "ops/recurrent_core.h"

enum { X, HX, W_IH, W_HH, B_IH, B_HH, CX, OPERANDS };

/* The call as numbers. Strides along batch and time; time runs backwards for `reverse`. */
typedef struct frame {
    const char *name;
    fnn_recurrence kind;
    int n_in, gates;
    bool cell, before, lstm, batch_first, reverse;
    int64_t B, T, I, H;
} frame;

static frame frame_of(const fnn_op *op, const fnn_attrs *attrs) {
    frame f = {.name = op->name, .n_in = op->n_in};
    f.cell = op == &fnn_op_RNN_CELL || op == &fnn_op_LSTM_CELL || op == &fnn_op_GRU_CELL;
    f.lstm = op == &fnn_op_LSTM || op == &fnn_op_LSTM_CELL;
    const bool gru = op == &fnn_op_GRU || op == &fnn_op_GRU_CELL, other = !f.lstm && attrs->v[0].i != 0;
    f.kind = f.lstm ? FNN_LSTM : gru ? other ? FNN_GRU_BEFORE : FNN_GRU_AFTER : other ? FNN_RNN_RELU : FNN_RNN_TANH;
    f.before = f.kind == FNN_GRU_BEFORE;
    f.gates = FNN_RECURRENCE[f.kind].gates;
    const int next = f.lstm ? 0 : 1;
    if (!f.cell) f.batch_first = attrs->v[next].i != 0, f.reverse = attrs->v[next + 1].i != 0;
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
    f->H = f->before ? w_ih->shape[0] / f->gates : w_hh->shape[1];
    if (f->cell) f->B = x->ndim == 2 ? x->shape[0] : 1, f->T = 1;
    else f->B = x->shape[f->batch_first ? 0 : 1], f->T = x->shape[f->batch_first ? 1 : 0];
}

static fnn_status check_state(const frame *f, const char *what, const fnn_tensor *x, const fnn_tensor *h) {
    if (!h) return FNN_OK;
    if (f->cell && h->ndim != x->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has shape %s, expected as many dimensions as input %s", f->name, what, fnn_shape_of(h), fnn_shape_of(x));
    if (h->ndim && h->shape[h->ndim - 1] != f->H)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: hidden has inconsistent hidden_size: got %lld, expected %lld", f->name, (long long)h->shape[h->ndim - 1],
                        (long long)f->H);
    return h->ndim == 1 ? FNN_OK : want_shape(f, what, h, f->B, f->H);
}

static fnn_status check(frame *f, const fnn_tensor *const *in) {
    static const char *const names[OPERANDS] = {"input", "hx", "w_ih", "w_hh", "b_ih", "b_hh", "cx"};
    const fnn_tensor *x = in[X];
    FNN_TRY(fnn_want_float(f->name, "input", x));
    for (int i = HX; i < f->n_in; i++)
        if (in[i]) FNN_TRY(fnn_want_same_dtype(f->name, names[i], in[i], x->dtype));
    if (f->cell ? x->ndim != 1 && x->ndim != 2 : x->ndim != 3)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: input has shape %s, expected %s", f->name, fnn_shape_of(x), f->cell ? "(B, I) or (I,)" : "3 dimensions");
    if (f->before && (in[W_HH] || in[B_HH]))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: variant 'before' has one weight (3H, I+H) and one bias (3H,), found w_hh or b_hh as well", f->name);
    if (!f->before && !in[W_HH]) return fnn_fail(FNN_ERR_RUNTIME, "%s: wants w_hh (%dH, H), found none", f->name, f->gates);
    for (int i = W_IH; i <= W_HH; i++)
        if (in[i] && (in[i]->ndim != 2 || in[i]->shape[0] % f->gates != 0))
            return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has shape %s, expected (%dH, ..)", f->name, names[i], fnn_shape_of(in[i]), f->gates);
    const fnn_geom gx = fnn_geom_of(x), gw = fnn_geom_of(in[W_IH]), gu = in[W_HH] ? fnn_geom_of(in[W_HH]) : gw;
    measure(f, &gx, &gw, &gu);
    if (in[W_IH]->shape[1] != f->I + (f->before ? f->H : 0))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: input has inconsistent input_size: got %lld expected %lld", f->name, (long long)f->I,
                        (long long)(in[W_IH]->shape[1] - (f->before ? f->H : 0)));
    FNN_TRY(want_shape(f, "w_ih", in[W_IH], f->gates * f->H, in[W_IH]->shape[1]));
    if (in[W_HH]) FNN_TRY(want_shape(f, "w_hh", in[W_HH], f->gates * f->H, f->H));
    for (int i = B_IH; i <= B_HH; i++)
        if (in[i]) FNN_TRY(want_shape(f, names[i], in[i], f->gates * f->H, -1));
    FNN_TRY(check_state(f, "hx", x, in[HX]));
    return f->lstm ? check_state(f, "cx", x, in[CX]) : FNN_OK;
}

/* ---- tensors to fnn_recurrent ---- */

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

/* x, first states and weights; `in` has contiguous last dimensions. NULL entries of data are absent operands. */
static fnn_recurrent describe(const frame *f, const fnn_tensor *const *in) {
    fnn_recurrent g = {.kind = f->kind, .B = f->B, .T = f->T, .I = f->I, .H = f->H};
    const int64_t size = fnn_itemsize[in[X]->dtype];
    const char *x = in[X]->data;
    strides(f, in[X], &x, &g.x_b, &g.x_t);
    g.x = x;
    if (in[HX]) g.h0 = in[HX]->data, g.h0_b = in[HX]->ndim == 2 ? in[HX]->stride[0] : 0;
    if (in[CX]) g.c0 = in[CX]->data, g.c0_b = in[CX]->ndim == 2 ? in[CX]->stride[0] : 0;
    g.wx = in[W_IH]->data;
    g.wx_row = in[W_IH]->stride[0];
    g.wh = f->before ? in[W_IH]->data + f->I * size : in[W_HH]->data;
    g.wh_row = f->before ? g.wx_row : in[W_HH]->stride[0];
    g.bx = in[B_IH] ? in[B_IH]->data : NULL;
    g.bh = in[B_HH] ? in[B_HH]->data : NULL;
    return g;
}

/* Operands with a contiguous last dimension: the tensors themselves or copies, which release() gives back. */
static fnn_status straighten(const fnn_tensor *const *in, int n_in, const fnn_tensor **straight, fnn_tensor *copies) {
    for (int i = 0; i < OPERANDS; i++) {
        straight[i] = i < n_in ? in[i] : NULL;
        const fnn_tensor *t = straight[i];
        if (!t || t->stride[t->ndim - 1] == 1 || t->shape[t->ndim - 1] <= 1) continue;
        FNN_TRY(fnn_contiguous(&copies[i], t));
        straight[i] = &copies[i];
    }
    return FNN_OK;
}
static void release(fnn_tensor *t, int n) {
    for (int i = 0; i < n; i++) fnn_tensor_unref(&t[i]);
}

/* ---- forward ---- */

static fnn_status plan_recurrent(fnn_call *c) {
    frame f = frame_of(c->op, c->attrs);
    FNN_TRY(check(&f, c->in));
    const fnn_tensor *x = c->in[X];
    int64_t shape[3] = {x->shape[0], x->shape[x->ndim > 1 ? 1 : 0], f.H};
    if (x->ndim < 3) shape[x->ndim - 1] = f.H;
    for (int i = 0; i < c->op->n_out; i++) { /* y, or the states */
        const bool state = i > 0 && !f.cell;
        fnn_tensor_set_geometry(&c->out[i], state ? 2 : x->ndim, state ? (const int64_t[]){f.B, f.H} : shape, NULL);
        c->out[i].dtype = x->dtype;
    }
    fnn_tensor_set_geometry(&c->extra[0], 3, (const int64_t[]){f.B, f.T, FNN_RECURRENCE[f.kind].saved * f.H}, NULL);
    c->extra[0].dtype = x->dtype;
    const fnn_recurrent g = {.kind = f.kind, .B = f.B, .T = f.T, .I = f.I, .H = f.H};
    c->scratch_bytes = fnn_recurrent_forward_scratch(&g, fnn_itemsize[x->dtype]);
    c->work = fnn_recurrent_work(&g, fnn_itemsize[x->dtype]);
    return FNN_OK;
}

/* The last h: y's last step. */
static fnn_status give_last(const frame *f, const fnn_tensor *y, const fnn_tensor *last) {
    const int t = f->batch_first ? 1 : 0;
    fnn_tensor step = *y;
    step.data += (f->reverse ? 0 : f->T - 1) * y->stride[t] * fnn_itemsize[y->dtype];
    const int64_t shape[2] = {f->B, f->H}, stride[2] = {y->stride[1 - t], 1};
    fnn_tensor_set_geometry(&step, 2, shape, stride);
    return fnn_copy_into(last, &step);
}

/* Without steps the last states are the first. */
static fnn_status give_first(const fnn_tensor *first, const fnn_tensor *last) {
    return first ? fnn_copy_into(last, first) : fnn_fill_zero(last);
}

static fnn_status forward_recurrent(fnn_call *c) {
    frame f = frame_of(c->op, c->attrs);
    FNN_TRY(check(&f, c->in));
    if (f.T == 0) {
        FNN_TRY(give_first(c->in[HX], &c->out[1]));
        return f.lstm ? give_first(c->in[CX], &c->out[2]) : FNN_OK;
    }
    const fnn_tensor *in[OPERANDS];
    fnn_tensor copies[OPERANDS] = {0};
    fnn_status status = straighten(c->in, f.n_in, in, copies);
    if (!status) {
        fnn_recurrent g = describe(&f, in);
        const char *y = c->out[0].data;
        strides(&f, &c->out[0], &y, &g.y_b, &g.y_t);
        g.y = (char *)y;
        if (f.lstm) g.cn = c->out[f.cell ? 1 : 2].data;
        g.saved = c->save ? c->extra[0].data : NULL;
        fnn_recurrent_forward(&g, fnn_itemsize[c->out[0].dtype], c->scratch);
        if (!f.cell) status = give_last(&f, &c->out[0], &c->out[1]);
    }
    release(copies, OPERANDS);
    return status;
}

/* ---- backward ---- */

/* What backward makes or straightens besides the gradients it hands out; all owned. */
typedef struct workspace {
    fnn_tensor copies[OPERANDS], dh0, dc0, dy, dhn, dcn;
} workspace;

/* x's gradient, in x's layout where that has contiguous rows: a chunk then writes one piece of memory, and what comes before
 * (the transpose of batch_first) need not copy. */
static fnn_status make_dx(fnn_backcall *b) {
    const fnn_tensor *x = &b->in[X];
    fnn_tensor dx = {.dtype = x->dtype};
    fnn_tensor_set_geometry(&dx, x->ndim, x->shape, NULL);
    if (x->stride[x->ndim - 1] == 1) fnn_keep_layout(&dx, &x, 1);
    FNN_TRY(fnn_tensor_alloc(&dx));
    b->dx[X] = dx;
    return FNN_OK;
}

/* Fresh contiguous tensors in b->dx where wanted, and the first states' as (B,H), wanted or not. */
static fnn_status make_gradients(fnn_backcall *b, const frame *f, workspace *w) {
    const int dtype = b->in_geom[X].dtype;
    for (int i = 0; i < f->n_in; i++) {
        if (!b->need[i] || i == X || i == HX || i == CX) continue;
        FNN_TRY(fnn_empty(&b->dx[i], dtype, b->in_geom[i].ndim, b->in_geom[i].shape));
    }
    if (b->need[X]) FNN_TRY(make_dx(b));
    const int64_t shape[2] = {f->B, f->H};
    if (f->lstm) FNN_TRY(fnn_empty(&w->dc0, dtype, 2, shape));
    return fnn_empty(&w->dh0, dtype, 2, shape);
}

static void describe_gradients(fnn_backcall *b, const frame *f, const workspace *w, fnn_recurrent *g) {
    g->dh0 = w->dh0.data;
    g->dc0 = w->dc0.data;
    if (b->need[X]) {
        const char *dx = b->dx[X].data;
        strides(f, &b->dx[X], &dx, &g->dx_b, &g->dx_t);
        g->dx = (char *)dx;
    }
    g->dwx_row = b->in_geom[W_IH].shape[1];
    g->dwh_row = f->before ? g->dwx_row : f->H;
    if (b->need[W_IH]) {
        g->dwx = b->dx[W_IH].data;
        if (f->before) g->dwh = b->dx[W_IH].data + f->I * fnn_itemsize[w->dh0.dtype];
    }
    if (b->need[W_HH]) g->dwh = b->dx[W_HH].data;
    if (b->need[B_IH]) g->dbx = b->dx[B_IH].data;
    if (b->need[B_HH]) g->dbh = b->dx[B_HH].data;
}

/* The gradients that come in; those of the states contiguous, y's in its last dimension. */
static fnn_status read_incoming(const fnn_backcall *b, const frame *f, workspace *w, fnn_recurrent *g) {
    const fnn_tensor *dy = b->dy[0], *dhn = f->cell ? NULL : b->dy[1], *dcn = f->lstm ? b->dy[f->cell ? 1 : 2] : NULL;
    if (dy && dy->stride[dy->ndim - 1] != 1) {
        FNN_TRY(fnn_contiguous(&w->dy, dy));
        dy = &w->dy;
    }
    if (dy) {
        const char *data = dy->data;
        strides(f, dy, &data, &g->dy_b, &g->dy_t);
        g->dy = data;
    }
    if (dhn) FNN_TRY(fnn_contiguous(&w->dhn, dhn));
    if (dcn) FNN_TRY(fnn_contiguous(&w->dcn, dcn));
    g->dhn = w->dhn.data;
    g->dcn = w->dcn.data;
    return FNN_OK;
}

static fnn_status run_backward(fnn_backcall *b, const frame *f, workspace *w) {
    /* Biases and first states are not read again: only what is saved takes part. */
    const fnn_tensor *saved[OPERANDS] = {&b->in[X], NULL, &b->in[W_IH], f->before ? NULL : &b->in[W_HH]}, *in[OPERANDS];
    FNN_TRY(straighten(saved, OPERANDS, in, w->copies));
    FNN_TRY(make_gradients(b, f, w));
    fnn_recurrent g = describe(f, in);
    describe_gradients(b, f, w, &g);
    FNN_TRY(read_incoming(b, f, w, &g));
    g.saved = b->extra[0].data;
    g.threads = fnn_get_num_threads();
    const int64_t size = fnn_itemsize[b->in_geom[X].dtype];
    const size_t bytes = fnn_recurrent_backward_scratch(&g, size);
    void *scratch = fnn_pool_alloc(bytes);
    if (!scratch) return fnn_fail(FNN_ERR_MEMORY, "%s: out of memory for %zu bytes of scratch", f->name, bytes);
    fnn_recurrent_backward(&g, size, scratch);
    fnn_pool_free(scratch, bytes);
    return FNN_OK;
}

/* Hands a first state's gradient out in that state's shape. */
static void give_gradient(fnn_backcall *b, int i, const fnn_tensor *gradient) {
    if (!b->need[i]) return;
    fnn_tensor_ref_data(&b->dx[i], gradient);
    fnn_tensor_set_geometry(&b->dx[i], b->in_geom[i].ndim, b->in_geom[i].shape, NULL);
}

static fnn_status back_recurrent(fnn_backcall *b) {
    frame f = frame_of(b->op, b->attrs);
    measure(&f, &b->in_geom[X], &b->in_geom[W_IH], &b->in_geom[W_HH]);
    workspace w = {0};
    const fnn_status status = run_backward(b, &f, &w);
    if (!status) {
        give_gradient(b, HX, &w.dh0);
        if (f.lstm) give_gradient(b, CX, &w.dc0);
    }
    release(w.copies, OPERANDS);
    fnn_tensor_unref(&w.dh0), fnn_tensor_unref(&w.dc0);
    fnn_tensor_unref(&w.dy), fnn_tensor_unref(&w.dhn), fnn_tensor_unref(&w.dcn);
    return status;
}

#define SAVES {13, 13, 13, 13, 13, 13, 13} /* x, w_ih, w_hh, whatever is wanted: all gradients go through the recurrence */
#define OPTIONAL (1 << HX | 1 << W_HH | 1 << B_IH | 1 << B_HH | 1 << CX)
#define RECURRENT(id, op_name, shown, inputs, outputs)                                                                    \
    const fnn_op fnn_op_##id = {.name = op_name, .grad_name = shown "Backward0", .n_in = inputs, .n_out = outputs,        \
                                .n_extra = 1, .optional_in = OPTIONAL, .save_in = SAVES, .plan = plan_recurrent,          \
                                .forward = forward_recurrent, .backward = back_recurrent};
RECURRENT(RNN, "rnn", "Rnn", OPERANDS - 1, 2)
RECURRENT(RNN_CELL, "rnn_cell", "RnnCell", OPERANDS - 1, 1)
RECURRENT(LSTM, "lstm", "Lstm", OPERANDS, 3)
RECURRENT(LSTM_CELL, "lstm_cell", "LstmCell", OPERANDS, 2)
RECURRENT(GRU, "gru", "Gru", OPERANDS - 1, 2)
RECURRENT(GRU_CELL, "gru_cell", "GruCell", OPERANDS - 1, 1)
