/* Softmax, log-softmax, log-sum-exp and cross entropy over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: every row by itself: its largest element is subtracted first, so e^ never overflows; sums by sum_row's tree.
 * A NaN makes its whole row NaN, as does a row of -inf only. */

/* y = e^(x - max); returns the sum of y and max. y may be x. */
static inline real K(exp_row)(real *y, const real *x, int64_t n, real *max) {
    int nan;
    *max = K(row_peak)(x, n, 1, &nan);
    vr m = vr_set1(*max);
    for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_exp(vr_sub(K(get)(x + i, n - i), m)));
    return K(sum_row)(y, n);
}
/* sum of e^(x - max) without storing: words in turn into 2 accumulators, those of an odd end into
 * the first, then the lane tree */
static inline real K(exp_sum)(const real *x, int64_t n, real *max) {
    int nan;
    *max = K(row_peak)(x, n, 1, &nan);
    vr m = vr_set1(*max), s0 = vr_set1(0), s1 = s0;
    int64_t i = 0;
    for (; i + 2 * VR <= n; i += 2 * VR) {
        s0 = vr_add(s0, vr_exp(vr_sub(vr_load(x + i), m)));
        s1 = vr_add(s1, vr_exp(vr_sub(vr_load(x + i + VR), m)));
    }
    for (; i < n; i += VR) s0 = vr_add(s0, K(only)(vr_exp(vr_sub(K(get)(x + i, n - i), m)), n - i));
    return vr_reduce_add(vr_add(s0, s1));
}
/* log of a positive number by the word, so that it is the same on every instruction set and platform */
static inline real K(log_one)(real x) {
    real t[VR];
    vr_store(t, vr_log(vr_set1(x)));
    return t[0];
}

static void K(softmax_forward)(real *y, const real *x, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        real max;
        /* one division a row: per element they would be half of a short row's time */
        vr s = vr_set1(1 / K(exp_row)(y, x, n, &max));
        for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_mul(K(get)(y + i, n - i), s));
    }
}
/* dx = y (dy - sum(dy y)) */
static void K(softmax_backward)(real *dx, const real *dy, const real *y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++, dx += n, dy += n, y += n) {
        vr s = vr_set1(0);
        for (int64_t i = 0; i < n; i += VR) s = vr_fma(K(get)(dy + i, n - i), K(get)(y + i, n - i), s);
        s = vr_set1(vr_reduce_add(s));
        for (int64_t i = 0; i < n; i += VR)
            K(put)(dx + i, n - i, vr_mul(K(get)(y + i, n - i), vr_sub(K(get)(dy + i, n - i), s)));
    }
}
/* max[k] and log(sum(e^(x - max))) of up to VR rows: one log for all of them, its lanes do not see each other */
static inline void K(log_sums)(real *max, real *log_sum, const real *x, int64_t rows, int64_t n) {
    for (int64_t k = 0; k < VR; k++) log_sum[k] = 1;
    for (int64_t k = 0; k < rows; k++) log_sum[k] = K(exp_sum)(x + k * n, n, max + k);
    vr_store(log_sum, vr_log(vr_load(log_sum)));
}
/* y = x - max - log(sum(e^(x - max))) */
static void K(log_softmax_forward)(real *y, const real *x, int64_t rows, int64_t n) {
    real max[VR], log_sum[VR];
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        if (r % VR == 0) K(log_sums)(max, log_sum, x, rows - r < VR ? rows - r : VR, n);
        vr m = vr_set1(max[r % VR]), l = vr_set1(log_sum[r % VR]);
        for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_sub(vr_sub(K(get)(x + i, n - i), m), l));
    }
}
/* dx = dy - e^y sum(dy) */
static void K(log_softmax_backward)(real *dx, const real *dy, const real *y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++, dx += n, dy += n, y += n) {
        vr s = vr_set1(K(sum_row)(dy, n));
        for (int64_t i = 0; i < n; i += VR) {
            vr p = vr_mul(vr_exp(K(get)(y + i, n - i)), s);
            K(put)(dx + i, n - i, vr_sub(K(get)(dy + i, n - i), p));
        }
    }
}
/* log(sum(e^x)); a row of -inf gives -inf, one with +inf gives +inf */
static void K(logsumexp_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        real max, sum;
        int nan;
        max = n ? K(row_peak)(x + r * x_stride, n, 1, &nan) : -FNN_REAL_INF;
        if (n == 0 || (!nan && (max == FNN_REAL_INF || max == -FNN_REAL_INF))) {
            y[r] = max;
            continue;
        }
        sum = K(exp_sum)(x + r * x_stride, n, &max);
        y[r] = max + K(log_one)(sum);
    }
}

/* ---- cross entropy ---- */

/* loss = (1 - a) w[t] (lse - x[t]) + a / n sum_j w[j] (lse - x[j]), a the label smoothing; 0 where t is ignored */
static void K(cross_entropy_forward)(real *loss, real *lse, const real *x, const int64_t *target, const real *w, int64_t rows,
                                     int64_t n, int64_t ignore_index, double smoothing) {
    real maxes[VR], log_sums[VR];
    for (int64_t r = 0; r < rows; r++, x += n) {
        if (r % VR == 0) K(log_sums)(maxes, log_sums, x, rows - r < VR ? rows - r : VR, n);
        int64_t t = target[r];
        real max = maxes[r % VR], l = log_sums[r % VR];
        if (lse) lse[r] = max + l;
        if (t == ignore_index) {
            loss[r] = 0;
            continue;
        }
        real one = (l - (x[t] - max)) * (w ? w[t] : 1);
        if (smoothing == 0) {
            loss[r] = one;
            continue;
        }
        vr s = vr_set1(0), vm = vr_set1(max), vl = vr_set1(l);
        for (int64_t i = 0; i < n; i += VR) {
            vr d = vr_sub(vl, vr_sub(K(get)(x + i, n - i), vm));
            if (w) d = vr_mul(d, K(get)(w + i, n - i));
            s = vr_add(s, K(only)(d, n - i));
        }
        loss[r] = one * (real)(1 - smoothing) + vr_reduce_add(s) * (real)(smoothing / (double)n);
    }
}

/* With p = e^(x - lse): dx_j = scale ((1 - a) w[t] (p_j - [j = t]) + a / n (p_j sum(w) - w[j])); 0 for an ignored row. */
static void K(cross_entropy_backward)(real *dx, const real *scale, const real *x, const real *lse, const int64_t *target,
                                      const real *w, int64_t rows, int64_t n, int64_t scale_stride, int64_t ignore_index,
                                      double smoothing) {
    real wsum = w ? K(sum_row)(w, n) : (real)n, part = (real)(smoothing / (double)n);
    for (int64_t r = 0; r < rows; r++, x += n, dx += n) {
        int64_t t = target[r];
        if (t == ignore_index) {
            for (int64_t i = 0; i < n; i++) dx[i] = 0;
            continue;
        }
        real s = scale[r * scale_stride], hit = s * (w ? w[t] : 1) * (real)(1 - smoothing);
        vr vl = vr_set1(lse[r]), f = vr_set1(hit + s * part * wsum), sp = vr_set1(s * part);
        for (int64_t i = 0; i < n; i += VR) {
            vr d = vr_mul(vr_exp(vr_sub(K(get)(x + i, n - i), vl)), f);
            if (smoothing != 0) d = vr_sub(d, w ? vr_mul(sp, K(get)(w + i, n - i)) : sp);
            K(put)(dx + i, n - i, d);
        }
        dx[t] -= hit;
    }
}
