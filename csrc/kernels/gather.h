/* Rows picked by index, dropout, and what is left of memory movement (kernels over `real`; see isa/unit.inc). */

/* y[r] = w[index[r]] */
static void K(embedding_forward)(real *y, const real *w, const int64_t *index, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const real *s = w + index[r] * n;
        for (int64_t i = 0; i < n; i += VR) K(put)(y + r * n + i, n - i, K(get)(s + i, n - i));
    }
}
/* dw[index[r]] += dy[r] in row order, for the indices in [first, last) other than padding_index */
static void K(embedding_backward)(real *dw, const real *dy, const int64_t *index, int64_t rows, int64_t n, int64_t first,
                                  int64_t last, int64_t padding_index) {
    for (int64_t r = 0; r < rows; r++)
        if (index[r] >= first && index[r] < last && index[r] != padding_index) K(add_row)(dw + index[r] * n, dy + r * n, n);
}
/* y = x * (mask ? scale : 0): the product, so that NaN and the sign of zero come out as torch's */
static void K(dropout_apply)(real *y, const real *x, const uint8_t *mask, int64_t n, real scale) {
    FNN_IVDEP for (int64_t i = 0; i < n; i++) y[i] = x[i] * (mask[i] ? scale : 0);
}
