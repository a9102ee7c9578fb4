/* Attention of one head, forward and backward (kernels over `real`; see isa/unit.inc).
 *
 * Scores are held transposed, keys down and queries across the lanes: max, exp and sum of a softmax are then vertical, no lane
 * ever meets another, and a query's result does not depend on its neighbours. Queries come in blocks of 4 words; a block sees
 * all its keys before anything is divided, so there is nothing to rescale.
 * Invariant: products are chains over increasing index (kernels/gemm.h), sums over keys run in increasing order; a causal block
 * touches only the keys that its last query sees.
 * Does not: loop over heads or batches (ops/attention_core.c). Read next: attention_task.h. */

#define ATTENTION_QUERIES (4 * VR)

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
    if (K(attention_is_short)(t)) {
        K(attention_short_forward)(t);
        return;
    }
    const int64_t n = t->T - first < ATTENTION_QUERIES ? t->T - first : ATTENTION_QUERIES;
    const int64_t keys = K(attention_keys)(t, first, n);
    real *dropped = (real *)t->scratch + t->S * ATTENTION_QUERIES;
    real *p = t->p ? (real *)t->p + first : t->scratch;
    int64_t p_row = t->p ? t->p_row : ATTENTION_QUERIES;
    K(attention_transposed_product)(p, p_row, t->k, t->k_t, (const real *)t->q + first * t->q_t, t->q_t, keys, n, t->D);
    for (int64_t i = 0; i < n; i += VR)
        K(attention_softmax)(t, first + i, n - i < VR ? n - i : VR, keys, p + i, p_row, t->lse ? (real *)t->lse + first + i : NULL);
    if (t->keep) {
        K(attention_drop)(t, first, n, keys, p, p_row, dropped, ATTENTION_QUERIES);
        p = dropped;
        p_row = ATTENTION_QUERIES;
    }
    const fnn_gemm_task g = {.M = n, .N = t->E, .K = keys, .a = p, .a_row = 1, .a_col = p_row,
                             .b = t->v, .b_row = t->v_t, .c = (real *)t->o + first * t->o_t, .c_row = t->o_t};
    K(gemm_block)(&g);
}

/* dx (rows, size) = or += s (rows, n) x (n, size) */
static void K(attention_collect)(void *dx, int64_t dx_t, const real *s, int64_t s_row, const void *x, int64_t x_t, int64_t rows,
                                 int64_t n, int64_t size, int add) {
    const fnn_gemm_task g = {.M = rows, .N = size, .K = n, .a = s, .a_row = s_row, .a_col = 1, .b = x, .b_row = x_t,
                             .c = dx, .c_row = dx_t, .add = add ? dx : NULL, .add_row = dx_t};
    K(gemm_block)(&g);
}

/* One block's share of the gradients; `start` is the task's first block. */
static void K(attention_backward_block)(const fnn_attention_task *t, int64_t start, int64_t first) {
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
            K(attention_drop)(t, first, n, keys, p, p_row, dp, ATTENTION_QUERIES);
            pd = dp;
            pd_row = ATTENTION_QUERIES;
        }
        K(attention_collect)(t->dv, t->dv_t, pd, pd_row, d_o, t->d_o_t, keys, n, t->E, t->add || first > start);
    }
    if (!t->dq && !t->dk && !t->dmask) return;
    K(attention_transposed_product)(dp, ATTENTION_QUERIES, t->v, t->v_t, d_o, t->d_o_t, keys, n, t->E);
    for (int64_t i = 0; i < n; i += VR)
        K(attention_softmax_backward)(t, first + i, n - i < VR ? n - i : VR, keys, p + i, p_row, dp + i, ATTENTION_QUERIES);
    if (t->dk) K(attention_collect)(t->dk, t->dk_t, dp, ATTENTION_QUERIES, q, t->q_t, keys, n, t->D, t->add || first > start);
    if (!t->dq) return;
    const fnn_gemm_task g = {.M = n, .N = t->D, .K = keys, .a = dp, .a_row = 1, .a_col = ATTENTION_QUERIES,
                             .b = t->k, .b_row = t->k_t, .c = (real *)t->dq + first * t->dq_t, .c_row = t->dq_t};
    K(gemm_block)(&g);
}

/* The task's blocks of queries in order, each adding to dk and dv. */
static void K(attention_backward)(const fnn_attention_task *t) {
    if (K(attention_is_short)(t)) {
        K(attention_short_backward)(t);
        return;
    }
    const int64_t start = t->part * ATTENTION_QUERIES, n = t->T - start < ATTENTION_QUERIES ? t->T - start : ATTENTION_QUERIES;
    /* Rows that the first block does not see are 0 until a later one adds to them. */
    for (int64_t j = n > 0 ? K(attention_keys)(t, start, n) : 0; j < t->S && !t->add; j++) {
        if (t->dk) memset((real *)t->dk + j * t->dk_t, 0, (size_t)t->D * sizeof(real));
        if (t->dv) memset((real *)t->dv + j * t->dv_t, 0, (size_t)t->E * sizeof(real));
    }
    for (int64_t first = start; first < t->T; first += t->parts * ATTENTION_QUERIES)
        K(attention_backward_block)(t, start, first);
}
#undef ATTENTION_QUERIES
