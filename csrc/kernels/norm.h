/* Layer norm and RMS norm over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: a row's dx depends on that row alone; dw and db of one call are the sums over its rows in order, so a caller
 * that cuts the rows by shape alone and adds the parts in order gets the same bits for any number of threads.
 * Rows are taken in groups (row_group): what is one number a row - mean, rstd, averages - is then one word a group.
 * Ba, Kiros, Hinton (2016); Zhang, Sennrich (2019). Moments: kernels/moments.h. */

/* rstd[k] = 1 / sqrt(sum[k] / n + eps) for up to VR rows */
static inline void K(rstd_group)(real *rstd, const real *sum, int64_t rows, int64_t n, real eps) {
    vr v = vr_add(vr_div(K(get)(sum, rows), vr_set1((real)n)), vr_set1(eps));
    K(put)(rstd, rows, vr_div(vr_set1(1), vr_sqrt(v)));
}

/* y = (x - mean) rstd w + b, rstd = 1 / sqrt(m2 / n + eps) */
static void K(layer_norm_forward)(real *y, real *mean, real *rstd, const real *x, const real *w, const real *b, int64_t rows,
                                  int64_t n, real eps) {
    int64_t group = K(row_group)(n);
    for (int64_t r = 0; r < rows; r += group) {
        int64_t m = rows - r < group ? rows - r : group;
        real means[VR], m2[VR], s[VR];
        K(moments_group)(means, m2, x, m, n, n);
        K(rstd_group)(s, m2, m, n, eps);
        for (int64_t k = 0; k < m; k++, x += n, y += n) {
            vr vm = vr_set1(means[k]), vs = vr_set1(s[k]);
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
            if (mean) mean[r + k] = means[k];
            if (rstd) rstd[r + k] = s[k];
        }
    }
}

/* ---- backward: with h = (x - mean) rstd and g = dy w: dx = rstd (g - avg(g) - h avg(g h)), dw += dy h, db += dy ---- */

#define NORM_WORDS (FNN_WORD_REGISTERS >= 32 ? 2 : 1) /* of columns at a time, as registers allow */

/* A group of rows. mean and avg_g are zero for RMS norm. */
typedef struct K(norm_group) {
    real *dx, *dw, *db;
    const real *dy, *x, *w;
    int64_t rows, n;
    real mean[VR], rstd[VR], avg_g[VR], avg_gh[VR];
    int first; /* nothing is in dw and db yet */
} K(norm_group);

/* one word of a row: sum_g += g, sum_gh += g h */
FNN_WORD void K(norm_word)(vr *sum_g, vr *sum_gh, const real *dy, const real *x, const real *w, int64_t left, vr mean, vr rstd,
                                int centre) {
    vr d = K(get)(dy, left), h = K(get)(x, left);
    h = vr_mul(centre ? vr_sub(h, mean) : h, rstd);
    vr g = w ? vr_mul(d, K(get)(w, left)) : d; /* 0 in missing lanes, as d is */
    if (centre) *sum_g = vr_add(*sum_g, g);
    *sum_gh = vr_fma(g, h, *sum_gh);
}
/* avg_g and avg_gh */
FNN_WORD void K(norm_averages)(K(norm_group) *t, int centre) {
    vr g_word[VR], gh_word[VR];
    const int64_t n = t->n;
    const real *dy = t->dy, *x = t->x, *w = t->w;
    for (int64_t k = 0; k < t->rows; k++, dy += n, x += n) {
        vr vm = vr_set1(t->mean[k]), vs = vr_set1(t->rstd[k]), sg = vr_set1(0), sgh = vr_set1(0);
        int64_t i = 0;
        for (; w && i + VR <= n; i += VR) K(norm_word)(&sg, &sgh, dy + i, x + i, w + i, VR, vm, vs, centre);
        for (; i < n; i += VR) K(norm_word)(&sg, &sgh, dy + i, x + i, w ? w + i : NULL, n - i, vm, vs, centre);
        g_word[k] = sg;
        gh_word[k] = sgh;
    }
    if (centre) K(add_lanes)(t->avg_g, g_word, t->rows);
    K(add_lanes)(t->avg_gh, gh_word, t->rows);
    for (int64_t k = 0; k < t->rows; k++) {
        t->avg_g[k] = centre ? t->avg_g[k] / (real)t->n : 0;
        t->avg_gh[k] /= (real)t->n;
    }
}
/* `words` words of columns, down the rows: dw and db stay in registers. full: dx, dw, w are there, and db if centre. */
FNN_WORD void K(norm_columns)(const K(norm_group) *t, int64_t i, int64_t left, int words, int centre, int full) {
    const int64_t n = t->n, rows = t->rows; /* copies: for all the compiler knows, dx is part of t */
    const real *dy = t->dy + i, *x = t->x + i;
    real *dx = t->dx + i;
    int has_dx = full || t->dx, has_w = full || t->w, has_dw = full || t->dw, has_db = full ? centre : t->db != NULL;
    vr w[2], dw[2], db[2];
    for (int v = 0; v < words; v++) {
        w[v] = has_w ? K(get)(t->w + i + v * VR, left) : vr_set1(1);
        dw[v] = has_dw && !t->first ? K(get)(t->dw + i + v * VR, left) : vr_set1(0);
        db[v] = has_db && !t->first ? K(get)(t->db + i + v * VR, left) : vr_set1(0);
    }
    for (int64_t k = 0; k < rows; k++, dy += n, x += n, dx += n) {
        vr mean = vr_set1(t->mean[k]), s = vr_set1(t->rstd[k]), avg_g = vr_set1(t->avg_g[k]), avg_gh = vr_set1(t->avg_gh[k]);
        for (int v = 0; v < words; v++) {
            vr d = K(get)(dy + v * VR, left), h = K(get)(x + v * VR, left);
            h = vr_mul(centre ? vr_sub(h, mean) : h, s);
            dw[v] = vr_fma(d, h, dw[v]);
            db[v] = vr_add(d, db[v]);
            if (!has_dx) continue;
            vr g = has_w ? vr_mul(d, w[v]) : d;
            if (centre) g = vr_sub(g, avg_g);
            K(put)(dx + v * VR, left, vr_mul(s, vr_sub(g, vr_mul(h, avg_gh))));
        }
    }
    for (int v = 0; v < words; v++) {
        if (has_dw) K(put)(t->dw + i + v * VR, left, dw[v]);
        if (has_db) K(put)(t->db + i + v * VR, left, db[v]);
    }
}
static inline void K(norm_backward)(real *dx, real *dw, real *db, const real *dy, const real *x, const real *mean,
                                    const real *rstd, const real *w, int64_t rows, int64_t n, int centre) {
    int full = dx && dw && w && (!centre || db);
    int64_t group = K(row_group)(n);
    K(norm_group) t = {.dx = dx, .dw = dw, .db = db, .dy = dy, .x = x, .w = w, .n = n, .first = 1};
    for (int64_t r = 0; r < rows; r += group) {
        t.rows = rows - r < group ? rows - r : group;
        for (int64_t k = 0; k < t.rows; k++) {
            t.mean[k] = centre ? mean[r + k] : 0;
            t.rstd[k] = rstd[r + k];
        }
        if (dx) K(norm_averages)(&t, centre);
        int64_t i = 0;
        for (; full && i + NORM_WORDS * VR <= n; i += NORM_WORDS * VR) K(norm_columns)(&t, i, VR, NORM_WORDS, centre, 1);
        for (; i < n; i += VR) K(norm_columns)(&t, i, n - i, 1, centre, 0);
        t.first = 0;
        t.dy += t.rows * n;
        t.x += t.rows * n;
        if (dx) t.dx += t.rows * n;
    }
}
static void K(layer_norm_backward)(real *dx, real *dw, real *db, const real *dy, const real *x, const real *mean,
                                   const real *rstd, const real *w, int64_t rows, int64_t n) {
    K(norm_backward)(dx, dw, db, dy, x, mean, rstd, w, rows, n, 1);
}

/* ---- RMS norm: y = x rstd w, rstd = 1 / sqrt(avg(x^2) + eps) ---- */

static void K(rms_norm_forward)(real *y, real *rstd, const real *x, const real *w, int64_t rows, int64_t n, real eps) {
    int64_t group = K(row_group)(n);
    for (int64_t r = 0; r < rows; r += group) {
        int64_t m = rows - r < group ? rows - r : group;
        real q[VR], s[VR];
        K(sumsq_rows)(q, x, m, n, n);
        K(rstd_group)(s, q, m, n, eps);
        for (int64_t k = 0; k < m; k++, x += n, y += n) {
            vr vs = vr_set1(s[k]);
            for (int64_t i = 0; i < n; i += VR) {
                vr v = vr_mul(K(get)(x + i, n - i), vs);
                K(put)(y + i, n - i, w ? vr_mul(v, K(get)(w + i, n - i)) : v);
            }
            if (rstd) rstd[r + k] = s[k];
        }
    }
}
static void K(rms_norm_backward)(real *dx, real *dw, const real *dy, const real *x, const real *rstd, const real *w,
                                 int64_t rows, int64_t n) {
    K(norm_backward)(dx, dw, NULL, dy, x, NULL, rstd, w, rows, n, 0);
}
#undef NORM_WORDS
