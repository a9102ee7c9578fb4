/* The softmax of attention over one word of queries: keys down, queries across the lanes (kernels over `real`; see isa/unit.inc).
 *
 * Scores are held transposed: max, exp and sum of a softmax are then vertical, no lane ever meets another, and a query's result
 * does not depend on its neighbours.
 * Invariant: sums over keys run in increasing order; a causal word touches only the keys that its last query sees.
 * Read next: attention_task.h, then attention_short.h and attention.h, which multiply. */

/* What is added to the scores of key j for the queries i .. i+n-1; lanes from n on are 0. */
static inline vr K(attention_mask_word)(const fnn_attention_task *t, int64_t i, int64_t j, int64_t n) {
    real lanes[VR] = {0};
    const int64_t at = i * t->mask_t + j * t->mask_s;
    if (t->mask) {
        const real *m = (const real *)t->mask + at;
        if (t->mask_t == 1) return vr_load_n(m, n);
        if (t->mask_t == 0) return vr_set1(*m);
        for (int64_t l = 0; l < n; l++) lanes[l] = m[l * t->mask_t];
    } else {
        for (int64_t l = 0; l < n; l++) lanes[l] = t->allowed[at + l * t->mask_t] ? 0 : -FNN_REAL_INF;
    }
    return vr_load(lanes);
}

/* 0 or keep_scale for key j and the queries i .. i+n-1 */
static inline vr K(attention_keep_word)(const fnn_attention_task *t, int64_t i, int64_t j, int64_t n) {
    real lanes[VR] = {0};
    const uint8_t *keep = t->keep + i * t->keep_t + j * t->keep_s;
    for (int64_t l = 0; l < n; l++) lanes[l] = keep[l * t->keep_t] ? (real)t->keep_scale : 0;
    return vr_load(lanes);
}

/* score[j] = scale * s[j] + mask, in place; -inf where query i + lane < j (causal). `seen`: keys that any lane sees. */
static inline vr K(attention_finish_scores)(const fnn_attention_task *t, int64_t i, int64_t n, int64_t seen, real *s,
                                            int64_t s_row) {
    const vr scale = vr_set1((real)t->scale), never = vr_set1(-FNN_REAL_INF);
    vr top = never;
    for (int64_t j = 0; j < seen; j++) {
        vr x = vr_mul(vr_load(s + j * s_row), scale);
        if (t->mask || t->allowed) x = vr_add(x, K(attention_mask_word)(t, i, j, n));
        if (t->causal && j > i) x = vr_select(vr_mask_first(j - i), never, x);
        vr_store(s + j * s_row, x);
        top = vr_max(x, top);
    }
    return top;
}

/* One word of queries (i .. i+n-1): s (keys, word) becomes probabilities. lse may be NULL. */
static void K(attention_softmax)(const fnn_attention_task *t, int64_t i, int64_t n, int64_t keys, real *s, int64_t s_row,
                                 real *lse) {
    const vr zero = vr_set1(0), inf = vr_set1(FNN_REAL_INF);
    const int64_t seen = t->causal && i + VR < keys ? i + VR : keys;
    vr top = K(attention_finish_scores)(t, i, n, seen, s, s_row);
    /* A query without keys has only -inf: its row of probabilities is 0, not NaN. */
    top = vr_select(vr_eq(top, vr_set1(-FNN_REAL_INF)), zero, top);
    vr sum = zero;
    for (int64_t j = 0; j < seen; j++) {
        const vr e = vr_exp(vr_sub(vr_load(s + j * s_row), top));
        sum = vr_add(sum, e);
        vr_store(s + j * s_row, e);
    }
    const vr_mask none = vr_eq(sum, zero);
    const vr inverse = vr_select(none, zero, vr_div(vr_set1(1), sum));
    for (int64_t j = 0; j < seen; j++) vr_store(s + j * s_row, vr_mul(vr_load(s + j * s_row), inverse));
    for (int64_t j = seen; j < keys; j++) vr_store(s + j * s_row, zero);
    if (lse) vr_store_n(lse, n, vr_select(none, inf, vr_add(top, vr_log(sum))));
}

/* The same probabilities from the scores and the saved lse: p = exp(score - lse). */
static void K(attention_again)(const fnn_attention_task *t, int64_t i, int64_t n, int64_t keys, real *s, int64_t s_row) {
    const int64_t seen = t->causal && i + VR < keys ? i + VR : keys;
    const vr lse = vr_load_n((const real *)t->lse + i, n);
    (void)K(attention_finish_scores)(t, i, n, seen, s, s_row);
    for (int64_t j = 0; j < seen; j++) vr_store(s + j * s_row, vr_exp(vr_sub(vr_load(s + j * s_row), lse)));
    for (int64_t j = seen; j < keys; j++) vr_store(s + j * s_row, vr_set1(0));
}

/* y (keys, y_row) = p * keep for the queries first .. first+n-1 */
static void K(attention_drop)(const fnn_attention_task *t, int64_t first, int64_t n, int64_t keys, const real *p, int64_t p_row,
                              real *y, int64_t y_row) {
    for (int64_t j = 0; j < keys; j++)
        for (int64_t i = 0; i < n; i += VR)
            vr_store(y + j * y_row + i,
                     vr_mul(vr_load(p + j * p_row + i), K(attention_keep_word)(t, first + i, j, n - i < VR ? n - i : VR)));
}

/* One word of queries: dp (keys, ds_row) becomes scale * ds, ds = p * (dp - sum over keys of p dp) the gradient of the scores. */
static void K(attention_softmax_backward)(const fnn_attention_task *t, int64_t i, int64_t n, int64_t keys, const real *p,
                                          int64_t p_row, real *dp, int64_t ds_row) {
    const vr scale = vr_set1((real)t->scale);
    vr sum = vr_set1(0);
    for (int64_t j = 0; j < keys; j++) {
        vr d = vr_load(dp + j * ds_row);
        if (t->keep) {
            d = vr_mul(d, K(attention_keep_word)(t, i, j, n));
            vr_store(dp + j * ds_row, d);
        }
        sum = vr_fma(vr_load(p + j * p_row), d, sum);
    }
    for (int64_t j = 0; j < keys; j++) {
        const vr ds = vr_mul(vr_load(p + j * p_row), vr_sub(vr_load(dp + j * ds_row), sum));
        vr_store(dp + j * ds_row, vr_mul(ds, scale));
        if (!t->dmask) continue;
        real lanes[VR];
        vr_store(lanes, ds);
        for (int64_t l = 0; l < n; l++) ((real *)t->dmask)[(i + l) * t->S + j] = lanes[l];
    }
}
