/* scaled_dot_product_attention: from tensors of any number of dimensions to attention over heads (attention_core.h).
 *
 *     y = dropout(softmax(scale q k^T + mask)) v      q (..,T,D)  k (..,S,D)  v (..,S,E)  mask (..,T,S)  y (..,T,E)
 *
 * Attributes: v[0].f dropout probability, v[1].i is_causal, v[2].f scale (NaN: 1 / sqrt(D)), v[3].i enable_gqa (fewer heads in
 * k and v, each serving a group of heads of q). Saved: probabilities or lse (attention_core.h says which), and what dropout
 * kept. Leading dimensions broadcast; the last two of them run inside attention_core, further ones are a loop here.
 * Invariant: strides decide no result; an operand whose last dimension is not contiguous is copied.
 * Why y lies as (.., T, H, E) in memory, and gradients as their inputs do: scripts transpose y to (.., T, H E) next and made the
 * inputs by the reverse, and so nothing moves. */
#include <math.h>
#include <string.h>

#include "core/pool.h"
#include "core/random.h"
#include "ops/attention_core.h"
#include "ops/op.h"
#include "ops/permuted.h"

#define NAME "scaled_dot_product_attention"
enum { Q, K, V, MASK, OPERANDS };

/* The operands as borrowed views, k and v with a dimension for the group under enable_gqa, and what they broadcast to. */
typedef struct space {
    fnn_tensor t[OPERANDS];
    bool has_mask;
    int n;                       /* leading dimensions */
    int64_t shape[FNN_MAX_DIMS]; /* their sizes */
    int64_t T, S, D, E;
    int64_t outer, B, H, heads;  /* all leading dimensions before B and H (and G); those; the product of all */
    int64_t group;               /* heads of q per head of k, then the last leading dimension, G; 0: not enable_gqa, G is 1 */
} space;

/* One leading dimension more: the heads h (third from the end) become (h / group, group). */
static void split_heads(fnn_tensor *t, int64_t group) {
    if (t->ndim < 3) return;
    const int h = t->ndim - 3;
    for (int d = t->ndim; d > h + 1; d--) {
        t->shape[d] = t->shape[d - 1];
        t->stride[d] = t->stride[d - 1];
    }
    t->ndim++;
    const int64_t inner = t->shape[h] == 1 ? 1 : group;
    t->shape[h] /= inner;
    t->shape[h + 1] = inner;
    t->stride[h + 1] = t->stride[h];
    t->stride[h] *= inner;
}

/* Leading dimensions up to H */
static int before_group(const space *s) { return s->n - (s->group != 0); }
static int64_t group_size(const space *s) { return s->group ? s->shape[s->n - 1] : 1; }

static fnn_status broadcast_leads(space *s) {
    const int count = s->has_mask ? OPERANDS : MASK;
    for (int i = 0; i < count; i++)
        if (s->t[i].ndim - 2 > s->n) s->n = s->t[i].ndim - 2;
    s->heads = 1;
    for (int d = 0; d < s->n; d++) {
        s->shape[d] = 1;
        for (int i = 0; i < count; i++) {
            const int p = d - (s->n - (s->t[i].ndim - 2));
            const int64_t size = p < 0 ? 1 : s->t[i].shape[p];
            if (size != 1 && s->shape[d] != 1 && size != s->shape[d])
                return fnn_fail(FNN_ERR_RUNTIME, NAME ": leading dimensions do not broadcast: found %lld and %lld at dimension %d",
                                (long long)s->shape[d], (long long)size, d);
            if (size != 1) s->shape[d] = size;
        }
        s->heads *= s->shape[d];
    }
    const int n = before_group(s);
    s->H = n > 0 ? s->shape[n - 1] : 1;
    s->B = n > 1 ? s->shape[n - 2] : 1;
    s->outer = 1;
    for (int d = 0; d < n - 2; d++) s->outer *= s->shape[d];
    return FNN_OK;
}

static fnn_status make_space(space *s, const fnn_tensor *q, const fnn_tensor *k, const fnn_tensor *v, const fnn_tensor *mask, bool gqa) {
    *s = (space){.t = {*q, *k, *v}, .has_mask = mask != NULL};
    if (mask) s->t[MASK] = *mask;
    s->T = q->shape[q->ndim - 2];
    s->D = q->shape[q->ndim - 1];
    s->S = k->shape[k->ndim - 2];
    s->E = v->shape[v->ndim - 1];
    if (gqa) {
        const int64_t hq = q->ndim > 2 ? q->shape[q->ndim - 3] : 1, hk = k->ndim > 2 ? k->shape[k->ndim - 3] : 1;
        const int64_t hv = v->ndim > 2 ? v->shape[v->ndim - 3] : 1;
        if (q->ndim < 3 || k->ndim < 3 || v->ndim < 3 || q->ndim == FNN_MAX_DIMS || hk == 0 || hq % hk != 0 || hv != hk)
            return fnn_fail(FNN_ERR_RUNTIME, NAME ": enable_gqa: Number of heads in key and value must divide the number of heads in query, "
                                             "found query %s, key %s, value %s", fnn_shape_of(q), fnn_shape_of(k), fnn_shape_of(v));
        s->group = hq / hk;
        split_heads(&s->t[Q], s->group);
        split_heads(&s->t[K], 1);
        split_heads(&s->t[V], 1);
        if (mask) split_heads(&s->t[MASK], s->group);
    }
    return broadcast_leads(s);
}

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

/* ---- tensors to fnn_attention ---- */

/* Stride of t along leading dimension d of the space; 0 where it broadcasts. */
static int64_t lead_stride(const space *s, const fnn_tensor *t, int d) {
    const int p = d - (s->n - (t->ndim - 2));
    return d < 0 || p < 0 || t->shape[p] == 1 ? 0 : t->stride[p];
}
/* Element offset of iteration `i` of the outer loop. */
static int64_t outer_offset(const space *s, const fnn_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (int d = before_group(s) - 3; d >= 0; d--) {
        offset += i % s->shape[d] * lead_stride(s, t, d);
        i /= s->shape[d];
    }
    return offset;
}
static fnn_attention_array array_of(const space *s, const fnn_tensor *t, int64_t i) {
    const int n = before_group(s);
    if (!t->data) return (fnn_attention_array){0};
    return (fnn_attention_array){t->data + outer_offset(s, t, i) * fnn_itemsize[t->dtype], lead_stride(s, t, n - 2),
                                 lead_stride(s, t, n - 1), s->group ? lead_stride(s, t, n) : 0, t->stride[t->ndim - 2]};
}

/* Everything but outputs, gradients and saved tensors, for iteration i of the outer loop. */
static fnn_attention describe(const space *s, const fnn_attrs *attrs, int64_t i) {
    fnn_attention a = {.B = s->B, .H = s->H, .G = group_size(s), .T = s->T, .S = s->S, .D = s->D, .E = s->E, .causal = attrs->v[1].i != 0};
    const double wish = attrs->v[2].f;
    a.scale = isnan(wish) ? 1 / sqrt((double)s->D) : wish;
    a.q = array_of(s, &s->t[Q], i);
    a.k = array_of(s, &s->t[K], i);
    a.v = array_of(s, &s->t[V], i);
    if (!s->has_mask) return a;
    const fnn_tensor *m = &s->t[MASK];
    const char *data = m->data + outer_offset(s, m, i) * fnn_itemsize[m->dtype];
    if (m->dtype == FNN_BOOL) a.allowed = (const uint8_t *)data;
    else a.mask = data;
    const int n = before_group(s);
    a.mask_b = lead_stride(s, m, n - 2);
    a.mask_h = lead_stride(s, m, n - 1);
    a.mask_g = s->group ? lead_stride(s, m, n) : 0;
    a.mask_t = m->shape[m->ndim - 2] == 1 ? 0 : m->stride[m->ndim - 2];
    a.mask_s = m->shape[m->ndim - 1] == 1 ? 0 : m->stride[m->ndim - 1];
    return a;
}

/* Saved tensors: probabilities or lse in p, dropout's choice in keep; either may be NULL. */
static void describe_saved(const space *s, const fnn_attrs *attrs, int64_t i, char *p, const uint8_t *keep, fnn_attention *a) {
    const int64_t size = fnn_itemsize[s->t[Q].dtype], heads = i * s->heads / s->outer;
    if (p && fnn_attention_keeps(s->T, s->S)) a->p = p + heads * s->S * fnn_attention_p_row(s->T) * size;
    else if (p) a->lse = p + heads * s->T * size;
    const double drop = attrs->v[0].f;
    if (!keep || drop == 0) return;
    a->keep = keep + heads * s->T * s->S;
    /* as PyTorch: noise / (1 - p) in the tensor's type */
    a->keep_scale = drop == 1 ? 0 : size == 4 ? (double)(1.0f / (float)(1 - drop)) : 1 / (1 - drop);
}

static double work_ns(const space *s, double products) {
    const double scores = (double)s->heads * (double)s->T * (double)s->S;
    return scores * ((double)(s->D + s->E) * products + 20) * (s->t[Q].dtype == FNN_F32 ? 0.013 : 0.026);
}

/* Replaces operands whose last dimension is not contiguous by copies; those are to be released. */
static fnn_status straighten(space *s, const fnn_tensor *const *in, fnn_tensor *copies) {
    for (int i = Q; i <= V; i++) {
        if (in[i]->stride[in[i]->ndim - 1] == 1 || in[i]->shape[in[i]->ndim - 1] <= 1) continue;
        FNN_TRY(fnn_contiguous(&copies[i], in[i]));
        s->t[i] = copies[i];
        if (s->group) split_heads(&s->t[i], i == Q ? s->group : 1);
    }
    return FNN_OK;
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
    space s;
    FNN_TRY(check(q, c->in[K], c->in[V], c->in[MASK], c->attrs));
    FNN_TRY(make_space(&s, q, c->in[K], c->in[V], c->in[MASK], c->attrs->v[3].i != 0));
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
    space s;
    fnn_tensor copies[MASK] = {0};
    FNN_TRY(make_space(&s, c->in[Q], c->in[K], c->in[V], c->in[MASK], c->attrs->v[3].i != 0));
    fnn_status status = straighten(&s, c->in, copies);
    fnn_tensor out = *c->out;
    if (s.group) split_heads(&out, s.group);
    const uint8_t *keep = status ? NULL : draw_keep(c);
    for (int64_t i = 0; i < s.outer && !status; i++) {
        fnn_attention a = describe(&s, c->attrs, i);
        a.o = array_of(&s, &out, i);
        describe_saved(&s, c->attrs, i, c->save ? c->extra[0].data : NULL, keep, &a);
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

static bool is_broadcast(const space *s, int i) {
    int64_t leads = 1;
    for (int d = 0; d < s->t[i].ndim - 2; d++) leads *= s->t[i].shape[d];
    return i == MASK || leads * (i == Q ? 1 : group_size(s)) != s->heads;
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

static fnn_status make_gradient(const space *s, int i, const fnn_tensor *in, gradient *g) {
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
    if (s->group && !g->broadcast) split_heads(&g->view, i == Q ? s->group : 1);
    return FNN_OK;
}

/* dx = the gradient, summed over what operand i was broadcast along */
static fnn_status give_gradient(const space *s, int i, gradient *g, const fnn_geom *geom, fnn_tensor *dx) {
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

static void run_backward(fnn_backcall *b, const space *s, const fnn_tensor *dy, const gradient *g, void *scratch) {
    fnn_tensor grad = *dy;
    if (s->group) split_heads(&grad, s->group);
    const int64_t size = fnn_itemsize[grad.dtype];
    const uint8_t *keep = (const uint8_t *)b->extra[1].data;
    for (int64_t i = 0; i < s->outer; i++) {
        fnn_attention a = describe(s, b->attrs, i);
        describe_saved(s, b->attrs, i, b->extra[0].data, keep, &a);
        a.d_o = array_of(s, &grad, i);
        a.dq = array_of(s, &g[Q].view, i);
        a.dk = array_of(s, &g[K].view, i);
        a.dv = array_of(s, &g[V].view, i);
        if (g[MASK].own.data) a.dmask = g[MASK].own.data + i * (s->heads / s->outer) * s->T * s->S * size;
        (grad.dtype == FNN_F32 ? fnn_attention_backward_f32 : fnn_attention_backward_f64)(&a, scratch);
    }
}

static fnn_status make_gradients(fnn_backcall *b, const space *s, const fnn_tensor *const *in, gradient *g) {
    bool whole = true;
    for (int i = Q; i <= V; i++) whole &= b->need[i] && !is_broadcast(s, i);
    if (whole && are_columns(in)) FNN_TRY(make_columns(in, g));
    for (int i = 0; i < OPERANDS; i++)
        if (b->need[i]) FNN_TRY(make_gradient(s, i, &b->in[i], &g[i]));
    return FNN_OK;
}

static fnn_status back_attention(fnn_backcall *b) {
    const fnn_tensor *mask = b->in_geom[MASK].ndim == 255 ? NULL : &b->in[MASK], *in[MASK] = {&b->in[Q], &b->in[K], &b->in[V]};
    space s;
    FNN_TRY(make_space(&s, in[Q], in[K], in[V], mask, b->attrs->v[3].i != 0));
    fnn_tensor copies[MASK] = {0}, dy = {0};
    gradient g[OPERANDS] = {0};
    fnn_status status = straighten(&s, in, copies);
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
