/* Copies of the operands of a product, as the tiles want them (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: a copy holds the values of the operand in the order of k, missing rows and columns are 0 or never used.
 * Does not: choose what is copied (gemm.h). Read next: gemm.h. */

/* VR words become their transpose. Each round deals the words out in turns, like a perfect shuffle of cards; log2(VR) rounds
 * bring lane i of word j to lane j of word i. */
static inline __attribute__((always_inline)) void K(gemm_transpose)(vr *w) {
    vr t[VR];
    _Pragma("GCC unroll 4") for (int round = 1; round < VR; round *= 2) {
        _Pragma("GCC unroll 16") for (int i = 0; i < VR; i++) t[i] = w[i];
        _Pragma("GCC unroll 8") for (int i = 0; i < VR / 2; i++) {
            w[2 * i] = vr_zip_lo(t[i], t[i + VR / 2]);
            w[2 * i + 1] = vr_zip_hi(t[i], t[i + VR / 2]);
        }
    }
}

/* p (depth, row) gets the columns of b that lie as `columns` contiguous vectors b_col apart, at most VR; missing ones are 0 */
static void K(gemm_pack_turned)(real *p, int64_t row, const real *b, int64_t columns, int64_t depth, int64_t b_col) {
    vr w[VR];
    for (int64_t k = 0; k < depth; k += VR) {
        const int64_t n = depth - k < VR ? depth - k : VR;
        if (columns == VR && n == VR) {
            _Pragma("GCC unroll 16") for (int j = 0; j < VR; j++) w[j] = vr_load(b + k + j * b_col);
        } else {
            for (int j = 0; j < VR; j++) w[j] = j < columns ? vr_load_n(b + k + j * b_col, n) : vr_set1(0);
        }
        K(gemm_transpose)(w);
        if (n == VR) {
            _Pragma("GCC unroll 16") for (int j = 0; j < VR; j++) vr_store(p + (k + j) * row, w[j]);
        } else {
            for (int j = 0; j < n; j++) vr_store(p + (k + j) * row, w[j]);
        }
    }
}

/* One panel of at most GEMM_WORDS words: p (depth, padded) from b (depth, width); further columns are 0 */
static void K(gemm_pack_panel)(real *p, int64_t padded, const real *b, int64_t width, int64_t depth, int64_t b_row, int64_t b_col) {
    if (b_row == 1 && b_col != 1) { /* columns are contiguous: word by word */
        for (int64_t j = 0; j < padded; j += VR)
            K(gemm_pack_turned)(p + j, padded, b + j * b_col, width - j >= VR ? VR : width > j ? width - j : 0, depth, b_col);
        return;
    }
    for (int64_t k = 0; k < depth; k++, p += padded, b += b_row) { /* row by row: rows may be pages apart */
        int64_t j = 0;
        if (b_col == 1) {
            for (; j + VR <= width; j += VR) vr_store(p + j, vr_load(b + j));
            for (; j < padded; j += VR) vr_store(p + j, j < width ? vr_load_n(b + j, width - j) : vr_set1(0));
        } else {
            for (; j < padded; j++) p[j] = j < width ? b[j * b_col] : 0;
        }
    }
}

/* copy (rows, stride) = `rows` rows and `depth` steps of an A that lies in columns */
static void K(gemm_turn_a)(real *copy, int64_t stride, const real *a, int64_t rows, int64_t depth, int64_t a_col) {
    for (int64_t k = 0; k < depth; k += VR)
        K(gemm_pack_turned)(copy + k, stride, a + k * a_col, depth - k < VR ? depth - k : VR, rows, a_col);
}
