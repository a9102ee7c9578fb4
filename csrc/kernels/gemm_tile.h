/* The tiles of matrix products: rows x words accumulators in registers (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: an element of a tile is one chain of fma over increasing k that starts from 0, or where an earlier pass left it,
 * then + sum, then + add; neither the tile's size nor the layout of its operands changes a bit.
 * Does not: choose tiles or cut K (gemm.h). Read next: gemm_pack.h, gemm.h.
 *
 * Why 6 x 4 words on 32 registers: 24 accumulators, 4 words of B, 1 broadcast of A. 24 fma take 12 cycles where two start per
 * cycle; their 10 loads take 5. Narrow panels take more rows, so that at least 8 chains hide the latency of fma. With 8 words of
 * registers (16 ymm, 32 q) 6 x 1 is what fits; plain C keeps one word. A masked load costs a slot of the units that do the fma
 * (measured: 4 % of 64^3), so words that exist, or that padding makes exist, are read without.
 * Why A is not copied: six rows are six streams, which the processor fetches in time; a copy costs 5 to 15 % where N is 64. */

#if FNN_WORD_REGISTERS >= 32
#define GEMM_WORDS 4 /* width of a panel of B and of the widest tile */
#else
#define GEMM_WORDS 1
#define GEMM_ROWS (FNN_WORD_REGISTERS >= 8 ? 6 : 1)
#endif

/* One tile over `depth` steps. `rows`, `words` and `mask_*` are constants at every call. `chain` is NULL or where the chains of
 * this block of K stand; `sum` is NULL or what the blocks before this one gave. `tail`: how many lanes of the last word exist. */
static inline __attribute__((always_inline)) void K(gemm_tile)(const int rows, const int words, const int mask_b,
                                                               const int mask_c, int64_t tail, int64_t depth, const real *a,
                                                               int64_t a_row, int64_t a_col, const real *b, int64_t b_row,
                                                               const real *chain, int64_t chain_row, const real *sum,
                                                               int64_t sum_row, const real *add, int64_t add_row, real *c,
                                                               int64_t c_row) {
    vr acc[16][GEMM_WORDS];
#define EACH_ROW _Pragma("GCC unroll 16") for (int i = 0; i < rows; i++)
#define EACH_WORD _Pragma("GCC unroll 4") for (int w = 0; w < words; w++)
#define LOAD(masked, p, w) ((masked) && (w) == words - 1 ? vr_load_n((p) + (w) * VR, tail) : vr_load((p) + (w) * VR))
    if (chain) EACH_ROW EACH_WORD acc[i][w] = LOAD(mask_c, chain + i * chain_row, w);
    else EACH_ROW EACH_WORD acc[i][w] = vr_set1(0);
    for (int64_t k = 0; k < depth; k++, a += a_col, b += b_row) {
        vr bk[GEMM_WORDS];
        EACH_WORD bk[w] = LOAD(mask_b, b, w);
        EACH_ROW {
            const vr ai = vr_set1(a[i * a_row]);
            EACH_WORD acc[i][w] = vr_fma(ai, bk[w], acc[i][w]);
        }
    }
    if (sum) EACH_ROW EACH_WORD acc[i][w] = vr_add(LOAD(mask_c, sum + i * sum_row, w), acc[i][w]);
    if (add) EACH_ROW EACH_WORD acc[i][w] = vr_add(acc[i][w], LOAD(mask_c, add + i * add_row, w));
    EACH_ROW EACH_WORD {
        if (mask_c && w == words - 1) vr_store_n(c + i * c_row + w * VR, tail, acc[i][w]);
        else vr_store(c + i * c_row + w * VR, acc[i][w]);
    }
#undef EACH_ROW
#undef EACH_WORD
#undef LOAD
}

/* One panel of B over a block of K or a step of it: all rows, in tiles of `rows`, then 8, 4, 2, 1. */
typedef struct K(gemm_panel_task) {
    int64_t M, tail, depth;
    const real *a;
    int64_t a_row, a_col;
    const real *b;
    int64_t b_row;
    const real *chain; /* NULL in the first step of a block */
    int64_t chain_row;
    const real *sum; /* NULL in the first block */
    int64_t sum_row;
    const real *add; /* NULL but in the last block */
    int64_t add_row;
    real *c;
    int64_t c_row;
    const real *next; /* what the next panel reads, fetched into the L2 cache meanwhile */
    int64_t next_length;
} K(gemm_panel_task);

static inline __attribute__((always_inline)) void K(gemm_panel)(const int rows, const int words, const int mask_b,
                                                                const int mask_c, const K(gemm_panel_task) * p) {
    const int64_t line = 64 / (int64_t)sizeof(real);
    const real *a = p->a, *chain = p->chain, *sum = p->sum, *add = p->add;
    real *c = p->c;
    int64_t left = p->M, fetched = 0;
#define TILE(n)                                                                                                            \
    {                                                                                                                      \
        K(gemm_tile)((n), words, mask_b, mask_c, p->tail, p->depth, a, p->a_row, p->a_col, p->b, p->b_row, chain,          \
                     p->chain_row, sum, p->sum_row, add, p->add_row, c, p->c_row);                                         \
        a += (n) * p->a_row;                                                                                               \
        c += (n) * p->c_row;                                                                                               \
        if (chain) chain += (n) * p->chain_row;                                                                            \
        if (sum) sum += (n) * p->sum_row;                                                                                  \
        if (add) add += (n) * p->add_row;                                                                                  \
    }
    for (; left >= rows; left -= rows) {
        for (const int64_t end = p->next_length * (p->M - left + rows) / p->M; fetched < end; fetched += line)
            __builtin_prefetch(p->next + fetched, 0, 2);
        TILE(rows)
    }
    if (rows > 8 && (left & 8)) TILE(8)
    if (rows > 4 && (left & 4)) TILE(4)
    if (rows > 2 && (left & 2)) TILE(2)
    if (rows > 1 && (left & 1)) TILE(1)
#undef TILE
}

#define GEMM_PANEL(name, rows, words, mask_b, mask_c) \
    static __attribute__((noinline)) void K(name)(const K(gemm_panel_task) * p) { K(gemm_panel)(rows, words, mask_b, mask_c, p); }
#if GEMM_WORDS == 4
GEMM_PANEL(gemm_6x4_whole, 6, 4, 0, 0)
GEMM_PANEL(gemm_6x4, 6, 4, 1, 1)
GEMM_PANEL(gemm_8x3, 8, 3, 1, 1)
GEMM_PANEL(gemm_12x2_padded, 12, 2, 0, 1)
GEMM_PANEL(gemm_12x2, 12, 2, 1, 1)
GEMM_PANEL(gemm_16x1, 16, 1, 1, 1)

static void K(gemm_run_panel)(int64_t words, int padded, const K(gemm_panel_task) * p) {
    const int whole = p->tail == VR;
    if (words == 4) (whole ? K(gemm_6x4_whole) : K(gemm_6x4))(p);
    else if (words == 3) K(gemm_8x3)(p);
    else if (words == 2) (whole || padded ? K(gemm_12x2_padded) : K(gemm_12x2))(p);
    else K(gemm_16x1)(p);
}
#else
GEMM_PANEL(gemm_whole, GEMM_ROWS, 1, 0, 0)
GEMM_PANEL(gemm_padded, GEMM_ROWS, 1, 0, 1)
GEMM_PANEL(gemm_tail, GEMM_ROWS, 1, 1, 1)

static void K(gemm_run_panel)(int64_t words, int padded, const K(gemm_panel_task) * p) {
    (void)words;
    (p->tail == VR ? K(gemm_whole) : padded ? K(gemm_padded) : K(gemm_tail))(p);
}
#endif
#undef GEMM_PANEL
