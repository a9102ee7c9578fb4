/* scaled_dot_product_attention: softmax(scale q k^T + mask) v without a stored mask or matrix of scores.
 *
 * in: q (..., T, D), k (..., S, D), v (..., S, E), mask? (broadcasts to (..., T, S); bool: False forbids; float: added).
 * attrs: v[0].f dropout probability, v[1].i causal, v[2].f scale (NaN: 1/sqrt(D)).
 * Leading dimensions are the same in q, k and v (at most two besides heads folded together). Saved: probabilities for short
 * sequences, log-sum-exp for long ones (attention_core.h), and the bytes of dropout's draws. The gradient of a float mask is
 * composed from the probabilities. */
#include "attention_core.h"

#include <math.h>

#include "core/random.h"
#include "expr.h"

enum { Q, K, V, MASK };

static double drop(const fnn_attrs *a) { return a->v[0].f; }
static double scale_of(const fnn_attrs *a, int64_t D) { return a->v[2].f == a->v[2].f ? a->v[2].f : 1 / sqrt((double)D); }

/* t as four dimensions, missing leading ones of size 1. */
static fnn_tensor four(const fnn_tensor *t) {
    fnn_tensor x = *t;
    int lead = 4 - t->ndim;
    for (int d = 0; d < 4; d++) {
        x.shape[d] = d < lead ? 1 : t->shape[d - lead];
        x.stride[d] = d < lead ? 0 : t->stride[d - lead];
    }
    x.ndim = 4;
    return x;
}

static fnn_status check(fnn_call *c) {
    const fnn_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V], *mask = c->in[MASK];
    const char *op = c->op->name;
    FNN_TRY(fnn_want_float(op, "query", q));
    FNN_TRY(fnn_want_same_dtype(op, "key", k, q->dtype));
    FNN_TRY(fnn_want_same_dtype(op, "value", v, q->dtype));
    if (q->ndim < 2 || q->ndim > 4 || k->ndim != q->ndim || v->ndim != q->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: query, key and value have shapes %s, %s and %s, expected 2 to 4 dimensions, the same number in each", op,
                        fnn_shape_of(q), fnn_shape_of(k), fnn_shape_of(v));
    int n = q->ndim;
    bool fits = k->shape[n - 1] == q->shape[n - 1] && v->shape[n - 2] == k->shape[n - 2];
    for (int d = 0; d < n - 2; d++) fits &= k->shape[d] == q->shape[d] && v->shape[d] == q->shape[d];
    if (!fits)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: query %s, key %s and value %s do not fit together: expected (..., T, D), (..., S, D) and (..., S, E)", op,
                        fnn_shape_of(q), fnn_shape_of(k), fnn_shape_of(v));
    if (!(drop(c->attrs) >= 0 && drop(c->attrs) <= 1)) return fnn_fail(FNN_ERR_RUNTIME, "%s: dropout_p is %g, expected 0 to 1", op, drop(c->attrs));
    if (!mask) return FNN_OK;
    if (c->attrs->v[1].i) return fnn_fail(FNN_ERR_RUNTIME, "%s: Explicit attn_mask should not be set when is_causal=True", op);
    if (mask->dtype != FNN_BOOL && mask->dtype != q->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: attn_mask has dtype %s, expected bool or %s", op, fnn_dtype_name(mask->dtype), fnn_dtype_name(q->dtype));
    fnn_tensor scores = {0}, shape = {0};
    int64_t want[FNN_MAX_DIMS];
    for (int d = 0; d < n - 1; d++) want[d] = q->shape[d];
    want[n - 1] = k->shape[n - 2];
    fnn_tensor_set_geometry(&scores, n, want, NULL);
    const fnn_tensor *both[2] = {&scores, mask};
    if (fnn_broadcast(op, &shape, both, 2) || !fnn_same_shape(&shape, &scores))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: attn_mask of shape %s does not broadcast to %s", op, fnn_shape_of(mask), fnn_shape_of(&scores));
    return FNN_OK;
}

static fnn_status plan(fnn_call *c) {
    FNN_TRY(check(c));
    fnn_tensor q = four(c->in[Q]), v = four(c->in[V]);
    int n = c->in[Q]->ndim;
    int64_t shape[FNN_MAX_DIMS], T = q.shape[2], S = v.shape[2];
    for (int d = 0; d < n - 1; d++) shape[d] = c->in[Q]->shape[d];
    shape[n - 1] = v.shape[3];
    fnn_tensor_set_geometry(c->out, n, shape, NULL);
    c->out->dtype = q.dtype;
    bool keeps = fnn_attention_keeps(T, S);
    int64_t saved[4] = {q.shape[0], q.shape[1], keeps ? S : T, keeps ? fnn_attention_p_row(T) : 1};
    fnn_tensor_set_geometry(&c->extra[0], keeps ? 4 : 3, saved, NULL);
    c->extra[0].dtype = q.dtype;
    int64_t draws = drop(c->attrs) > 0 ? q.shape[0] * q.shape[1] * T * S : 0;
    fnn_tensor_set_geometry(&c->extra[1], 1, &draws, NULL);
    c->extra[1].dtype = FNN_U8;
    fnn_attention a = {.B = q.shape[0], .H = q.shape[1], .T = T, .S = S, .D = q.shape[3], .E = v.shape[3]};
    c->scratch_bytes = fnn_attention_scratch(&a);
    c->work = (double)(a.B * a.H * T) * (double)S * (double)(a.D + a.E) / 20 + 500;
    return FNN_OK;
}

/* A (B,H,t,size) input whose last dimension is contiguous: itself, or a copy held in *copy. */
static fnn_status array(const fnn_tensor *t, fnn_tensor *copy, fnn_attention_array *out) {
    fnn_tensor x = four(t);
    *copy = (fnn_tensor){0};
    if (x.shape[3] != 1 && x.stride[3] != 1) {
        FNN_TRY(fnn_contiguous(copy, &x));
        x = *copy;
    }
    *out = (fnn_attention_array){x.data, x.stride[0], x.stride[1], x.stride[2]};
    return FNN_OK;
}

static void set_mask(fnn_attention *a, const fnn_tensor *mask) {
    fnn_tensor m = four(mask);
    if (m.dtype == FNN_BOOL)
        a->allowed = (const uint8_t *)m.data;
    else
        a->mask = m.data;
    a->mask_b = m.shape[0] == 1 ? 0 : m.stride[0];
    a->mask_h = m.shape[1] == 1 ? 0 : m.stride[1];
    a->mask_t = m.shape[2] == 1 ? 0 : m.stride[2];
    a->mask_s = m.shape[3] == 1 ? 0 : m.stride[3];
}

/* The part of a call that forward and backward share; *copies (3) are to be released. */
static fnn_status fill(fnn_attention *a, const fnn_tensor *q, const fnn_tensor *k, const fnn_tensor *v, const fnn_tensor *mask, const fnn_attrs *attrs, fnn_tensor *copies) {
    fnn_tensor q4 = four(q), v4 = four(v);
    *a = (fnn_attention){.B = q4.shape[0], .H = q4.shape[1], .T = q4.shape[2], .S = v4.shape[2], .D = q4.shape[3], .E = v4.shape[3],
                         .scale = scale_of(attrs, q4.shape[3]), .causal = attrs->v[1].i != 0, .keep_scale = 1};
    FNN_TRY(array(q, &copies[0], &a->q));
    FNN_TRY(array(k, &copies[1], &a->k));
    FNN_TRY(array(v, &copies[2], &a->v));
    if (mask) set_mask(a, mask);
    return FNN_OK;
}

static void release(fnn_tensor *copies) {
    for (int i = 0; i < 3; i++) fnn_tensor_unref(&copies[i]);
}

static void draw(const fnn_attrs *attrs, fnn_tensor *keep) {
    fnn_generator *g = fnn_default_generator();
    fnn_generator_lock(g);
    fnn_rng_bernoulli_u8(g, (uint8_t *)keep->data, keep->numel, 1, 1 - drop(attrs));
    fnn_generator_unlock(g);
}

static fnn_status forward(fnn_call *c) {
    fnn_attention a;
    fnn_tensor copies[3] = {{0}, {0}, {0}}, keep = {0};
    fnn_status status = fill(&a, c->in[Q], c->in[K], c->in[V], c->in[MASK], c->attrs, copies);
    fnn_tensor out = four(c->out);
    a.o = (fnn_attention_array){out.data, out.stride[0], out.stride[1], out.stride[2]};
    if (!status && drop(c->attrs) > 0) {
        keep = c->extra[1];
        if (!c->save) status = fnn_tensor_alloc(&keep);
        if (!status) draw(c->attrs, &keep);
        a.keep = (const uint8_t *)keep.data;
        a.keep_scale = drop(c->attrs) < 1 ? 1 / (1 - drop(c->attrs)) : 0;
    }
    if (!status) {
        if (c->save && fnn_attention_keeps(a.T, a.S))
            a.p = c->extra[0].data;
        else if (c->save)
            a.lse = c->extra[0].data;
        (c->out->dtype == FNN_F32 ? fnn_attention_forward_f32 : fnn_attention_forward_f64)(&a, c->scratch);
    }
    if (!c->save) fnn_tensor_unref(&keep);
    release(copies);
    return status;
}

/* Scores' gradient for a mask that wants one: ds = p (dp - sum(dp p)), p and dp made anew by products. */
static fnn_status back_mask(fnn_backcall *b, double scale) {
    if (b->extra[1].numel) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "scaled_dot_product_attention: the gradient of attn_mask together with dropout is not available");
    fnn_expr x = {0};
    fnn_attrs swap = {.v = {{.i = -2}, {.i = -1}}}, last = {.v = {{.i = 1}, {.i = -1}}, .list[0] = {1, {-1}}}, rows = {.v[0].i = 1, .list[0] = {1, {-1}}};
    const fnn_tensor *scores = fnn_x2(&x, &fnn_op_MUL, fnn_x2(&x, &fnn_op_MATMUL, &b->in[Q], fnn_xa(&x, &fnn_op_TRANSPOSE, &b->in[K], &swap)), fnn_xnum(&x, scale));
    const fnn_tensor *masked = x.status ? NULL : fnn_x2(&x, &fnn_op_ADD, scores, &b->in[MASK]);
    const fnn_tensor *p = x.status ? NULL : fnn_x1(&x, &fnn_op_EXP, fnn_x2(&x, &fnn_op_SUB, masked, fnn_xa(&x, &fnn_op_LOGSUMEXP, masked, &rows)));
    const fnn_tensor *dp = x.status ? NULL : fnn_x2(&x, &fnn_op_MATMUL, b->dy[0], fnn_xa(&x, &fnn_op_TRANSPOSE, &b->in[V], &swap));
    const fnn_tensor *mean = x.status ? NULL : fnn_xa(&x, &fnn_op_SUM, fnn_x2(&x, &fnn_op_MUL, dp, p), &last);
    return fnn_give_sum(&x, &b->dx[MASK], x.status ? NULL : fnn_x2(&x, &fnn_op_MUL, p, fnn_x2(&x, &fnn_op_SUB, dp, mean)), &b->in_geom[MASK]);
}

static fnn_attention_array gradient(fnn_tensor *dx) {
    fnn_tensor x = four(dx);
    return (fnn_attention_array){x.data, x.stride[0], x.stride[1], x.stride[2]};
}

static fnn_status backward(fnn_backcall *b) {
    fnn_attention a;
    fnn_tensor copies[3] = {{0}, {0}, {0}}, dy = {0}, scratch = {0};
    const fnn_tensor *mask = b->in[MASK].data ? &b->in[MASK] : NULL;
    fnn_status status = fill(&a, &b->in[Q], &b->in[K], &b->in[V], mask, b->attrs, copies);
    if (!status) status = array(&b->out[0], &scratch, &a.o); /* contiguous: never copies */
    if (!status) status = array(b->dy[0], &dy, &a.d_o);
    fnn_attention_array *into[3] = {&a.dq, &a.dk, &a.dv};
    for (int i = 0; i < 3 && !status; i++) {
        if (!b->need[i]) continue;
        status = fnn_empty(&b->dx[i], b->in_geom[i].dtype, b->in_geom[i].ndim, b->in_geom[i].shape);
        if (!status) *into[i] = gradient(&b->dx[i]);
    }
    int64_t bytes = (int64_t)fnn_attention_scratch(&a);
    if (!status) status = fnn_empty(&scratch, FNN_U8, 1, &bytes);
    if (!status) {
        if (fnn_attention_keeps(a.T, a.S))
            a.p = b->extra[0].data;
        else
            a.lse = b->extra[0].data;
        if (b->extra[1].numel) {
            a.keep = (const uint8_t *)b->extra[1].data;
            a.keep_scale = drop(b->attrs) < 1 ? 1 / (1 - drop(b->attrs)) : 0;
        }
        if (b->need[Q] || b->need[K] || b->need[V])
            (b->in[Q].dtype == FNN_F32 ? fnn_attention_backward_f32 : fnn_attention_backward_f64)(&a, scratch.data);
    }
    fnn_tensor_unref(&scratch);
    fnn_tensor_unref(&dy);
    release(copies);
    if (!status && b->need[MASK]) status = back_mask(b, a.scale);
    return status;
}

const fnn_op fnn_op_SCALED_DOT_PRODUCT_ATTENTION = {.name = "scaled_dot_product_attention", .grad_name = "ScaledDotProductAttentionBackward0", .n_in = 4, .n_out = 1,
    .n_extra = 2, .flags = FNN_F_RANDOM, .optional_in = 8, .save_in = {15, 15, 15, 15}, .save_out = 1, .plan = plan, .forward = forward, .backward = backward};
