/* Softmax, log-softmax, log-sum-exp and cross entropy over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: every row by itself: its largest element is subtracted first, so e^ never overflows; sums by sum_row's tree.
 * A NaN makes its whole row NaN, as does a row of -inf only.
 * Rows are taken VR at a time: their largest elements, sums, reciprocals and logarithms are one word each. */

#define FNN_EACH_GROUP(m) for (int64_t r = 0, m; r < rows && (m = rows - r < VR ? rows - r : VR, 1); r += VR)

FNN_WORD vr K(exp_whole)(real *y, const real *x, vr max) {
    vr e = vr_exp(vr_sub(vr_load(x), max));
    if (y) vr_store(y, e);
    return e;
}
/* n < VR elements; missing lanes are 0 */
FNN_WORD vr K(exp_tail)(real *y, const real *x, int64_t n, vr max) {
    vr e = vr_exp(vr_sub(vr_load_n(x, n), max));
    if (y) vr_store_n(y, n, e);
    return K(only)(e, n);
}
/* One block of at most 8 words: y = e^(x - max), and their sum as in sum_block. y may be NULL. */
FNN_WORD vr K(exp_block)(real *y, const real *x, int64_t n, vr max) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 4 * VR <= n; i += 4 * VR)
        for (int k = 0; k < 4; k++) {
            vr e = vr_exp(vr_sub(vr_load(x + i + k * VR), max));
            if (y) vr_store(y + i + k * VR, e);
            s[k] = vr_add(s[k], e);
        }
    if (i == n) return vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3]));
    /* the rest: up to three whole words and a tail, each into its own sum; the indices of s stay constants, or it would live
     * in memory */
    x += i;
    if (y) y += i;
    int64_t whole = (n - i) / VR, tail = (n - i) % VR;
    if (whole > 0) s[0] = vr_add(s[0], K(exp_whole)(y, x, max));
    if (whole > 1) s[1] = vr_add(s[1], K(exp_whole)(y ? y + VR : NULL, x + VR, max));
    if (whole > 2) s[2] = vr_add(s[2], K(exp_whole)(y ? y + 2 * VR : NULL, x + 2 * VR, max));
    if (tail) {
        vr e = K(exp_tail)(y ? y + whole * VR : NULL, x + whole * VR, tail, max);
        if (whole == 0) s[0] = vr_add(s[0], e);
        else if (whole == 1) s[1] = vr_add(s[1], e);
        else if (whole == 2) s[2] = vr_add(s[2], e);
        else s[3] = vr_add(s[3], e);
    }
    return vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3]));
}
FNN_WORD vr K(exp_word)(real *y, const real *x, int64_t n, vr max) {
    if (n <= 8 * VR) return K(exp_block)(y, x, n, max);
    K(counter) c;
    c.top = 0, c.blocks = 0;
    for (int64_t i = 0; i < n; i += 8 * VR) K(count)(&c, K(exp_block)(y ? y + i : NULL, x + i, n - i < 8 * VR ? n - i : 8 * VR, max));
    return K(count_end)(&c);
}

static void K(softmax_forward)(real *y, const real *x, int64_t rows, int64_t n) {
    FNN_EACH_GROUP(m) {
        real max[VR], scale[VR];
        vr word[VR];
        vr_store(max, K(peaks)(x, m, n, 1, n));
        for (int64_t k = 0; k < m; k++) word[k] = K(exp_word)(y + k * n, x + k * n, n, vr_set1(max[k]));
        K(add_lanes)(scale, word, m);
        /* one division for all rows: per element they would be half of a short row's time */
        K(put)(scale, m, vr_div(vr_set1(1), K(get)(scale, m)));
        for (int64_t k = 0; k < m; k++, x += n, y += n) {
            vr s = vr_set1(scale[k]);
            for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_mul(K(get)(y + i, n - i), s));
        }
    }
}
/* dx = y (dy - sum(dy y)) */
static void K(softmax_backward)(real *dx, const real *dy, const real *y, int64_t rows, int64_t n) {
    FNN_EACH_GROUP(m) {
        real sum[VR];
        vr word[VR];
        for (int64_t k = 0; k < m; k++) {
            word[k] = vr_set1(0);
            for (int64_t i = 0; i < n; i += VR) word[k] = vr_fma(K(get)(dy + k * n + i, n - i), K(get)(y + k * n + i, n - i), word[k]);
        }
        K(add_lanes)(sum, word, m);
        for (int64_t k = 0; k < m; k++, dx += n, dy += n, y += n) {
            vr s = vr_set1(sum[k]);
            for (int64_t i = 0; i < n; i += VR)
                K(put)(dx + i, n - i, vr_mul(K(get)(y + i, n - i), vr_sub(K(get)(dy + i, n - i), s)));
        }
    }
}
/* max[k] and log(sum(e^(x - max))) of up to VR rows; lanes behind them hold anything */
static inline void K(log_sums)(real *max, real *log_sum, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    vr word[VR];
    vr_store(max, K(peaks)(x, rows, n, 1, x_stride));
    for (int64_t k = 0; k < rows; k++) word[k] = K(exp_word)(NULL, x + k * x_stride, n, vr_set1(max[k]));
    for (int64_t k = rows; k < VR; k++) word[k] = vr_set1(0);
    vr_store(log_sum, vr_log(vr_reduce_add_rows(word)));
}
/* y = x - max - log(sum(e^(x - max))) */
static void K(log_softmax_forward)(real *y, const real *x, int64_t rows, int64_t n) {
    FNN_EACH_GROUP(m) {
        real max[VR], log_sum[VR];
        K(log_sums)(max, log_sum, x, m, n, n);
        for (int64_t k = 0; k < m; k++, x += n, y += n) {
            vr vm = vr_set1(max[k]), l = vr_set1(log_sum[k]);
            for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_sub(vr_sub(K(get)(x + i, n - i), vm), l));
        }
    }
}
/* dx = dy - e^y sum(dy) */
static void K(log_softmax_backward)(real *dx, const real *dy, const real *y, int64_t rows, int64_t n) {
    FNN_EACH_GROUP(m) {
        real sum[VR];
        K(sum_rows)(sum, dy, m, n, n);
        for (int64_t k = 0; k < m; k++, dx += n, dy += n, y += n) {
            vr s = vr_set1(-sum[k]);
            for (int64_t i = 0; i < n; i += VR)
                K(put)(dx + i, n - i, vr_fma(vr_exp(K(get)(y + i, n - i)), s, K(get)(dy + i, n - i)));
        }
    }
}
/* log(sum(e^x)); a row of -inf gives -inf, one with +inf gives +inf */
static void K(logsumexp_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    FNN_EACH_GROUP(m) {
        real max[VR], log_sum[VR];
        if (n) K(log_sums)(max, log_sum, x + r * x_stride, m, n, x_stride);
        for (int64_t k = 0; k < m; k++) {
            int infinite = !n || ((max[k] == FNN_REAL_INF || max[k] == -FNN_REAL_INF) && !K(has_nan)(x + (r + k) * x_stride, n));
            y[r + k] = infinite ? (n ? max[k] : -FNN_REAL_INF) : max[k] + log_sum[k];
        }
    }
}

/* ---- cross entropy ---- */

/* sum_j w[j] (lse - x[j]), l and max being the two parts of lse */
static inline real K(smooth_sum)(const real *x, const real *w, int64_t n, real max, real l) {
    vr s = vr_set1(0), vm = vr_set1(max), vl = vr_set1(l);
    for (int64_t i = 0; i < n; i += VR) {
        vr d = vr_sub(vl, vr_sub(K(get)(x + i, n - i), vm));
        if (w) d = vr_mul(d, K(get)(w + i, n - i));
        s = vr_add(s, K(only)(d, n - i));
    }
    return vr_reduce_add(s);
}
/* loss = (1 - a) w[t] (lse - x[t]) + a / n sum_j w[j] (lse - x[j]), a the label smoothing; 0 where t is ignored */
static void K(cross_entropy_forward)(real *loss, real *parts, const real *x, const int64_t *target, const real *w, int64_t rows,
                                     int64_t n, int64_t ignore_index, double smoothing) {
    FNN_EACH_GROUP(m) {
        real max[VR], log_sum[VR];
        K(log_sums)(max, log_sum, x, m, n, n);
        for (int64_t k = 0; k < m; k++, x += n) {
            int64_t t = target[r + k];
            if (parts) parts[2 * (r + k)] = max[k], parts[2 * (r + k) + 1] = log_sum[k];
            if (t == ignore_index) {
                loss[r + k] = 0;
                continue;
            }
            real one = (log_sum[k] - (x[t] - max[k])) * (w ? w[t] : 1);
            if (smoothing != 0)
                one = one * (real)(1 - smoothing) + K(smooth_sum)(x, w, n, max[k], log_sum[k]) * (real)(smoothing / (double)n);
            loss[r + k] = one;
        }
    }
}

/* With p = e^((x - max) - log_sum), exact where p is near 1, which x - (max + log_sum) is not: dx_j = scale ((1 - a) w[t] (p_j - [j = t]) + a / n (p_j sum(w) - w[j])); 0 for an ignored row. */
static void K(cross_entropy_backward)(real *dx, const real *scale, const real *x, const real *parts, const int64_t *target,
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
        vr max = vr_set1(parts[2 * r]), log_sum = vr_set1(parts[2 * r + 1]), f = vr_set1(hit + s * part * wsum), sp = vr_set1(s * part);
        for (int64_t i = 0; i < n; i += VR) {
            vr d = vr_mul(vr_exp(vr_sub(vr_sub(K(get)(x + i, n - i), max), log_sum)), f);
            if (smoothing != 0) d = vr_sub(d, w ? vr_mul(sp, K(get)(w + i, n - i)) : sp);
            K(put)(dx + i, n - i, d);
        }
        dx[t] -= hit;
    }
}
#undef FNN_EACH_GROUP
