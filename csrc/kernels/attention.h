/* Attention of one head, forward and backward (kernels over `real`; see isa/unit.inc).
 *
 * Scores are held transposed, keys down and queries across the lanes: max, exp and sum of a softmax are then vertical, no lane
 * ever meets another, and a query's result does not depend on its neighbours. Queries come in blocks of 4 words; a block sees
 * all its keys before anything is divided, so there is nothing to rescale.
 * Invariant: products are chains over increasing index (kernels/gemm.h), sums over keys run in increasing order; a causal block
 * touches only the keys that its last query sees.
 * Does not: loop over heads or batches (ops/attention_core.c). Read next: attention_task.h. */

#define ATTENTION_QUERIES (4 * VR)

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

/* s (keys, n in whole words) = k (keys, size) times the transposed rows x (n, size); the lanes without a query get 0 */
static void K(attention_transposed_product)(real *s, int64_t s_row, const void *k, int64_t k_t, const real *x, int64_t x_t,
                                            int64_t keys, int64_t n, int64_t size) {
    const fnn_gemm_task g = {.M = keys, .N = (n + VR - 1) / VR * VR, .K = size, .a = k, .a_row = k_t, .a_col = 1, .b = x,
                             .b_form = FNN_GEMM_COPIED, .b_row = 1, .b_col = x_t, .b_columns = n, .c = s, .c_row = s_row};
    K(gemm_block)(&g);
}

static int64_t K(attention_keys)(const fnn_attention_task *t, int64_t first, int64_t n) {
    return t->causal && first + n < t->S ? first + n : t->S;
}

/* Block of queries first .. first+n-1, n <= 4 words. */
static void K(attention_forward)(const fnn_attention_task *t, int64_t first) {
    const int64_t n = t->T - first < ATTENTION_QUERIES ? t->T - first : ATTENTION_QUERIES;
    const int64_t keys = K(attention_keys)(t, first, n);
    real *dropped = (real *)t->scratch + t->S * ATTENTION_QUERIES;
    real *p = t->p ? (real *)t->p + first : t->scratch;
    int64_t p_row = t->p ? t->p_row : ATTENTION_QUERIES;
    K(attention_transposed_product)(p, p_row, t->k, t->k_t, (const real *)t->q + first * t->q_t, t->q_t, keys, n, t->D);
    for (int64_t i = 0; i < n; i += VR)
        K(attention_softmax)(t, first + i, n - i < VR ? n - i : VR, keys, p + i, p_row, t->lse ? (real *)t->lse + first + i : NULL);
    if (t->keep) {
        for (int64_t j = 0; j < keys; j++)
            for (int64_t i = 0; i < n; i += VR)
                vr_store(dropped + j * ATTENTION_QUERIES + i,
                         vr_mul(vr_load(p + j * p_row + i), K(attention_keep_word)(t, first + i, j, n - i < VR ? n - i : VR)));
        p = dropped;
        p_row = ATTENTION_QUERIES;
    }
    const fnn_gemm_task g = {.M = n, .N = t->E, .K = keys, .a = p, .a_row = 1, .a_col = p_row,
                             .b = t->v, .b_row = t->v_t, .c = (real *)t->o + first * t->o_t, .c_row = t->o_t};
    K(gemm_block)(&g);
}

/* One word of queries: dp (keys, word) becomes scale * ds, ds = p * (dp - sum over keys of p dp) the gradient of the scores. */
static void K(attention_softmax_backward)(const fnn_attention_task *t, int64_t i, int64_t n, int64_t keys, const real *p,
                                          int64_t p_row, real *dp) {
    const vr scale = vr_set1((real)t->scale);
    vr sum = vr_set1(0);
    for (int64_t j = 0; j < keys; j++) {
        vr d = vr_load(dp + j * ATTENTION_QUERIES);
        if (t->keep) {
            d = vr_mul(d, K(attention_keep_word)(t, i, j, n));
            vr_store(dp + j * ATTENTION_QUERIES, d);
        }
        sum = vr_fma(vr_load(p + j * p_row), d, sum);
    }
    for (int64_t j = 0; j < keys; j++) {
        const vr ds = vr_mul(vr_load(p + j * p_row), vr_sub(vr_load(dp + j * ATTENTION_QUERIES), sum));
        vr_store(dp + j * ATTENTION_QUERIES, vr_mul(ds, scale));
        if (!t->dmask) continue;
        real lanes[VR];
        vr_store(lanes, ds);
        for (int64_t l = 0; l < n; l++) ((real *)t->dmask)[(i + l) * t->S + j] = lanes[l];
    }
}

/* dx (rows, size) = or += s (rows, n) x (n, size) */
static void K(attention_collect)(void *dx, int64_t dx_t, const real *s, int64_t s_row, const void *x, int64_t x_t, int64_t rows,
                                 int64_t n, int64_t size, int add) {
    const fnn_gemm_task g = {.M = rows, .N = size, .K = n, .a = s, .a_row = s_row, .a_col = 1, .b = x, .b_row = x_t,
                             .c = dx, .c_row = dx_t, .add = add ? dx : NULL, .add_row = dx_t};
    K(gemm_block)(&g);
}

static void K(attention_backward_block)(const fnn_attention_task *t, int64_t first) {
    const int64_t n = t->T - first < ATTENTION_QUERIES ? t->T - first : ATTENTION_QUERIES;
    const int64_t keys = K(attention_keys)(t, first, n);
    real *dp = (real *)t->scratch + t->S * ATTENTION_QUERIES;
    const real *q = (const real *)t->q + first * t->q_t, *d_o = (const real *)t->d_o + first * t->d_o_t;
    const real *p = (const real *)t->p + first;
    int64_t p_row = t->p_row;
    if (!t->p) {
        real *s = t->scratch;
        K(attention_transposed_product)(s, ATTENTION_QUERIES, t->k, t->k_t, q, t->q_t, keys, n, t->D);
        for (int64_t i = 0; i < n; i += VR)
            K(attention_again)(t, first + i, n - i < VR ? n - i : VR, keys, s + i, ATTENTION_QUERIES);
        p = s;
        p_row = ATTENTION_QUERIES;
    }
    if (t->dv) {
        const real *pd = p; /* o = (p * keep) v */
        int64_t pd_row = p_row;
        if (t->keep) {
            for (int64_t j = 0; j < keys; j++)
                for (int64_t i = 0; i < n; i += VR)
                    vr_store(dp + j * ATTENTION_QUERIES + i,
                             vr_mul(vr_load(p + j * p_row + i), K(attention_keep_word)(t, first + i, j, n - i < VR ? n - i : VR)));
            pd = dp;
            pd_row = ATTENTION_QUERIES;
        }
        K(attention_collect)(t->dv, t->dv_t, pd, pd_row, d_o, t->d_o_t, keys, n, t->E, first > 0);
    }
    if (!t->dq && !t->dk && !t->dmask) return;
    K(attention_transposed_product)(dp, ATTENTION_QUERIES, t->v, t->v_t, d_o, t->d_o_t, keys, n, t->E);
    for (int64_t i = 0; i < n; i += VR)
        K(attention_softmax_backward)(t, first + i, n - i < VR ? n - i : VR, keys, p + i, p_row, dp + i);
    if (t->dk) K(attention_collect)(t->dk, t->dk_t, dp, ATTENTION_QUERIES, q, t->q_t, keys, n, t->D, first > 0);
    if (!t->dq) return;
    const fnn_gemm_task g = {.M = n, .N = t->D, .K = keys, .a = dp, .a_row = 1, .a_col = ATTENTION_QUERIES,
                             .b = t->k, .b_row = t->k_t, .c = (real *)t->dq + first * t->dq_t, .c_row = t->dq_t};
    K(gemm_block)(&g);
}

/* The whole head: blocks of queries in order, each adding to dk and dv. */
static void K(attention_backward)(const fnn_attention_task *t) {
    /* Rows that the first block does not see are 0 until a later one adds to them. */
    const int64_t n = t->T < ATTENTION_QUERIES ? t->T : ATTENTION_QUERIES;
    for (int64_t j = n ? K(attention_keys)(t, 0, n) : 0; j < t->S; j++) {
        if (t->dk) memset((real *)t->dk + j * t->dk_t, 0, (size_t)t->D * sizeof(real));
        if (t->dv) memset((real *)t->dv + j * t->dv_t, 0, (size_t)t->E * sizeof(real));
    }
    for (int64_t first = 0; first < t->T; first += ATTENTION_QUERIES) K(attention_backward_block)(t, first);
}
#undef ATTENTION_QUERIES
