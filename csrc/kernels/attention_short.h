/* Attention of one head whose queries and keys fit a word each, forward and backward (kernels over `real`; see isa/unit.inc).
 *
 * A product here is 16 x 16 x 16 (float), so what counts is everything around it: the rows of q are turned in registers, the
 * scores of a key are one word, and sums run over broadcasts of what was just stored. A causal product skips what its triangle
 * leaves out, word by word.
 * Invariant: the sums of attention.h in the same order, so the bits are those of its blocks for finite input. The sizes decide
 * that a head comes here (attention_is_short), whether all of them are whole words only how it is read.
 * Does not: know strides other than its task's. Read next: attention_softmax.h, attention.h. */

#if FNN_WORD_REGISTERS >= 32
#define SHORT_TILE 8 /* chains of a tile: as many as hide the latency of fma; they and VR more words fit the registers */
#else
#define SHORT_TILE 4
#endif
#define SHORT_ROW 16 /* a row of p: what fnn_attention_p_row gives for such heads */
/* Whole words are read by loops unrolled to constant addresses. Where a word is an array in memory that is half a megabyte of
 * code without any gain, so plain C takes the loops for all sizes alone. */
#if FNN_WORD_REGISTERS > 1
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#define SHORT_IS_WHOLE(t) ((t)->T == VR && (t)->S == VR && (t)->D % VR == 0 && (t)->E % VR == 0)
#else
#define EACH(i, n) for (int i = 0; i < (n); i++)
#define SHORT_IS_WHOLE(t) 0
#endif

static inline int K(attention_is_short)(const fnn_attention_task *t) { return t->T <= VR && t->S <= VR; }

/* s[j] (lanes: the rows of x) = sum over d of y[j, d] * x[lane, d] for j < keys; x (n, size), y (keys, size). Further words of
 * s are 0 or unchanged, lanes from n on 0. whole: n, keys are VR, size a multiple of VR. */
static inline __attribute__((always_inline)) void K(attention_short_scores)(const int whole, vr *s, const real *x, int64_t x_t,
                                                                            const real *y, int64_t y_t, int64_t n,
                                                                            int64_t keys, int64_t size) {
    real block[VR * VR]; /* y's columns d0 .. d0+VR-1: their rows at a constant distance make every address below a constant */
    int64_t d0 = 0;
    do {
        const int64_t width = whole || size - d0 > VR ? VR : size - d0, used = whole ? VR : keys;
        vr w[VR];
        if (whole) {
            EACH(j, VR) vr_store(block + j * VR, vr_load(y + d0 + j * y_t));
            EACH(i, VR) w[i] = vr_load(x + d0 + i * x_t);
        } else {
            for (int j = 0; j < VR; j++) vr_store(block + j * VR, j < keys ? vr_load_n(y + d0 + j * y_t, width) : vr_set1(0));
            for (int i = 0; i < VR; i++) w[i] = i < n ? vr_load_n(x + d0 + i * x_t, width) : vr_set1(0);
        }
        K(gemm_transpose)(w);
        for (int64_t j = 0; j < used; j += SHORT_TILE) {
            vr acc[SHORT_TILE];
            EACH(i, SHORT_TILE) acc[i] = d0 ? s[j + i] : vr_set1(0);
            EACH(d, VR) EACH(i, SHORT_TILE) acc[i] = vr_fma(vr_set1(block[(j + i) * VR + d]), w[d], acc[i]);
            EACH(i, SHORT_TILE) s[j + i] = acc[i];
        }
        d0 += VR;
    } while (d0 < size);
}

/* Which terms of row r a triangular sum has: all, those up to r, those from r on. */
enum { K(SHORT_ALL), K(SHORT_UP_TO), K(SHORT_FROM) };

/* Rows r .. r+SHORT_TILE-1 of the sums below, columns e .. e+width-1. r is a constant where whole. */
static inline __attribute__((always_inline)) void K(attention_short_tile)(const int whole, const int triangle, int64_t r, real *y,
                                                                          int64_t y_t, const real *a, int64_t a_row,
                                                                          int64_t a_col, const real *x, int64_t x_t,
                                                                          int64_t rows, int64_t terms, int64_t width,
                                                                          int add) {
    vr acc[SHORT_TILE];
    a += r * a_row;
    y += r * y_t;
    EACH(i, SHORT_TILE) acc[i] = vr_set1(0);
    if (whole) {
        EACH(c, VR) {
            if ((triangle == K(SHORT_UP_TO) && c >= r + SHORT_TILE) || (triangle == K(SHORT_FROM) && c < r)) continue;
            const vr word = vr_load(x + c * x_t);
            EACH(i, SHORT_TILE) {
                if ((triangle == K(SHORT_UP_TO) && c > r + i) || (triangle == K(SHORT_FROM) && c < r + i)) continue;
                acc[i] = vr_fma(vr_set1(a[i * a_row + c * a_col]), word, acc[i]);
            }
        }
        if (add) EACH(i, SHORT_TILE) acc[i] = vr_add(acc[i], vr_load(y + i * y_t));
        EACH(i, SHORT_TILE) vr_store(y + i * y_t, acc[i]);
        return;
    }
    const int64_t from = triangle == K(SHORT_FROM) ? r : 0;
    const int64_t to = triangle == K(SHORT_UP_TO) && r + SHORT_TILE < terms ? r + SHORT_TILE : terms;
    for (int64_t c = from; c < to; c++) {
        const vr word = vr_load_n(x + c * x_t, width);
        EACH(i, SHORT_TILE) acc[i] = vr_fma(vr_set1(a[i * a_row + c * a_col]), word, acc[i]);
    }
    for (int i = 0; i < SHORT_TILE && r + i < rows; i++)
        vr_store_n(y + i * y_t, width, add ? vr_add(acc[i], vr_load_n(y + i * y_t, width)) : acc[i]);
}

/* y[r] (size) = or += sum over c of a[r * a_row + c * a_col] * x[c] for r < rows, c < terms; `a` has whole tiles of rows */
static inline __attribute__((always_inline)) void K(attention_short_sums)(const int whole, const int triangle, real *y, int64_t y_t,
                                                                          const real *a, int64_t a_row, int64_t a_col,
                                                                          const real *x, int64_t x_t, int64_t rows,
                                                                          int64_t terms, int64_t size, int add) {
    for (int64_t e = 0; e < size; e += VR, x += VR, y += VR) {
        if (whole) {
            EACH(k, VR / SHORT_TILE)
                K(attention_short_tile)(1, triangle, k * SHORT_TILE, y, y_t, a, a_row, a_col, x, x_t, VR, VR, VR, add);
        } else {
            const int64_t width = size - e < VR ? size - e : VR;
            for (int64_t r = 0; r < rows; r += SHORT_TILE)
                K(attention_short_tile)(0, triangle, r, y, y_t, a, a_row, a_col, x, x_t, rows, terms, width, add);
        }
    }
}

/* attention_softmax for a whole head without a mask, in registers: probabilities (VR, p_row) from the products s */
static inline __attribute__((always_inline)) void K(attention_short_softmax)(const int causal, const fnn_attention_task *t, vr *s,
                                                                             real *p, int64_t p_row) {
    const vr scale = vr_set1((real)t->scale), zero = vr_set1(0), never = vr_set1(-FNN_REAL_INF);
    vr best[4], sum = zero; /* four chains: one of max is all latency */
    EACH(j, VR) {
        s[j] = vr_mul(s[j], scale);
        if (causal && j) s[j] = vr_select(vr_mask_first(j), never, s[j]);
        best[j % 4] = j < 4 ? s[j] : vr_max(s[j], best[j % 4]);
    }
    vr top = vr_max(vr_max(best[0], best[1]), vr_max(best[2], best[3]));
    top = vr_select(vr_eq(top, never), zero, top);
    EACH(j, VR) {
        s[j] = vr_exp(vr_sub(s[j], top));
        sum = vr_add(sum, s[j]);
    }
    const vr_mask none = vr_eq(sum, zero);
    const vr inverse = vr_select(none, zero, vr_div(vr_set1(1), sum));
    EACH(j, VR) vr_store(p + j * p_row, vr_mul(s[j], inverse));
    if (t->lse) vr_store(t->lse, vr_select(none, vr_set1(FNN_REAL_INF), vr_add(top, vr_log(sum))));
}

static inline __attribute__((always_inline)) void K(attention_short_forward_as)(const int whole, const int causal,
                                                                                const fnn_attention_task *t) {
    const int64_t T = whole ? VR : t->T, S = whole ? VR : t->S;
    real *p = t->p ? t->p : t->scratch;
    const int64_t p_row = SHORT_ROW;
    vr s[VR];
    K(attention_short_scores)(whole, s, t->q, t->q_t, t->k, t->k_t, T, S, t->D);
    if (whole && !t->mask && !t->allowed) {
        K(attention_short_softmax)(causal, t, s, p, p_row);
    } else {
        for (int64_t j = 0; j < S; j++) vr_store(p + j * p_row, s[j]);
        K(attention_softmax)(t, 0, T, S, p, p_row, t->lse);
    }
    if (t->keep) {
        real *dropped = (real *)t->scratch + VR * SHORT_ROW;
        K(attention_drop)(t, 0, T, S, p, p_row, dropped, p_row);
        p = dropped;
    }
    K(attention_short_sums)(whole, causal ? K(SHORT_UP_TO) : K(SHORT_ALL), t->o, t->o_t, p, 1, p_row, t->v, t->v_t, T, S, t->E, 0);
}

static inline __attribute__((always_inline)) void K(attention_short_backward_as)(const int whole, const int causal,
                                                                                 const fnn_attention_task *t) {
    const int64_t T = whole ? VR : t->T, S = whole ? VR : t->S;
    const int64_t row = SHORT_ROW;
    real *ds = t->scratch, *own = ds + VR * row;
    const real *p = t->p, *pd = p; /* o = pd v, pd = p * keep */
    if (t->keep || !whole) { /* `own` has VR rows, t->p only S */
        if (t->keep) K(attention_drop)(t, 0, T, S, p, row, own, row);
        else for (int64_t j = 0; j < S; j++) vr_store(own + j * row, vr_load(p + j * row));
        pd = own;
    }
    const int down = causal ? K(SHORT_FROM) : K(SHORT_ALL), up = causal ? K(SHORT_UP_TO) : K(SHORT_ALL);
    if (t->dv) K(attention_short_sums)(whole, down, t->dv, t->dv_t, pd, row, 1, t->d_o, t->d_o_t, S, T, t->E, t->add);
    if (!t->dq && !t->dk && !t->dmask) return;
    vr s[VR];
    K(attention_short_scores)(whole, s, t->d_o, t->d_o_t, t->v, t->v_t, T, S, t->E);
    for (int64_t j = 0; j < S; j++) vr_store(ds + j * row, s[j]);
    K(attention_softmax_backward)(t, 0, T, S, p, row, ds, row);
    if (t->dk) K(attention_short_sums)(whole, down, t->dk, t->dk_t, ds, row, 1, t->q, t->q_t, S, T, t->D, t->add);
    if (t->dq) K(attention_short_sums)(whole, up, t->dq, t->dq_t, ds, 1, row, t->k, t->k_t, T, S, t->D, 0);
}

static __attribute__((noinline)) void K(attention_short_forward)(const fnn_attention_task *t) {
    if (!SHORT_IS_WHOLE(t)) K(attention_short_forward_as)(0, t->causal, t);
    else if (t->causal) K(attention_short_forward_as)(1, 1, t);
    else K(attention_short_forward_as)(1, 0, t);
}

static __attribute__((noinline)) void K(attention_short_backward)(const fnn_attention_task *t) {
    if (!SHORT_IS_WHOLE(t)) K(attention_short_backward_as)(0, t->causal, t);
    else if (t->causal) K(attention_short_backward_as)(1, 1, t);
    else K(attention_short_backward_as)(1, 0, t);
}
#undef SHORT_TILE
#undef SHORT_ROW
#undef EACH
#undef SHORT_IS_WHOLE
