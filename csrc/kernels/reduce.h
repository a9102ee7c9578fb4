/* Reductions over rows and columns (kernels over `real`; see isa/unit.inc): sums of columns and squares, products, extremes,
 * moments, running sums. Row sums are in kernels/sum.h.
 *
 * Invariant: the order of operations is a function of the lengths alone, written beside each kernel. */

/* Columns, VR at a time: blocks of 8 rows in order, blocks merged pairwise as in sum_row; every column by itself. */
static inline vr K(sum_column_word)(const real *x, int64_t n, int64_t x_stride, int64_t left) {
    vr stack[48];
    int top = 0;
    uint64_t blocks = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 8 < n ? i + 8 : n;
        vr s = K(get)(x + i * x_stride, left);
        for (i++; i < end; i++) s = vr_add(s, K(get)(x + i * x_stride, left));
        for (uint64_t b = blocks++; b & 1; b >>= 1) s = vr_add(stack[--top], s);
        stack[top++] = s;
    }
    if (!top) return vr_set1(0);
    vr s = stack[--top];
    while (top) s = vr_add(stack[--top], s);
    return s;
}
static void K(sum_cols)(real *y, const real *x, int64_t n, int64_t cols, int64_t x_stride) {
    for (int64_t j = 0; j < cols; j += VR) K(put)(y + j, cols - j, K(sum_column_word)(x + j, n, x_stride, cols - j));
}

/* Lane sums of squares over 4 accumulators (word w into accumulator w mod 4, the last
 * words short of four into the first), then the lane tree; blocks of 64 words added
 * up in order, so that the error stays that of a short sum. */
static void K(sumsq_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const real *p = x + r * x_stride;
        real total = 0;
        for (int64_t b = 0; b < n; b += 64 * VR) {
            int64_t end = b + 64 * VR < n ? b + 64 * VR : n;
            vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
            int64_t i = b;
            for (; i + 4 * VR <= end; i += 4 * VR)
                for (int k = 0; k < 4; k++) {
                    vr v = vr_load(p + i + k * VR);
                    s[k] = vr_fma(v, v, s[k]);
                }
            for (; i < end; i += VR) { /* the rest into the first, in order */
                vr v = K(get)(p + i, end - i);
                s[0] = vr_fma(v, v, s[0]);
            }
            total += vr_reduce_add(vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3])));
        }
        y[r] = total;
    }
}

/* Products in index order. */
static void K(prod_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        real p = 1;
        for (int64_t i = 0; i < n; i++) p *= x[r * x_stride + i];
        y[r] = p;
    }
}

/* Running sums in index order, in double as torch does. */
static void K(cumsum_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t y_stride, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        double s = 0;
        for (int64_t i = 0; i < n; i++) {
            s += (double)x[r * x_stride + i];
            y[r * y_stride + i] = (real)s;
        }
    }
}

/* The largest non-NaN value of sign * x, and whether there is a NaN. n > 0; -inf if all are NaN. */
static inline real K(row_peak)(const real *x, int64_t n, real sign, int *nan) {
    vr best = vr_set1(-FNN_REAL_INF), s = vr_set1(sign);
    vr_mask any = vr_isnan(best);
    int64_t i = 0;
    for (; i + VR <= n; i += VR) {
        vr v = vr_load(x + i);
        any = vr_mask_or(any, vr_isnan(v));
        best = vr_max(vr_mul(v, s), best); /* a NaN v is dropped */
    }
    if (i < n) {
        vr v = vr_load_n(x + i, n - i);
        any = vr_mask_or(any, vr_isnan(v));
        best = vr_max(vr_select(vr_mask_first(n - i), vr_mul(v, s), best), best);
    }
    *nan = vr_mask_any(any);
    return vr_reduce_max(best);
}
/* Index of the first NaN if there is one, else of the first element equal to the peak. */
static inline int64_t K(row_peak_index)(const real *x, int64_t n, real sign) {
    int nan;
    real peak = K(row_peak)(x, n, sign, &nan) * sign;
    /* skip whole words without it, then look closely */
    vr p = vr_set1(peak);
    int64_t i = 0;
    for (; i + VR <= n; i += VR) {
        vr v = vr_load(x + i);
        if (vr_mask_any(nan ? vr_isnan(v) : vr_eq(v, p))) break;
    }
    while (nan ? x[i] == x[i] : x[i] != peak) i++;
    return i;
}
static void K(extreme_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride, real sign) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = K(row_peak_index)(x + r * x_stride, n, sign);
        if (y) y[r] = x[r * x_stride + i];
        if (index) index[r] = i;
    }
}
static void K(max_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    K(extreme_rows)(y, index, x, rows, n, x_stride, 1);
}
static void K(min_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    K(extreme_rows)(y, index, x, rows, n, x_stride, -1);
}

/* ---- mean and sum of squared deviations ---- */

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
/* A row that stays in the L1 cache is read twice: faster than the recurrence (roofline notes: 44 against 57 us on 4096 x 64)
 * and more accurate. */
/* sum of (x - pivot): around the row's first element a constant row has mean and spread without any rounding. */
static inline real K(sum_around)(const real *x, int64_t n, real pivot) {
    vr p = vr_set1(pivot), s[2] = {vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR)
        for (int k = 0; k < 2; k++) s[k] = vr_add(s[k], vr_sub(vr_load(x + i + k * VR), p));
    if (i < n) s[0] = vr_add(s[0], K(only)(vr_sub(K(get)(x + i, n - i), p), n - i));
    if ((i += VR) < n) s[1] = vr_add(s[1], K(only)(vr_sub(vr_load_n(x + i, n - i), p), n - i));
    return vr_reduce_add(vr_add(s[0], s[1]));
}
static inline K(moments) K(moments_twice)(const real *x, int64_t n) {
    real mean = x[0] + K(sum_around)(x, n, x[0]) / (real)n;
    vr m = vr_set1(mean), s[2] = {vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR)
        for (int k = 0; k < 2; k++) {
            vr d = vr_sub(vr_load(x + i + k * VR), m);
            s[k] = vr_fma(d, d, s[k]);
        }
    if (i < n) {
        vr d = K(only)(vr_sub(K(get)(x + i, n - i), m), n - i);
        s[0] = vr_fma(d, d, s[0]);
    }
    if ((i += VR) < n) {
        vr d = K(only)(vr_sub(vr_load_n(x + i, n - i), m), n - i);
        s[1] = vr_fma(d, d, s[1]);
    }
    K(moments) r = {mean, vr_reduce_add(vr_add(s[0], s[1])), n};
    return r;
}
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
    K(moments) lanes = K(moments_twice)(means, 4 * VR);
    K(moments) r = {lanes.mean, K(sum_row)(m2s, 4 * VR) + lanes.m2 * (real)count, n};
    return r;
}
#define FNN_TWICE (32768 / (int64_t)sizeof(real)) /* elements: 32 KB, two thirds of the smallest common L1 */
static inline K(moments) K(moments_row)(const real *x, int64_t n) {
    if (n <= FNN_TWICE) return K(moments_twice)(x, n);
    int64_t whole = n - n % (4 * VR);
    K(moments) a = K(moments_welford)(x, whole), b = {0, 0, 0};
    if (whole < n) b = K(moments_twice)(x + whole, n - whole);
    return K(moments_merge)(a, b);
}
#undef FNN_TWICE
static void K(moments_rows)(real *mean, real *m2, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        K(moments) m = K(moments_row)(x + r * x_stride, n);
        if (mean) mean[r] = m.mean;
        m2[r] = m.m2;
    }
}
