/* Reductions over rows (kernels over `real`; see isa/unit.inc): squares, products, running sums, extremes. Sums are in
 * kernels/sum.h, mean and variance in kernels/moments.h.
 *
 * Invariant: the order of operations is a function of the lengths alone, written beside each kernel. Lanes of VR rows are
 * reduced together. */

/* Lane sums of squares over 4 accumulators (word w into accumulator w mod 4, the last words short of four into the first). */
FNN_WORD vr K(sumsq_word)(const real *x, int64_t n) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 4 * VR <= n; i += 4 * VR)
        for (int k = 0; k < 4; k++) {
            vr v = vr_load(x + i + k * VR);
            s[k] = vr_fma(v, v, s[k]);
        }
    for (; i < n; i += VR) { /* the rest into the first, in order */
        vr v = K(get)(x + i, n - i);
        s[0] = vr_fma(v, v, s[0]);
    }
    return vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3]));
}
/* Blocks of 64 words, each reduced by the lane tree, added up in order, so that the error stays that of a short sum. */
#define FNN_SQUARES (64 * VR)
static void K(sumsq_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r += VR) {
        vr word[VR];
        int64_t m = rows - r < VR ? rows - r : VR;
        if (n <= FNN_SQUARES) {
            for (int64_t k = 0; k < m; k++) word[k] = K(sumsq_word)(x + (r + k) * x_stride, n);
            K(add_lanes)(y + r, word, m);
            continue;
        }
        for (int64_t k = r; k < r + m; k++) {
            const real *p = x + k * x_stride;
            real total = 0;
            for (int64_t b = 0; b < n; b += FNN_SQUARES) total += vr_reduce_add(K(sumsq_word)(p + b, n - b < FNN_SQUARES ? n - b : FNN_SQUARES));
            y[k] = total;
        }
    }
}
#undef FNN_SQUARES

#if FNN_REAL == 32
/* *p times v, and what rounding took from it: the exact product is *p + *err up to second order */
FNN_WORD void K(times)(vr *p, vr *err, vr v) {
    vr q = vr_mul(*p, v);
    *err = vr_fma(*err, v, vr_fma(*p, v, vr_neg(q)));
    *p = q;
}
/* Lane products over 2 accumulators (words in turn), then the lane tree. Rounding errors of n factors add up whatever their
 * order, so each accumulator carries its own. */
FNN_WORD vr K(product_word)(const real *x, int64_t n) {
    vr p = vr_set1(1), q = p, dp = vr_set1(0), dq = dp;
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR) {
        K(times)(&p, &dp, vr_load(x + i));
        K(times)(&q, &dq, vr_load(x + i + VR));
    }
    for (; i < n; i += VR) {
        vr v = K(get)(x + i, n - i);
        K(times)(&p, &dp, n - i < VR ? vr_select(vr_mask_first(n - i), v, vr_set1(1)) : v);
    }
    /* beside an infinite product or zero there is no error to speak of */
    p = vr_select(vr_lt(vr_abs(dp), vr_abs(p)), vr_add(p, dp), p);
    q = vr_select(vr_lt(vr_abs(dq), vr_abs(q)), vr_add(q, dq), q);
    return vr_mul(p, q);
}
static void K(prod_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r += VR) {
        vr word[VR];
        int64_t m = rows - r < VR ? rows - r : VR;
        for (int64_t k = 0; k < VR; k++) word[k] = k < m ? K(product_word)(x + (r + k) * x_stride, n) : vr_set1(1);
        K(put)(y + r, m, vr_reduce_mul_rows(word));
    }
}
#else
/* In index order, as torch's: over a million factors any two orders differ by a hundred roundings. */
static void K(prod_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        real p = 1;
        for (int64_t i = 0; i < n; i++) p *= x[r * x_stride + i];
        y[r] = p;
    }
}
#endif

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

/* ---- extremes: those of sign * x ---- */

/* The largest values lane by lane, NaN dropped; -inf where there is none. */
FNN_WORD vr K(peak_word)(const real *x, int64_t n, real sign) {
    vr best = vr_set1(-FNN_REAL_INF), s = vr_set1(sign);
    int64_t i = 0;
    for (; i + VR <= n; i += VR) best = vr_max(vr_mul(vr_load(x + i), s), best);
    if (i < n) best = vr_max(vr_select(vr_mask_first(n - i), vr_mul(vr_load_n(x + i, n - i), s), best), best);
    return best;
}
/* The largest values of up to VR rows, n apart; -inf for a row of NaN and -inf. Lanes behind `rows` repeat the first. */
static inline vr K(peaks)(const real *x, int64_t rows, int64_t n, real sign, int64_t x_stride) {
    vr word[VR];
    for (int64_t k = 0; k < rows; k++) word[k] = K(peak_word)(x + k * x_stride, n, sign);
    for (int64_t k = rows; k < VR; k++) word[k] = vr_set1(0);
    return vr_reduce_max_rows(word);
}
FNN_WORD int K(has_nan)(const real *x, int64_t n) {
    vr_mask any = vr_isnan(vr_set1(0));
    int64_t i = 0;
    for (; i + VR <= n; i += VR) any = vr_mask_or(any, vr_isnan(vr_load(x + i)));
    if (i < n) any = vr_mask_or(any, vr_isnan(vr_load_n(x + i, n - i)));
    return vr_mask_any(any);
}
/* Index of the first element equal to v, which is there; by 4 words at a time, so that a short row takes no branch. */
FNN_WORD int64_t K(first_equal)(const real *x, int64_t n, vr v) {
    for (int64_t i = 0;; i += 4 * VR) {
        uint64_t found = 0;
        if (i + 4 * VR <= n) {
            for (int k = 0; k < 4; k++) found |= (uint64_t)vr_mask_bits(vr_eq(vr_load(x + i + k * VR), v)) << k * VR;
        } else {
            for (int k = 0; k < 4 && i + k * VR < n; k++) found |= (uint64_t)vr_mask_bits(vr_eq(K(get)(x + i + k * VR, n - i - k * VR), v)) << k * VR;
        }
        if (found) return i + __builtin_ctzll(found);
    }
}
/* A NaN counts as the largest; the value is that of the first NaN, or of the first element equal to the peak. */
static inline void K(extreme_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride, real sign) {
    for (int64_t r = 0; r < rows; r += VR) {
        int64_t m = rows - r < VR ? rows - r : VR;
        const real *p = x + r * x_stride;
        real peak[VR];
        vr_store(peak, vr_mul(K(peaks)(p, m, n, sign, x_stride), vr_set1(sign)));
        for (int64_t k = 0; k < m; k++, p += x_stride) {
            int64_t i = 0;
            if (K(has_nan)(p, n)) {
                while (p[i] == p[i]) i++;
                peak[k] = p[i];
            } else if (index) {
                i = K(first_equal)(p, n, vr_set1(peak[k]));
            }
            if (y) y[r + k] = peak[k];
            if (index) index[r + k] = i;
        }
    }
}
static void K(max_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    K(extreme_rows)(y, index, x, rows, n, x_stride, 1);
}
static void K(min_rows)(real *y, int64_t *index, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    K(extreme_rows)(y, index, x, rows, n, x_stride, -1);
}
