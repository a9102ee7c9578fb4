/* From tensors of any number of dimensions to heads; see attention_space.h. Does not: compute. Read next: attention.c. */
#include "ops/attention_space.h"

#include <math.h>

#define NAME FNN_ATTENTION_NAME

void fnn_space_split_heads(fnn_tensor *t, int64_t group) {
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
static int before_group(const fnn_space *s) { return s->n - (s->group != 0); }

static fnn_status broadcast_leads(fnn_space *s) {
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
        if (__builtin_mul_overflow(s->heads, s->shape[d], &s->heads))
            return fnn_fail(FNN_ERR_RUNTIME, NAME ": the heads of the leading dimensions cannot be counted");
    }
    const int n = before_group(s);
    s->H = n > 0 ? s->shape[n - 1] : 1;
    s->B = n > 1 ? s->shape[n - 2] : 1;
    s->outer = 1;
    for (int d = 0; d < n - 2; d++) s->outer *= s->shape[d];
    return FNN_OK;
}

fnn_status fnn_space_make(fnn_space *s, const fnn_tensor *q, const fnn_tensor *k, const fnn_tensor *v, const fnn_tensor *mask, bool gqa) {
    *s = (fnn_space){.t = {*q, *k, *v}, .has_mask = mask != NULL};
    if (mask) s->t[MASK] = *mask;
    s->T = q->shape[q->ndim - 2];
    s->D = q->shape[q->ndim - 1];
    s->S = k->shape[k->ndim - 2];
    s->E = v->shape[v->ndim - 1];
    if (gqa) {
        const int64_t hq = q->ndim > 2 ? q->shape[q->ndim - 3] : 1, hk = k->ndim > 2 ? k->shape[k->ndim - 3] : 1;
        const int64_t hv = v->ndim > 2 ? v->shape[v->ndim - 3] : 1;
        const fnn_tensor *const all[OPERANDS] = {q, k, v, mask};
        for (int i = Q; i < OPERANDS; i++)
            if (all[i] && all[i]->ndim == FNN_MAX_DIMS) /* the group takes one more */
                return fnn_fail(FNN_ERR_RUNTIME, NAME ": enable_gqa: found shape %s, wanted at most %d dimensions", fnn_shape_of(all[i]), FNN_MAX_DIMS - 1);
        if (q->ndim < 3 || k->ndim < 3 || v->ndim < 3 || hk == 0 || hq % hk != 0 || hv != hk)
            return fnn_fail(FNN_ERR_RUNTIME, NAME ": enable_gqa: Number of heads in key and value must divide the number of heads in query, "
                                             "found query %s, key %s, value %s", fnn_shape_of(q), fnn_shape_of(k), fnn_shape_of(v));
        s->group = hq / hk;
        fnn_space_split_heads(&s->t[Q], s->group);
        fnn_space_split_heads(&s->t[K], 1);
        fnn_space_split_heads(&s->t[V], 1);
        if (mask) fnn_space_split_heads(&s->t[MASK], s->group);
    }
    return broadcast_leads(s);
}

/* ---- tensors to fnn_attention ---- */

/* Stride of t along leading dimension d of the space; 0 where it broadcasts. */
static int64_t lead_stride(const fnn_space *s, const fnn_tensor *t, int d) {
    const int p = d - (s->n - (t->ndim - 2));
    return d < 0 || p < 0 || t->shape[p] == 1 ? 0 : t->stride[p];
}
/* Element offset of iteration `i` of the outer loop. */
static int64_t outer_offset(const fnn_space *s, const fnn_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (int d = before_group(s) - 3; d >= 0; d--) {
        offset += i % s->shape[d] * lead_stride(s, t, d);
        i /= s->shape[d];
    }
    return offset;
}
fnn_attention_array fnn_space_array(const fnn_space *s, const fnn_tensor *t, int64_t i) {
    const int n = before_group(s);
    if (!t->data) return (fnn_attention_array){0};
    return (fnn_attention_array){t->data + outer_offset(s, t, i) * fnn_itemsize[t->dtype], lead_stride(s, t, n - 2),
                                 lead_stride(s, t, n - 1), s->group ? lead_stride(s, t, n) : 0, t->stride[t->ndim - 2]};
}

fnn_attention fnn_space_describe(const fnn_space *s, const fnn_attrs *attrs, int64_t i) {
    fnn_attention a = {.B = s->B, .H = s->H, .G = fnn_space_group_size(s), .T = s->T, .S = s->S, .D = s->D, .E = s->E, .causal = attrs->v[1].i != 0};
    const double wish = attrs->v[2].f;
    a.scale = isnan(wish) ? 1 / sqrt((double)s->D) : wish;
    a.q = fnn_space_array(s, &s->t[Q], i);
    a.k = fnn_space_array(s, &s->t[K], i);
    a.v = fnn_space_array(s, &s->t[V], i);
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

void fnn_space_describe_saved(const fnn_space *s, const fnn_attrs *attrs, int64_t i, char *p, const uint8_t *keep, fnn_attention *a) {
    const int64_t size = fnn_itemsize[s->t[Q].dtype], heads = i * s->heads / s->outer;
    if (p && fnn_attention_keeps(s->T, s->S)) a->p = p + heads * s->S * fnn_attention_p_row(s->T) * size;
    else if (p) a->lse = p + heads * s->T * size;
    const double drop = attrs->v[0].f;
    if (!keep || drop == 0) return;
    a->keep = keep + heads * s->T * s->S;
    /* as PyTorch: noise / (1 - p) in the tensor's type */
    a->keep_scale = drop == 1 ? 0 : size == 4 ? (double)(1.0f / (float)(1 - drop)) : 1 / (1 - drop);
}

fnn_status fnn_space_straighten(fnn_space *s, const fnn_tensor *const *in, fnn_tensor *copies) {
    for (int i = Q; i <= V; i++) {
        if (in[i]->stride[in[i]->ndim - 1] == 1 || in[i]->shape[in[i]->ndim - 1] <= 1) continue;
        FNN_TRY(fnn_contiguous(&copies[i], in[i]));
        s->t[i] = copies[i];
        if (s->group) fnn_space_split_heads(&s->t[i], i == Q ? s->group : 1);
    }
    return FNN_OK;
}
