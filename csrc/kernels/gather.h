/* Rows picked by index, dropout, and what is left of memory movement (kernels over `real`; see isa/unit.inc). */

/* y[r] = w[index[r]]; rows of whole groups of 4 words (64 floats) without a look at the end of the row */
static void K(embedding_forward)(real *y, const real *w, const int64_t *index, int64_t rows, int64_t n) {
    int64_t fours = n - n % (4 * VR);
    for (int64_t r = 0; r < rows; r++, y += n) {
        const real *s = w + index[r] * n;
        int64_t i = 0;
        for (; i < fours; i += 4 * VR) {
            vr a = vr_load(s + i), b = vr_load(s + i + VR), c = vr_load(s + i + 2 * VR), d = vr_load(s + i + 3 * VR);
            vr_store(y + i, a);
            vr_store(y + i + VR, b);
            vr_store(y + i + 2 * VR, c);
            vr_store(y + i + 3 * VR, d);
        }
        for (; i < n; i += VR) K(put)(y + i, n - i, K(get)(s + i, n - i));
    }
}
/* dw[index[r]] += dy[r] in row order, where index[r] is not padding_index; rows of dw lie `dw_row` apart, those of dy `dy_row` */
static void K(embedding_backward)(real *dw, const real *dy, const int64_t *index, int64_t rows, int64_t n, int64_t dw_row,
                                  int64_t dy_row, int64_t padding_index) {
    if (n == 2 * VR) { /* the usual width of a strip: both words at once */
        for (int64_t r = 0; r < rows; r++, dy += dy_row) {
            real *d = dw + index[r] * dw_row;
            if (index[r] == padding_index) continue;
            vr a = vr_add(vr_load(d), vr_load(dy)), b = vr_add(vr_load(d + VR), vr_load(dy + VR));
            vr_store(d, a);
            vr_store(d + VR, b);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        if (index[r] != padding_index) K(add_row)(dw + index[r] * dw_row, dy + r * dy_row, n);
}
/* y = x * (mask ? scale : 0): the product, so that NaN and the sign of zero come out as torch's */
static void K(dropout_apply)(real *y, const real *x, const uint8_t *mask, int64_t n, real scale) {
    FNN_IVDEP for (int64_t i = 0; i < n; i++) y[i] = x[i] * (mask[i] ? scale : 0);
}
