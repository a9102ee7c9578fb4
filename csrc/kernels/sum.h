/* Sums over contiguous rows and over columns (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: the order of additions is a function of the lengths alone. Rows: word w holds elements w*VR .. w*VR + VR-1; words
 * are added up in blocks of 8 words (4 accumulators, word w into accumulator w mod 4), blocks are merged pairwise like a binary
 * counter, and the lanes last, by the tree of the word reduce_add. Columns: blocks of 8 rows in order, merged likewise. So the
 * error grows with log n, not n.
 * Lanes of VR rows are reduced together (reduce_add_rows): for a short row that is most of the work. Does not handle strides. */

/* ---- a binary counter of partial sums: level k holds the sum of 2^k blocks, 48 levels hold 2^48 blocks ---- */

typedef struct K(counter) {
    vr level[48];
    int top;
    uint64_t blocks;
} K(counter);

FNN_WORD void K(count)(K(counter) *c, vr s) {
    for (uint64_t b = c->blocks++; b & 1; b >>= 1) s = vr_add(c->level[--c->top], s);
    c->level[c->top++] = s;
}
FNN_WORD vr K(count_end)(K(counter) *c) {
    if (!c->top) return vr_set1(0);
    vr s = c->level[--c->top];
    while (c->top) s = vr_add(c->level[--c->top], s);
    return s;
}

/* ---- rows ---- */

/* sum of one block of at most 8 words starting at x: n <= 8*VR elements; missing lanes count as zero */
FNN_WORD vr K(sum_block)(const real *x, int64_t n) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t i = 0;
    for (; i + 4 * VR <= n; i += 4 * VR)
        for (int k = 0; k < 4; k++) s[k] = vr_add(s[k], vr_load(x + i + k * VR));
    /* the indices of s stay constants, or it would live in memory */
    if (i < n) s[0] = vr_add(s[0], K(get)(x + i, n - i));
    if (i + VR < n) s[1] = vr_add(s[1], K(get)(x + i + VR, n - i - VR));
    if (i + 2 * VR < n) s[2] = vr_add(s[2], K(get)(x + i + 2 * VR, n - i - 2 * VR));
    if (i + 3 * VR < n) s[3] = vr_add(s[3], K(get)(x + i + 3 * VR, n - i - 3 * VR));
    return vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3]));
}
/* the sum of a row but for its lanes */
FNN_WORD vr K(sum_word)(const real *x, int64_t n) {
    if (n <= 8 * VR) return K(sum_block)(x, n);
    K(counter) c;
    c.top = 0, c.blocks = 0;
    for (int64_t i = 0; i < n; i += 8 * VR) K(count)(&c, K(sum_block)(x + i, n - i < 8 * VR ? n - i : 8 * VR));
    return K(count_end)(&c);
}
static real K(sum_row)(const real *x, int64_t n) { return vr_reduce_add(K(sum_word)(x, n)); }

/* y[k] <- the sum of the lanes of word[k]; the words behind `rows` are overwritten */
FNN_WORD void K(add_lanes)(real *y, vr *word, int64_t rows) {
    if (rows == 1) {
        *y = vr_reduce_add(word[0]);
        return;
    }
    for (int64_t k = rows; k < VR; k++) word[k] = vr_set1(0);
    K(put)(y, rows, vr_reduce_add_rows(word));
}
static void K(sum_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r += VR) {
        vr word[VR];
        int64_t m = rows - r < VR ? rows - r : VR;
        for (int64_t k = 0; k < m; k++) word[k] = K(sum_word)(x + (r + k) * x_stride, n);
        K(add_lanes)(y + r, word, m);
    }
}

/* ---- columns ---- */

/* One word of columns; rows of `block` in order, blocks by the counter. */
FNN_WORD void K(sum_column_word)(real *y, const real *x, int64_t n, int64_t x_stride, int64_t left, int64_t block) {
    K(counter) c;
    c.top = 0, c.blocks = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + block < n ? i + block : n;
        vr s = K(get)(x + i * x_stride, left);
        for (i++; i < end; i++) s = vr_add(s, K(get)(x + i * x_stride, left));
        K(count)(&c, s);
    }
    K(put)(y, left, K(count_end)(&c));
}
/* Four words of columns side by side, so that a row of 64 floats is read in one go. */
FNN_WORD void K(sum_column_words)(real *y, const real *x, int64_t n, int64_t x_stride, int64_t block) {
    K(counter) c[4];
    for (int k = 0; k < 4; k++) c[k].top = 0, c[k].blocks = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + block < n ? i + block : n;
        const real *p = x + i * x_stride;
        vr s0 = vr_load(p), s1 = vr_load(p + VR), s2 = vr_load(p + 2 * VR), s3 = vr_load(p + 3 * VR);
        for (i++; i < end; i++) {
            p += x_stride;
            s0 = vr_add(s0, vr_load(p));
            s1 = vr_add(s1, vr_load(p + VR));
            s2 = vr_add(s2, vr_load(p + 2 * VR));
            s3 = vr_add(s3, vr_load(p + 3 * VR));
        }
        K(count)(&c[0], s0);
        K(count)(&c[1], s1);
        K(count)(&c[2], s2);
        K(count)(&c[3], s3);
    }
    for (int k = 0; k < 4; k++) vr_store(y + k * VR, K(count_end)(&c[k]));
}
static inline void K(sum_columns)(real *y, const real *x, int64_t n, int64_t cols, int64_t x_stride, int64_t block) {
    int64_t j = 0;
    for (; j + 4 * VR <= cols; j += 4 * VR) K(sum_column_words)(y + j, x + j, n, x_stride, block);
    for (; j < cols; j += VR) K(sum_column_word)(y + j, x + j, n, x_stride, cols - j, block);
}
static void K(sum_cols)(real *y, const real *x, int64_t n, int64_t cols, int64_t x_stride) {
    K(sum_columns)(y, x, n, cols, x_stride, 8);
}
static void K(merge_cols)(real *y, const real *x, int64_t n, int64_t cols, int64_t x_stride) {
    K(sum_columns)(y, x, n, cols, x_stride, 1);
}
