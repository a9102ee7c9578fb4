/* Sums over contiguous rows (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: the order of additions is a function of n alone. Word w holds elements w*VR .. w*VR + VR-1; words are added up
 * in blocks of 8 words (4 accumulators, word w into accumulator w mod 4), blocks are merged pairwise like a binary counter,
 * and the lanes last, by the tree of the word reduce_add. So the error grows with log n, not n. Does not handle strides. */

/* sum of one block of at most 8 words starting at x: n <= 8*VR elements; missing lanes count as zero */
static inline vr K(sum_block)(const real *x, int64_t n) {
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

/* Pairwise merge: level k of the stack holds the sum of 2^k blocks, as in a binary counter. 48 levels hold 2^48 blocks. */
static real K(sum_row)(const real *x, int64_t n) {
    if (n <= 8 * VR) return vr_reduce_add(K(sum_block)(x, n));
    vr stack[48];
    int top = 0;
    uint64_t blocks = 0;
    for (int64_t i = 0; i < n; i += 8 * VR) {
        vr s = K(sum_block)(x + i, n - i < 8 * VR ? n - i : 8 * VR);
        for (uint64_t b = blocks++; b & 1; b >>= 1) s = vr_add(stack[--top], s);
        stack[top++] = s;
    }
    vr s = stack[--top];
    while (top) s = vr_add(stack[--top], s);
    return vr_reduce_add(s);
}

static void K(sum_rows)(real *y, const real *x, int64_t rows, int64_t n, int64_t x_stride) {
    for (int64_t r = 0; r < rows; r++) y[r] = K(sum_row)(x + r * x_stride, n);
}
