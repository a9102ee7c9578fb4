/* Layer norm and RMS norm over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: a row's dx depends on that row alone; dw and db of one call are the sums over its rows in order, so a caller
 * that cuts the rows by shape alone and adds the parts in order gets the same bits for any number of threads.
 * Ba, Kiros, Hinton (2016); Zhang, Sennrich (2019). Moments: kernels/reduce.h. */

/* y = (x - mean) rstd w + b, rstd = 1 / sqrt(m2 / n + eps) */
static void K(layer_norm_forward)(real *y, real *mean, real *rstd, const real *x, const real *w, const real *b, int64_t rows,
                                  int64_t n, real eps) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        K(moments) m = K(moments_row)(x, n);
        real s = 1 / FNN_LIBM(sqrt)(m.m2 / (real)n + eps);
        vr vm = vr_set1(m.mean), vs = vr_set1(s);
        int64_t i = 0;
        if (w && b) {
            for (; i + VR <= n; i += VR)
                vr_store(y + i, vr_fma(vr_mul(vr_sub(vr_load(x + i), vm), vs), vr_load(w + i), vr_load(b + i)));
        }
        for (; i < n; i += VR) {
            vr v = vr_mul(vr_sub(K(get)(x + i, n - i), vm), vs);
            if (w) v = b ? vr_fma(v, K(get)(w + i, n - i), K(get)(b + i, n - i)) : vr_mul(v, K(get)(w + i, n - i));
            K(put)(y + i, n - i, v);
        }
        if (mean) mean[r] = m.mean;
        if (rstd) rstd[r] = s;
    }
}

/* With h = (x - mean) rstd and g = dy w: dx = rstd (g - avg(g) - h avg(g h)), dw += dy h, db += dy.
 * centre = 0 is RMS norm: mean is 0 and avg(g) is left out. */
static inline void K(norm_backward)(real *dx, real *dw, real *db, const real *dy, const real *x, const real *mean,
                                    const real *rstd, const real *w, int64_t rows, int64_t n, int centre) {
    for (int64_t i = 0; dw && i < n; i++) dw[i] = 0;
    for (int64_t i = 0; db && i < n; i++) db[i] = 0;
    for (int64_t r = 0; r < rows; r++, x += n, dy += n) {
        vr vm = vr_set1(centre ? mean[r] : 0), vs = vr_set1(rstd[r]), sg = vr_set1(0), sgh = vr_set1(0);
        for (int64_t i = 0; i < n; i += VR) {
            int64_t left = n - i;
            vr d = K(get)(dy + i, left), h = vr_mul(vr_sub(K(get)(x + i, left), vm), vs);
            vr g = w ? vr_mul(d, K(get)(w + i, left)) : d; /* 0 in missing lanes, as d is */
            sg = vr_add(sg, g);
            sgh = vr_fma(g, h, sgh);
            if (dw) K(put)(dw + i, left, vr_fma(d, h, K(get)(dw + i, left)));
            if (db) K(put)(db + i, left, vr_add(d, K(get)(db + i, left)));
        }
        if (!dx) continue;
        vr ag = vr_set1(centre ? vr_reduce_add(sg) / (real)n : 0), agh = vr_set1(vr_reduce_add(sgh) / (real)n);
        for (int64_t i = 0; i < n; i += VR) {
            int64_t left = n - i;
            vr d = K(get)(dy + i, left), h = vr_mul(vr_sub(K(get)(x + i, left), vm), vs);
            vr g = w ? vr_mul(d, K(get)(w + i, left)) : d;
            if (centre) g = vr_sub(g, ag);
            K(put)(dx + i, left, vr_mul(vs, vr_sub(g, vr_mul(h, agh))));
        }
        dx += n;
    }
}
static void K(layer_norm_backward)(real *dx, real *dw, real *db, const real *dy, const real *x, const real *mean,
                                   const real *rstd, const real *w, int64_t rows, int64_t n) {
    K(norm_backward)(dx, dw, db, dy, x, mean, rstd, w, rows, n, 1);
}

/* y = x rstd w, rstd = 1 / sqrt(avg(x^2) + eps) */
static void K(rms_norm_forward)(real *y, real *rstd, const real *x, const real *w, int64_t rows, int64_t n, real eps) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        real q;
        K(sumsq_rows)(&q, x, 1, n, n);
        real s = 1 / FNN_LIBM(sqrt)(q / (real)n + eps);
        vr vs = vr_set1(s);
        for (int64_t i = 0; i < n; i += VR) {
            vr v = vr_mul(K(get)(x + i, n - i), vs);
            K(put)(y + i, n - i, w ? vr_mul(v, K(get)(w + i, n - i)) : v);
        }
        if (rstd) rstd[r] = s;
    }
}
static void K(rms_norm_backward)(real *dx, real *dw, const real *dy, const real *x, const real *rstd, const real *w,
                                 int64_t rows, int64_t n) {
    K(norm_backward)(dx, dw, NULL, dy, x, NULL, rstd, w, rows, n, 0);
}
