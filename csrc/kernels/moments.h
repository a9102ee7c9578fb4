/* Mean and sum of squared deviations over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: a row that stays in the L1 cache is read twice: faster than the recurrence (44 against 57 us on 4096 x 64) and
 * more accurate; a longer one goes by Welford's recurrence. Which, follows from its length alone. A constant row has mean and
 * spread without any rounding. Read next: kernels/norm.h. */

typedef struct K(moments) {
    real mean, m2; /* m2: sum of (x - mean)^2 */
    int64_t n;
} K(moments);

/* Chan, Golub, LeVeque (1979): the moments of two samples together. */
static inline K(moments) K(moments_merge)(K(moments) a, K(moments) b) {
    if (a.n == 0) return b;
    if (b.n == 0) return a;
    real n = (real)(a.n + b.n), d = b.mean - a.mean, f = (real)b.n / n;
    K(moments) r = {a.mean + d * f, a.m2 + b.m2 + d * d * ((real)a.n * f), a.n + b.n};
    return r;
}
/* ---- rows read twice, a few at a time: their lanes are reduced together ---- */

/* How many rows of n elements to take at a time: as many as a word has lanes, as long as they stay in L1 (two arrays of them
 * take 24 KB). Cannot be seen in the result. */
static inline int64_t K(row_group)(int64_t n) {
    int64_t fit = 12288 / (int64_t)sizeof(real) / (n + !n);
    return fit < 1 ? 1 : fit < VR ? fit : VR;
}
/* Both sums go by blocks of 8 words, merged like those of sum.h: the error grows with log n. */

/* of one block: sum of (x - pivot) */
FNN_WORD vr K(around_block)(const real *x, int64_t n, vr pivot) {
    vr s[2] = {vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR)
        for (int k = 0; k < 2; k++) s[k] = vr_add(s[k], vr_sub(vr_load(x + i + k * VR), pivot));
    if (i < n) s[0] = vr_add(s[0], K(only)(vr_sub(K(get)(x + i, n - i), pivot), n - i));
    if ((i += VR) < n) s[1] = vr_add(s[1], K(only)(vr_sub(vr_load_n(x + i, n - i), pivot), n - i));
    return vr_add(s[0], s[1]);
}
/* of one block: sum of (x - mean)^2 */
FNN_WORD vr K(spread_block)(const real *x, int64_t n, vr mean) {
    vr s[2] = {vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR)
        for (int k = 0; k < 2; k++) {
            vr d = vr_sub(vr_load(x + i + k * VR), mean);
            s[k] = vr_fma(d, d, s[k]);
        }
    if (i < n) {
        vr d = K(only)(vr_sub(K(get)(x + i, n - i), mean), n - i);
        s[0] = vr_fma(d, d, s[0]);
    }
    if ((i += VR) < n) {
        vr d = K(only)(vr_sub(vr_load_n(x + i, n - i), mean), n - i);
        s[1] = vr_fma(d, d, s[1]);
    }
    return vr_add(s[0], s[1]);
}
#define FNN_BY_BLOCKS(block, value)                                              \
    vr v = vr_set1(value);                                                       \
    if (n <= 8 * VR) return K(block)(x, n, v);                                   \
    K(counter) c;                                                                \
    c.top = 0, c.blocks = 0;                                                     \
    for (int64_t i = 0; i < n; i += 8 * VR) K(count)(&c, K(block)(x + i, n - i < 8 * VR ? n - i : 8 * VR, v)); \
    return K(count_end)(&c);
/* sum of (x - pivot) but for the lanes: around the row's first element a constant row has no rounding */
FNN_WORD vr K(around_word)(const real *x, int64_t n, real pivot) { FNN_BY_BLOCKS(around_block, pivot) }
/* sum of (x - mean)^2 but for the lanes */
FNN_WORD vr K(spread_word)(const real *x, int64_t n, real mean) { FNN_BY_BLOCKS(spread_block, mean) }
#undef FNN_BY_BLOCKS
/* mean[k], m2[k] of up to VR rows */
static inline void K(moments_twice)(real *mean, real *m2, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    vr word[VR];
    for (int64_t k = 0; k < rows; k++) word[k] = K(around_word)(x + k * x_stride, n, x[k * x_stride]);
    K(add_lanes)(mean, word, rows);
    for (int64_t k = 0; k < rows; k++) mean[k] = x[k * x_stride] + mean[k] / (real)n;
    for (int64_t k = 0; k < rows; k++) word[k] = K(spread_word)(x + k * x_stride, n, mean[k]);
    K(add_lanes)(m2, word, rows);
}

/* ---- long rows ---- */

/* Welford (1962), one recurrence per lane and accumulator over n = 4 VR k elements, merged in lane order:
 * d = x - mean; mean += d / count; m2 += d (x - mean). */
static K(moments) K(moments_welford)(const real *x, int64_t n) {
    vr mean[4], m2[4];
    for (int k = 0; k < 4; k++) mean[k] = m2[k] = vr_set1(0);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i += 4 * VR) {
        vr inverse = vr_set1(1 / (real)++count);
        for (int k = 0; k < 4; k++) {
            vr v = vr_load(x + i + k * VR), d = vr_sub(v, mean[k]);
            mean[k] = vr_fma(d, inverse, mean[k]);
            m2[k] = vr_fma(d, vr_sub(v, mean[k]), m2[k]);
        }
    }
    real means[4 * VR], m2s[4 * VR];
    for (int k = 0; k < 4; k++) vr_store(means + k * VR, mean[k]), vr_store(m2s + k * VR, m2[k]);
    /* the mean of the lanes and what they spread around it: Chan's formula for samples of one size */
    K(moments) r = {.n = n};
    real between;
    K(moments_twice)(&r.mean, &between, means, 1, 4 * VR, 0);
    r.m2 = K(sum_row)(m2s, 4 * VR) + between * (real)count;
    return r;
}
static K(moments) K(moments_long)(const real *x, int64_t n) {
    int64_t whole = n - n % (4 * VR);
    K(moments) a = K(moments_welford)(x, whole), b = {0, 0, 0};
    if (whole < n) {
        b.n = n - whole;
        K(moments_twice)(&b.mean, &b.m2, x + whole, 1, b.n, 0);
    }
    return K(moments_merge)(a, b);
}

/* up to VR rows */
static inline void K(moments_group)(real *mean, real *m2, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    if (n <= 32768 / (int64_t)sizeof(real)) { /* 32 KB, two thirds of the smallest common L1 */
        K(moments_twice)(mean, m2, x, rows, n, x_stride);
        return;
    }
    for (int64_t k = 0; k < rows; k++) {
        K(moments) m = K(moments_long)(x + k * x_stride, n);
        mean[k] = m.mean;
        m2[k] = m.m2;
    }
}
static void K(moments_rows)(real *mean, real *m2, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    real own[VR];
    int64_t group = K(row_group)(n);
    for (int64_t r = 0; r < rows; r += group)
        K(moments_group)(mean ? mean + r : own, m2 + r, x + r * x_stride, rows - r < group ? rows - r : group, n, x_stride);
}
