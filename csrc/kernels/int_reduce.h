/* Reductions over int64 rows, included once per unit (see isa/unit.inc). Sums and products wrap. */

static void KI(i64_prod_rows)(int64_t *y, const int64_t *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        uint64_t p = 1;
        for (int64_t i = 0; i < n; i++) p *= (uint64_t)x[r * x_stride + i];
        y[r] = (int64_t)p;
    }
}
static void KI(i64_cumsum_rows)(int64_t *y, const int64_t *x, int64_t rows, int64_t n, int64_t y_stride, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) {
        uint64_t s = 0;
        for (int64_t i = 0; i < n; i++) {
            s += (uint64_t)x[r * x_stride + i];
            y[r * y_stride + i] = (int64_t)s;
        }
    }
}
static void KI(i64_max_rows)(int64_t *y, int64_t *index, const int64_t *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++, x += x_stride) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            if (x[i] > x[best]) best = i;
        if (y) y[r] = x[best];
        if (index) index[r] = best;
    }
}
static void KI(i64_min_rows)(int64_t *y, int64_t *index, const int64_t *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++, x += x_stride) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            if (x[i] < x[best]) best = i;
        if (y) y[r] = x[best];
        if (index) index[r] = best;
    }
}
static void KI(i64_count_outside)(int64_t *count, const int64_t *x, int64_t n, int64_t low, int64_t size) {
    int64_t c = 0;
    for (int64_t i = 0; i < n; i++) c += (uint64_t)x[i] - (uint64_t)low >= (uint64_t)size;
    *count = c;
}
