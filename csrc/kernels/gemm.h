/* Matrix products by register-blocked tiles, and the packing of B (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: every element of C is one chain of fma over k = 0, 1, ..., K-1 that starts from 0, whatever the tile, the
 * strides, the packing and the blocking of K (an interrupted chain is stored and reloaded unchanged). So instruction sets,
 * thread counts and layouts give the same bits, and tiles may differ between machines.
 * Does not: split the sum over K or choose chunks (ops/product.c), allocate, touch more of C than the task's (M,N).
 * Read next: gemm_task.h, ops/product.c. Recurrent nets and attention use gemm_block on local matrices.
 *
 * Why tiles of 6 x 4 words on 32 registers: 24 accumulators, 4 words of B, 1 broadcast of A. 24 fma take 12 cycles where two
 * start per cycle; their 10 loads take 5. Narrow panels take more rows, so that at least 8 chains hide the latency of fma.
 * With 8 words of registers (16 ymm, 32 q) 6 x 1 is what fits; plain C keeps one word. Masked loads are free on AVX-512, so its
 * last word of B is always read with a mask; elsewhere the mask is a constant and a padded panel needs none. */

#if FNN_WORD_REGISTERS >= 32
#define GEMM_WORDS 4 /* width of a panel of B and of the widest tile */
#else
#define GEMM_WORDS 1
#define GEMM_ROWS (FNN_WORD_REGISTERS >= 8 ? 6 : 1)
#endif

/* Depth of a block of K: what a tile pass reads of B (4 words a step) and, of a transposed A, all its rows of the block, stay in
 * the L1 cache until the next row tile wants them. */
#define GEMM_K_BLOCK 128
#define GEMM_K_BLOCK_TURNED 64 /* for A stored by columns */
/* Rows of C whose interrupted chains wait in a local buffer when C itself must keep its old values until the end. */
#define GEMM_PART_ROWS 48
/* From these sizes on a block of A is copied: its rows lie far apart, and 4 panels or more read them. 192 rows by 128 steps
 * are 96 KB (double: 192 KB) on the stack and stay in the L2 cache. */
#define GEMM_LARGE 256
#define GEMM_LARGE_ROWS 48
#define GEMM_A_ROWS 192

/* One tile: rows x words accumulators over `depth` steps. `rows`, `words` and `mask_*` are constants at every call. `init`
 * is NULL (start from 0) or where the interrupted chain waits. `tail`: how many lanes of the last word exist. */
static inline __attribute__((always_inline)) void K(gemm_tile)(const int rows, const int words, const int mask_b,
                                                               const int mask_c, int64_t tail, int64_t depth, const real *a,
                                                               int64_t a_row, int64_t a_col, const real *b, int64_t b_row,
                                                               const real *init, int64_t init_row, const real *add,
                                                               int64_t add_row, real *c, int64_t c_row) {
    vr acc[16][GEMM_WORDS];
#define EACH_ROW _Pragma("GCC unroll 16") for (int i = 0; i < rows; i++)
#define EACH_WORD _Pragma("GCC unroll 4") for (int w = 0; w < words; w++)
#define LOAD(masked, p, w) ((masked) && (w) == words - 1 ? vr_load_n((p) + (w) * VR, tail) : vr_load((p) + (w) * VR))
    EACH_ROW EACH_WORD acc[i][w] = vr_set1(0);
    if (init) EACH_ROW EACH_WORD acc[i][w] = LOAD(mask_c, init + i * init_row, w);
    for (int64_t k = 0; k < depth; k++, a += a_col, b += b_row) {
        vr bk[GEMM_WORDS];
        EACH_WORD bk[w] = LOAD(mask_b, b, w);
        EACH_ROW {
            const vr ai = vr_set1(a[i * a_row]);
            EACH_WORD acc[i][w] = vr_fma(ai, bk[w], acc[i][w]);
        }
    }
    if (add) EACH_ROW EACH_WORD acc[i][w] = vr_add(acc[i][w], LOAD(mask_c, add + i * add_row, w));
    EACH_ROW EACH_WORD {
        if (mask_c && w == words - 1) vr_store_n(c + i * c_row + w * VR, tail, acc[i][w]);
        else vr_store(c + i * c_row + w * VR, acc[i][w]);
    }
#undef EACH_ROW
#undef EACH_WORD
#undef LOAD
}

/* One panel of B over one block of K: all rows of the task, in tiles of `rows`, then 8, 4, 2, 1. */
typedef struct K(gemm_panel_task) {
    int64_t M, tail, depth;
    const real *a;
    int64_t a_row, a_col;
    const real *b;
    int64_t b_row;
    const real *init;
    int64_t init_row;
    const real *add;
    int64_t add_row;
    real *c;
    int64_t c_row;
    const real *next_a, *next_b; /* what comes next, fetched into the L2 cache meanwhile; NULL: no need */
    int64_t next_depth, next_b_width; /* next_depth 0: nothing to fetch */
} K(gemm_panel_task);

/* Fetches what steps `from` .. `to` of the next block will read: the rows of B's panel, and a transposed A's rows. */
static inline __attribute__((always_inline)) void K(gemm_fetch)(const K(gemm_panel_task) * p, int64_t from, int64_t to) {
    const int64_t line = 64 / (int64_t)sizeof(real);
    for (int64_t k = from; k < to; k++) {
        if (p->next_b)
            for (int64_t j = 0; j < p->next_b_width; j += line) __builtin_prefetch(p->next_b + k * p->b_row + j, 0, 2);
        if (p->next_a)
            for (int64_t j = 0; j < p->M; j += line) __builtin_prefetch(p->next_a + k * p->a_col + j, 0, 2);
    }
}

static inline __attribute__((always_inline)) void K(gemm_panel)(const int rows, const int words, const int mask_b,
                                                                const int mask_c, const K(gemm_panel_task) * p) {
    int64_t i = 0;
#define TILE(n)                                                                                                          \
    K(gemm_tile)((n), words, mask_b, mask_c, p->tail, p->depth, p->a + i * p->a_row, p->a_row, p->a_col, p->b, p->b_row, \
                 p->init ? p->init + i * p->init_row : NULL, p->init_row, p->add ? p->add + i * p->add_row : NULL,       \
                 p->add_row, p->c + i * p->c_row, p->c_row)
    for (; i + rows <= p->M; i += rows) {
        if (p->next_depth) K(gemm_fetch)(p, i * p->next_depth / p->M, (i + rows) * p->next_depth / p->M);
        TILE(rows);
    }
    const int64_t rest = p->M - i;
    if (rows > 8 && (rest & 8)) { TILE(8); i += 8; }
    if (rows > 4 && (rest & 4)) { TILE(4); i += 4; }
    if (rows > 2 && (rest & 2)) { TILE(2); i += 2; }
    if (rows > 1 && (rest & 1)) TILE(1);
#undef TILE
}

#if GEMM_WORDS == 4
static __attribute__((noinline)) void K(gemm_panel_6x4)(const K(gemm_panel_task) * p) { K(gemm_panel)(6, 4, 1, 1, p); }
static __attribute__((noinline)) void K(gemm_panel_8x3)(const K(gemm_panel_task) * p) { K(gemm_panel)(8, 3, 1, 1, p); }
static __attribute__((noinline)) void K(gemm_panel_12x2)(const K(gemm_panel_task) * p) { K(gemm_panel)(12, 2, 1, 1, p); }
static __attribute__((noinline)) void K(gemm_panel_16x1)(const K(gemm_panel_task) * p) { K(gemm_panel)(16, 1, 1, 1, p); }

static inline void K(gemm_run_panel)(int64_t words, int b_padded, const K(gemm_panel_task) * p) {
    (void)b_padded;
    if (words == 4) K(gemm_panel_6x4)(p);
    else if (words == 3) K(gemm_panel_8x3)(p);
    else if (words == 2) K(gemm_panel_12x2)(p);
    else K(gemm_panel_16x1)(p);
}
#else
static __attribute__((noinline)) void K(gemm_panel_full)(const K(gemm_panel_task) * p) { K(gemm_panel)(GEMM_ROWS, 1, 0, 0, p); }
static __attribute__((noinline)) void K(gemm_panel_padded)(const K(gemm_panel_task) * p) { K(gemm_panel)(GEMM_ROWS, 1, 0, 1, p); }
static __attribute__((noinline)) void K(gemm_panel_tail)(const K(gemm_panel_task) * p) { K(gemm_panel)(GEMM_ROWS, 1, 1, 1, p); }

static inline void K(gemm_run_panel)(int64_t words, int b_padded, const K(gemm_panel_task) * p) {
    (void)words;
    if (p->tail == VR) K(gemm_panel_full)(p);
    else if (b_padded) K(gemm_panel_padded)(p);
    else K(gemm_panel_tail)(p);
}
#endif

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
    const int64_t whole = b_col == 1 ? width / VR * VR : 0;
    for (int64_t k = 0; k < depth; k++, p += padded, b += b_row) { /* row by row: rows may be pages apart */
        int64_t j = 0;
        for (; j < whole; j += VR) vr_store(p + j, vr_load(b + j));
        for (; j < padded; j++) p[j] = j < width ? b[j * b_col] : 0;
    }
}

/* One panel over all of K, block by block. With `add` the old C must survive until the last block, so interrupted chains
 * wait in a local buffer, for a few rows at a time. */
static void K(gemm_column)(const fnn_gemm_task *t, int64_t n, int64_t width) {
    real part[GEMM_PART_ROWS * GEMM_WORDS * VR], copy[GEMM_K_BLOCK * GEMM_WORDS * VR];
    const int64_t words = (width + VR - 1) / VR, padded = words * VR, block = t->a_row == 1 ? GEMM_K_BLOCK_TURNED : GEMM_K_BLOCK;
    const int buffered = t->add && t->K > block, copied = t->b_form == FNN_GEMM_COPIED;
    const int64_t step = buffered ? GEMM_PART_ROWS : t->M;
    const int64_t exist = t->b_columns && t->b_columns - n < width ? t->b_columns - n : width;
    const int64_t b_row = t->b_form == FNN_GEMM_PLAIN ? t->b_row : padded;
    const real *b = (const real *)t->b + (t->b_form == FNN_GEMM_PACKED ? n * t->K : copied ? n * t->b_col : n);
    K(gemm_panel_task) p = {.tail = width - padded + VR, .a_row = t->a_row, .a_col = t->a_col, .b_row = b_row, .add_row = t->add_row};
    for (int64_t i = 0; i < t->M; i += step) {
        real *c = (real *)t->c + i * t->c_row + n;
        real *wait = buffered ? part : c;
        const int64_t wait_row = buffered ? GEMM_WORDS * VR : t->c_row;
        p.M = t->M - i < step ? t->M - i : step;
        p.init = NULL;
        p.init_row = wait_row;
        int64_t k = 0;
        do { /* at least once: with K = 0 the empty sum is stored */
            const int last = t->K - k <= block;
            p.depth = last ? t->K - k : block;
            p.a = (const real *)t->a + i * t->a_row + k * t->a_col;
            p.b = copied ? copy : b + k * b_row;
            if (copied) K(gemm_pack_panel)(copy, padded, b + k * t->b_row, exist, p.depth, t->b_row, t->b_col);
            p.add = last && t->add ? (const real *)t->add + i * t->add_row + n : NULL;
            p.c = last ? c : wait;
            p.c_row = last ? t->c_row : wait_row;
            p.next_depth = last ? 0 : t->K - k - p.depth < block ? t->K - k - p.depth : block;
            p.next_a = t->a_row == 1 ? p.a + p.depth * t->a_col : NULL;
            p.next_b = copied ? NULL : p.b + p.depth * b_row;
            p.next_b_width = width;
            K(gemm_run_panel)(words, t->b_form != FNN_GEMM_PLAIN, &p);
            p.init = wait;
            k += p.depth;
        } while (k < t->K);
    }
}

/* copy (rows, GEMM_K_BLOCK) = rows i.. and steps k.. of A */
static void K(gemm_copy_a)(real *copy, const fnn_gemm_task *t, int64_t i, int64_t k, int64_t rows, int64_t depth) {
    const real *a = (const real *)t->a + i * t->a_row + k * t->a_col;
    for (int64_t j = 0; j < depth && t->a_row == 1; j += VR)
        K(gemm_pack_turned)(copy + j, GEMM_K_BLOCK, a + j * t->a_col, depth - j < VR ? depth - j : VR, rows, t->a_col);
    if (t->a_row == 1) return;
    for (int64_t r = 0; r < rows; r++, a += t->a_row, copy += GEMM_K_BLOCK)
        for (int64_t j = 0; j < depth; j++) copy[j] = a[j * t->a_col];
}

/* Large products: rows of A lie far apart (or are columns), and many panels read them: a block of A is copied first. */
static void K(gemm_block_large)(const fnn_gemm_task *t) {
    real copy[GEMM_A_ROWS * GEMM_K_BLOCK];
    const int64_t panel = GEMM_WORDS * VR;
    for (int64_t i = 0; i < t->M; i += GEMM_A_ROWS)
        for (int64_t k = 0; k < t->K; k += GEMM_K_BLOCK) {
            const int64_t depth = t->K - k < GEMM_K_BLOCK ? t->K - k : GEMM_K_BLOCK;
            const int last = k + depth == t->K;
            K(gemm_panel_task) p = {.M = t->M - i < GEMM_A_ROWS ? t->M - i : GEMM_A_ROWS, .depth = depth, .a = copy,
                                    .a_row = GEMM_K_BLOCK, .a_col = 1, .add_row = t->add_row, .init_row = t->c_row, .c_row = t->c_row};
            K(gemm_copy_a)(copy, t, i, k, p.M, depth);
            for (int64_t n = 0; n < t->N; n += panel) {
                const int64_t width = t->N - n < panel ? t->N - n : panel, padded = (width + VR - 1) / VR * VR;
                p.tail = width - padded + VR;
                p.b_row = padded;
                p.b = (const real *)t->b + n * t->K + k * padded;
                p.c = (real *)t->c + i * t->c_row + n;
                p.init = k ? p.c : NULL;
                p.next_depth = t->N - n > panel ? depth : 0;
                p.next_b = p.b + panel * t->K; /* the next panel: as wide, or nearly */
                p.next_b_width = padded;
                p.add = last && t->add ? (const real *)t->add + i * t->add_row + n : NULL;
                K(gemm_run_panel)(padded / VR, 1, &p);
            }
        }
}

static void K(gemm_block)(const fnn_gemm_task *t) {
    const int64_t panel = GEMM_WORDS * VR;
    if (t->b_form == FNN_GEMM_PACKED && t->N >= GEMM_LARGE && t->K >= GEMM_LARGE && t->M >= GEMM_LARGE_ROWS && t->add != t->c) {
        K(gemm_block_large)(t);
        return;
    }
    for (int64_t n = 0; n < t->N; n += panel) K(gemm_column)(t, n, t->N - n < panel ? t->N - n : panel);
}

/* Panel after panel, rows of a panel in order of k, the last panel as wide as its words, missing lanes 0. */
static void K(gemm_pack)(void *packed, const void *b, int64_t N, int64_t depth, int64_t b_row, int64_t b_col) {
    const int64_t panel = GEMM_WORDS * VR;
    for (int64_t n = 0; n < N; n += panel) {
        const int64_t width = N - n < panel ? N - n : panel;
        K(gemm_pack_panel)((real *)packed + n * depth, (width + VR - 1) / VR * VR, (const real *)b + n * b_col, width, depth, b_row, b_col);
    }
}

static void K(gemm_merge)(void *c_any, int64_t c_row, const void *parts, int64_t split_stride, int64_t splits, int64_t M,
                          int64_t N, const void *add, int64_t add_row) {
    for (int64_t i = 0; i < M; i++) {
        real *c = (real *)c_any + i * c_row;
        const real *p = (const real *)parts + i * N, *old = add ? (const real *)add + i * add_row : NULL;
        for (int64_t j = 0; j < N; j += VR, p += VR) {
            const int64_t n = N - j < VR ? N - j : VR;
            vr sum = vr_load_n(p, n);
            for (int64_t s = 1; s < splits; s++) sum = vr_add(sum, vr_load_n(p + s * split_stride, n));
            if (old) sum = vr_add(sum, vr_load_n(old + j, n));
            vr_store_n(c + j, n, sum);
        }
    }
}
#undef GEMM_WORDS
#undef GEMM_ROWS
#undef GEMM_K_BLOCK
#undef GEMM_K_BLOCK_TURNED
#undef GEMM_LARGE
#undef GEMM_LARGE_ROWS
#undef GEMM_A_ROWS
#undef GEMM_PART_ROWS
