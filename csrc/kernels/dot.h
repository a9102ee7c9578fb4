/* Inner products of vectors, and a row times a matrix (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: element k belongs to lane k mod VR of accumulator (k / VR) mod 4 whatever the strides, so strided and contiguous
 * vectors give the same bits. Does not: serve matrices (kernels/gemm.h has one chain per element).
 * Why not that chain here: a single one waits 4 cycles for each fma, 64 chains run 30 times as fast. */

/* lanes k..k+VR-1 of a strided vector; those at or after the end are 0 */
static inline vr K(dot_word)(const real *x, int64_t k, int64_t length, int64_t stride) {
    const int64_t n = length - k < VR ? length - k : VR;
    if (stride == 1) return n == VR ? vr_load(x + k) : vr_load_n(x + k, n);
    real lanes[VR] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = x[(k + i) * stride];
    return vr_load(lanes);
}

static real K(dot)(const real *a, const real *b, int64_t length, int64_t a_stride, int64_t b_stride) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t k = 0;
    for (; k + 4 * VR <= length; k += 4 * VR)
        for (int i = 0; i < 4; i++)
            s[i] = vr_fma(K(dot_word)(a, k + i * VR, length, a_stride), K(dot_word)(b, k + i * VR, length, b_stride), s[i]);
    for (int i = 0; k < length; k += VR, i++)
        s[i] = vr_fma(K(dot_word)(a, k, length, a_stride), K(dot_word)(b, k, length, b_stride), s[i]);
    return vr_reduce_add(vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3])));
}

/* Four columns of a row product whose B has contiguous columns b_col apart: lane by lane, then the lane tree. */
static inline void K(row_columns)(real *c, const real *a, const real *b, const real *add, int64_t length, int64_t b_col) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t k = 0;
    for (; k + VR <= length; k += VR) {
        const vr x = vr_load(a + k);
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) s[j] = vr_fma(x, vr_load(b + k + j * b_col), s[j]);
    }
    if (k < length) {
        const vr x = vr_load_n(a + k, length - k);
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) s[j] = vr_fma(x, vr_load_n(b + k + j * b_col, length - k), s[j]);
    }
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
        const real sum = vr_reduce_add(s[j]);
        c[j] = add ? sum + add[j] : sum;
    }
}

#define ROW_WORDS (FNN_WORD_REGISTERS >= 32 ? 16 : 4)

/* Up to ROW_WORDS words of a row product whose B lies in rows: what the other form keeps in lane i is a row of words here, made
 * from steps i, i + VR, i + 2 VR, ... in registers; then the lane tree, word by word. */
static inline __attribute__((always_inline)) void K(row_words)(const int words, real *c, const real *a, const real *b, const real *add,
                                                               int64_t tail, int64_t length, int64_t b_row) {
    vr lane[VR][ROW_WORDS];
#define EACH_WORD _Pragma("GCC unroll 16") for (int w = 0; w < words; w++)
#define LANES(w) ((w) == words - 1 ? tail : VR)
    for (int i = 0; i < VR; i++) {
        vr s[ROW_WORDS];
        EACH_WORD s[w] = vr_set1(0);
        for (int64_t k = i; k < length; k += VR) {
            const vr x = vr_set1(a[k]);
            EACH_WORD s[w] = vr_fma(x, w == words - 1 ? vr_load_n(b + k * b_row + w * VR, tail) : vr_load(b + k * b_row + w * VR), s[w]);
        }
        EACH_WORD lane[i][w] = s[w];
    }
    for (int half = VR / 2; half; half /= 2)
        for (int i = 0; i < half; i++) EACH_WORD lane[i][w] = vr_add(lane[i][w], lane[i + half][w]);
    if (add) EACH_WORD lane[0][w] = vr_add(lane[0][w], vr_load_n(add + w * VR, LANES(w)));
    EACH_WORD vr_store_n(c + w * VR, LANES(w), lane[0][w]);
#undef EACH_WORD
#undef LANES
}

/* Whichever way B lies, column j is the same sum. */
static void K(row_product)(real *c, const real *a, const real *b, const real *add, int64_t N, int64_t length, int64_t b_row, int64_t b_col) {
    if (b_col == 1) {
        int64_t j = 0;
        for (; j + ROW_WORDS * VR <= N; j += ROW_WORDS * VR) K(row_words)(ROW_WORDS, c + j, a, b + j, add ? add + j : NULL, VR, length, b_row);
        for (; j < N; j += VR) K(row_words)(1, c + j, a, b + j, add ? add + j : NULL, N - j < VR ? N - j : VR, length, b_row);
        return;
    }
    int64_t j = 0;
    for (; b_row == 1 && j + 4 <= N; j += 4) K(row_columns)(c + j, a, b + j * b_col, add ? add + j : NULL, length, b_col);
    for (; j < N; j++) {
        vr s = vr_set1(0);
        for (int64_t k = 0; k < length; k += VR) s = vr_fma(K(dot_word)(a, k, length, 1), K(dot_word)(b + j * b_col, k, length, b_row), s);
        const real sum = vr_reduce_add(s);
        c[j] = add ? sum + add[j] : sum;
    }
}
#undef ROW_WORDS
