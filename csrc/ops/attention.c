/* scaled_dot_product_attention: from tensors of any number of dimensions (attention_space.h) to attention over heads (attention_core.h).
 *
 *     y = dropout(softmax(scale q k^T + mask)) v      q (..,T,D)  k (..,S,D)  v (..,S,E)  mask (..,T,S)  y (..,T,E)
 *
 * Attributes: v[0].f dropout probability, v[1].i is_causal, v[2].f scale (NaN: 1 / sqrt(D)), v[3].i enable_gqa (fewer heads in
 * k and v, each serving a group of heads of q). Saved: probabilities or lse (attention_core.h says which), and what dropout
 * kept. Leading dimensions broadcast; the last two of them run inside attention_core, further ones are a loop here.
 * Invariant: strides decide no result; an operand whose last dimension is not contiguous is copied.
 * Why y lies as (.., T, H, E) in memory, and gradients as their inputs do: scripts transpose y to (.., T, H E) next and made the
 * inputs by the reverse, and so nothing moves. */
#include <string.h>

#include "core/pool.h"
#include "core/random.h"
#include "ops/attention_space.h"
#include "ops/permuted.h"

#define NAME FNN_ATTENTION_NAME

static fnn_status check(const fnn_tensor *q, const fnn_tensor *k, const fnn_tensor *v, const fnn_tensor *mask, const fnn_attrs *attrs) {
    FNN_TRY(fnn_want_float(NAME, "query", q));
    if (k->dtype != q->dtype || v->dtype != q->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": Expected query, key, and value to have the same dtype, but got query.dtype: %s key.dtype: %s "
                                         "and value.dtype: %s instead.", fnn_dtype_name(q->dtype), fnn_dtype_name(k->dtype), fnn_dtype_name(v->dtype));
    if (q->ndim < 2 || k->ndim < 2 || v->ndim < 2)
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": Expected query, key, and value to all be  at least 2 dimensional, but got Query dim: %d, Key dim: %d, "
                                         "Value dim: %d instead.", q->ndim, k->ndim, v->ndim);
    const int64_t S = k->shape[k->ndim - 2];
    if (q->shape[q->ndim - 1] != k->shape[k->ndim - 1] || v->shape[v->ndim - 2] != S)
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": query %s, key %s and value %s do not fit: expected (.., T, D), (.., S, D) and (.., S, E)",
                        fnn_shape_of(q), fnn_shape_of(k), fnn_shape_of(v));
    const double p = attrs->v[0].f;
    if (!(p >= 0 && p <= 1)) return fnn_fail(FNN_ERR_RUNTIME, NAME ": dropout probability has to be between 0 and 1, but got %g", p);
    if (!mask) return FNN_OK;
    if (attrs->v[1].i) return fnn_fail(FNN_ERR_RUNTIME, NAME ": Explicit attn_mask should not be set when is_causal=True");
    if (mask->dtype != FNN_BOOL && mask->dtype != q->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: %s "
                                         "and  query.dtype: %s instead.", fnn_dtype_name(mask->dtype), fnn_dtype_name(q->dtype));
    const int64_t rows = mask->ndim > 1 ? mask->shape[mask->ndim - 2] : 1, cols = mask->ndim ? mask->shape[mask->ndim - 1] : 1;
    if (mask->ndim < 2 || (rows != 1 && rows != q->shape[q->ndim - 2]) || (cols != 1 && cols != S))
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": attn_mask has shape %s, expected (.., %lld, %lld)", fnn_shape_of(mask),
                        (long long)q->shape[q->ndim - 2], (long long)S);
    return FNN_OK;
}

/* Strides of a fresh (leads.., rows, cols) that lies as (.., rows, last lead, cols) in memory. */
static void interleave(fnn_tensor *t) {
    const int n = t->ndim;
    if (n < 3) return;
    t->stride[n - 3] = t->shape[n - 1];
    t->stride[n - 2] = t->shape[n - 1] * t->shape[n - 3];
    fnn_tensor_derive(t);
}

static double work_ns(const fnn_space *s, double products) {
    const double scores = (double)s->heads * (double)s->T * (double)s->S;
    return scores * ((double)(s->D + s->E) * products + 20) * (s->t[Q].dtype == FNN_F32 ? 0.013 : 0.026);
}

static void release(fnn_tensor *t, int n) {
    for (int i = 0; i < n; i++) fnn_tensor_unref(&t[i]);
}

/* ---- forward ---- */

/* A row of heads * rows * columns elements. They may be too many to count where y, with E = 0, has none. */
static fnn_status make_room(fnn_tensor *t, int dtype, int64_t heads, int64_t rows, int64_t columns) {
    int64_t n;
    if (__builtin_mul_overflow(heads, rows, &n) || __builtin_mul_overflow(n, columns, &n))
        return fnn_fail(FNN_ERR_RUNTIME, NAME ": %lld heads of %lld x %lld probabilities cannot be counted", (long long)heads, (long long)rows, (long long)columns);
    fnn_tensor_set_geometry(t, 1, &n, NULL);
    t->dtype = (uint8_t)dtype;
    return FNN_OK;
}

static fnn_status plan_attention(fnn_call *c) {
    const fnn_tensor *q = c->in[Q];
    fnn_space s;
    FNN_TRY(check(q, c->in[K], c->in[V], c->in[MASK], c->attrs));
    FNN_TRY(fnn_space_make(&s, q, c->in[K], c->in[V], c->in[MASK], c->attrs->v[3].i != 0));
    int64_t shape[FNN_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < s.n; d++)
        if (s.group && d == s.n - 1) shape[n - 1] *= s.shape[d];
        else shape[n++] = s.shape[d];
    shape[n++] = s.T;
    shape[n++] = s.E;
    fnn_tensor_set_geometry(c->out, n, shape, NULL);
    interleave(c->out);
    c->out->dtype = q->dtype;
    const bool keeps = fnn_attention_keeps(s.T, s.S);
    FNN_TRY(make_room(&c->extra[0], q->dtype, s.heads, keeps ? s.S : s.T, keeps ? fnn_attention_p_row(s.T) : 1));
    FNN_TRY(make_room(&c->extra[1], FNN_U8, s.heads, s.T, c->attrs->v[0].f > 0 ? s.S : 0));
    const fnn_attention a = {.S = s.S};
    c->scratch_bytes = fnn_attention_forward_scratch(&a) + (c->save ? 0 : (size_t)c->extra[1].numel);
    c->work = work_ns(&s, 1);
    return FNN_OK;
}

static uint8_t *draw_keep(fnn_call *c) {
    const int64_t n = c->extra[1].numel;
    if (n == 0) return NULL;
    uint8_t *keep = (uint8_t *)(c->save ? c->extra[1].data : c->scratch + c->scratch_bytes - (size_t)n);
    fnn_generator *g = fnn_default_generator();
    fnn_generator_lock(g);
    fnn_rng_bernoulli_u8(g, keep, n, 1, 1 - c->attrs->v[0].f);
    fnn_generator_unlock(g);
    return keep;
}

static fnn_status forward_attention(fnn_call *c) {
    fnn_space s;
    fnn_tensor copies[MASK] = {0};
    FNN_TRY(fnn_space_make(&s, c->in[Q], c->in[K], c->in[V], c->in[MASK], c->attrs->v[3].i != 0));
    fnn_status status = fnn_space_straighten(&s, c->in, copies);
    fnn_tensor out = *c->out;
    if (s.group) fnn_space_split_heads(&out, s.group);
    const uint8_t *keep = status ? NULL : draw_keep(c);
    for (int64_t i = 0; i < s.outer && !status; i++) {
        fnn_attention a = fnn_space_describe(&s, c->attrs, i);
        a.o = fnn_space_array(&s, &out, i);
        fnn_space_describe_saved(&s, c->attrs, i, c->save ? c->extra[0].data : NULL, keep, &a);
        (out.dtype == FNN_F32 ? fnn_attention_forward_f32 : fnn_attention_forward_f64)(&a, c->scratch);
    }
    release(copies, MASK);
    return status;
}

/* ---- backward ---- */

/* The gradient of one operand. Where nothing broadcasts it lies in the input's shape from the start; the heads of a group add up
 * inside attention_core. Else it spans the space and is summed down in the end. */
typedef struct gradient {
    fnn_tensor own;  /* what is allocated; no data: not wanted */
    fnn_tensor view; /* the same in the dimensions of the space; borrowed */
    bool broadcast;
} gradient;

static bool is_broadcast(const fnn_space *s, int i) {
    int64_t leads = 1;
    for (int d = 0; d < s->t[i].ndim - 2; d++) leads *= s->t[i].shape[d];
    return i == MASK || leads * (i == Q ? 1 : fnn_space_group_size(s)) != s->heads;
}

/* q, k and v lie side by side in memory, (B,T,[q k v]): what splitting the result of one projection gives. */
static bool are_columns(const fnn_tensor *const *in) {
    int64_t width = 0;
    for (int i = Q; i <= V; i++) {
        if (in[i]->ndim != 4 || in[i]->storage != in[Q]->storage) return false;
        if (in[i]->data != in[Q]->data + width * fnn_itemsize[in[Q]->dtype]) return false;
        width += in[i]->shape[1] * in[i]->shape[3];
    }
    for (int i = Q; i <= V; i++) {
        const int64_t *n = in[i]->shape, want[4] = {n[2] * width, n[3], width, 1};
        if (n[0] != in[Q]->shape[0] || n[2] != in[Q]->shape[2] || memcmp(in[i]->stride, want, sizeof want)) return false;
    }
    return true;
}

/* Their gradients side by side as well, so that the gradient of the split is there without a copy. */
static fnn_status make_columns(const fnn_tensor *const *in, gradient *g) {
    int64_t numel = 0, offset = 0;
    for (int i = Q; i <= V; i++) numel += in[i]->numel;
    fnn_tensor all = {0};
    FNN_TRY(fnn_empty(&all, in[Q]->dtype, 1, &numel));
    for (int i = Q; i <= V; i++) {
        fnn_tensor_ref_data(&g[i].own, &all);
        g[i].own.data += offset * fnn_itemsize[all.dtype];
        fnn_tensor_set_geometry(&g[i].own, 4, in[i]->shape, in[i]->stride);
        offset += in[i]->shape[1] * in[i]->shape[3];
    }
    fnn_tensor_unref(&all);
    return FNN_OK;
}

static fnn_status make_gradient(const fnn_space *s, int i, const fnn_tensor *in, gradient *g) {
    g->broadcast = is_broadcast(s, i);
    if (g->broadcast) {
        int64_t shape[FNN_MAX_DIMS];
        for (int d = 0; d < s->n; d++) shape[d] = s->shape[d];
        if (s->group && (i == K || i == V)) shape[s->n - 1] = 1;
        shape[s->n] = i == Q || i == MASK ? s->T : s->S;
        shape[s->n + 1] = i == MASK ? s->S : i == V ? s->E : s->D;
        FNN_TRY(fnn_empty(&g->own, s->t[Q].dtype, s->n + 2, shape));
    } else if (!g->own.data) {
        FNN_TRY(fnn_empty_as(&g->own, in, 1));
    }
    g->view = g->own;
    if (s->group && !g->broadcast) fnn_space_split_heads(&g->view, i == Q ? s->group : 1);
    return FNN_OK;
}

/* dx = the gradient, summed over what operand i was broadcast along */
static fnn_status give_gradient(const fnn_space *s, int i, gradient *g, const fnn_geom *geom, fnn_tensor *dx) {
    if (!g->broadcast) {
        *dx = g->own;
        g->own = (fnn_tensor){0};
        return FNN_OK;
    }
    fnn_geom split = fnn_geom_of(&s->t[i]);
    fnn_tensor sum = {0};
    FNN_TRY(fnn_sum_to(&sum, &g->own, &split));
    fnn_status status = fnn_contiguous(dx, &sum);
    fnn_tensor_unref(&sum);
    if (!status) fnn_tensor_set_geometry(dx, geom->ndim, geom->shape, NULL);
    return status;
}

static void run_backward(fnn_backcall *b, const fnn_space *s, const fnn_tensor *dy, const gradient *g, void *scratch) {
    fnn_tensor grad = *dy;
    if (s->group) fnn_space_split_heads(&grad, s->group);
    const int64_t size = fnn_itemsize[grad.dtype];
    const uint8_t *keep = (const uint8_t *)b->extra[1].data;
    for (int64_t i = 0; i < s->outer; i++) {
        fnn_attention a = fnn_space_describe(s, b->attrs, i);
        fnn_space_describe_saved(s, b->attrs, i, b->extra[0].data, keep, &a);
        a.d_o = fnn_space_array(s, &grad, i);
        a.dq = fnn_space_array(s, &g[Q].view, i);
        a.dk = fnn_space_array(s, &g[K].view, i);
        a.dv = fnn_space_array(s, &g[V].view, i);
        if (g[MASK].own.data) a.dmask = g[MASK].own.data + i * (s->heads / s->outer) * s->T * s->S * size;
        (grad.dtype == FNN_F32 ? fnn_attention_backward_f32 : fnn_attention_backward_f64)(&a, scratch);
    }
}

static fnn_status make_gradients(fnn_backcall *b, const fnn_space *s, const fnn_tensor *const *in, gradient *g) {
    bool whole = true;
    for (int i = Q; i <= V; i++) whole &= b->need[i] && !is_broadcast(s, i);
    if (whole && are_columns(in)) FNN_TRY(make_columns(in, g));
    for (int i = 0; i < OPERANDS; i++)
        if (b->need[i]) FNN_TRY(make_gradient(s, i, &b->in[i], &g[i]));
    return FNN_OK;
}

static fnn_status back_attention(fnn_backcall *b) {
    const fnn_tensor *mask = b->in_geom[MASK].ndim == 255 ? NULL : &b->in[MASK], *in[MASK] = {&b->in[Q], &b->in[K], &b->in[V]};
    fnn_space s;
    FNN_TRY(fnn_space_make(&s, in[Q], in[K], in[V], mask, b->attrs->v[3].i != 0));
    fnn_tensor copies[MASK] = {0}, dy = {0};
    gradient g[OPERANDS] = {0};
    fnn_status status = fnn_space_straighten(&s, in, copies);
    const bool even = b->dy[0]->stride[b->dy[0]->ndim - 1] == 1;
    if (!status && !even) status = fnn_contiguous(&dy, b->dy[0]);
    if (!status) status = make_gradients(b, &s, in, g);
    const fnn_attention sizes = {.B = s.B, .H = s.H, .T = s.T, .S = s.S, .D = s.D, .E = s.E};
    const size_t bytes = fnn_attention_backward_scratch(&sizes, (int)fnn_itemsize[s.t[Q].dtype]);
    void *scratch = status ? NULL : fnn_pool_alloc(bytes);
    if (!status && !scratch) status = fnn_fail(FNN_ERR_MEMORY, NAME ": out of memory for %zu bytes of scratch", bytes);
    if (!status) run_backward(b, &s, even ? b->dy[0] : &dy, g, scratch);
    fnn_pool_free(scratch, bytes);
    for (int i = 0; i < OPERANDS && !status; i++)
        if (b->need[i]) status = give_gradient(&s, i, &g[i], &b->in_geom[i], &b->dx[i]);
    release(copies, MASK);
    for (int i = 0; i < OPERANDS; i++) fnn_tensor_unref(&g[i].own);
    fnn_tensor_unref(&dy);
    return status;
}

const fnn_op fnn_op_SCALED_DOT_PRODUCT_ATTENTION = {
    .name = NAME, .grad_name = "ScaledDotProductFlashAttentionForCpuBackward0", .n_in = 4, .n_out = 1, .n_extra = 2,
    .flags = FNN_F_RANDOM, .optional_in = 1 << MASK, .save_in = {15, 15, 15, 15},
    .plan = plan_attention, .forward = forward_attention, .backward = back_attention};
