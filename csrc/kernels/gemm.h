/* Matrix products by register-blocked tiles (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: every element of C is ((s0 + s1) + s2) + ..., each s one chain of fma over a block of GEMM_K_BLOCK consecutive k,
 * in order, from 0; whatever the tile, the strides and the packing. So instruction sets, thread counts and layouts give the
 * same bits, and zeros behind the last k that counts change nothing.
 * Does not: choose chunks or cut long sums further (ops/product.c), allocate, touch more of C than the task's (M,N).
 * Read next: gemm_tile.h, gemm_pack.h, gemm_task.h, ops/product.c. Recurrent nets and attention use gemm_block on local matrices. */

/* A sum over K is cut into blocks of this length, each a chain from 0, added up in order: part of the numerical contract. */
#define GEMM_K_BLOCK 256
/* A block is walked in steps of this length, so that a panel of B stays in the L1 cache for all rows (32 KB where a panel has
 * four words, the whole block where it has one); the chains are stored and go on. */
#define GEMM_K_STEP (GEMM_WORDS == 4 ? 128 : GEMM_K_BLOCK)
/* From so many columns on, an A that lies in columns is copied into rows, block by block: panels of B then read it faster than
 * they would a line of A in every step. */
#define GEMM_TURN_COLUMNS 128
#define GEMM_TURN_ROWS (192 * 4 / (int64_t)sizeof(real))                /* at once: 209 KB on the stack, in the L2 cache */
#define GEMM_TURN_STRIDE (GEMM_K_BLOCK + 64 / (int64_t)sizeof(real)) /* not a power of two: rows spread over the cache */
/* Chains that cannot wait in C wait on the stack, those of so many rows of a panel: 48 KB. */
#define GEMM_CHAIN_ROWS 192
/* Where C must keep its old values until the sum is finished, the blocks are added up in strips of this size. */
#define GEMM_STRIP_ROWS 48
#define GEMM_STRIP_COLUMNS 256

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

/* Steps k .. k+depth-1 of one panel of C, from column n on; A as p has it. Between steps the chains wait in C, or in a strip
 * where C still holds what is to be added to them. */
static void K(gemm_steps)(const fnn_gemm_task *t, int64_t k, int64_t depth, int64_t n, int64_t words, K(gemm_panel_task) p) {
    _Alignas(64) real copy[GEMM_K_STEP * GEMM_WORDS * VR], strip[GEMM_CHAIN_ROWS * GEMM_WORDS * VR];
    const int copied = t->b_form == FNN_GEMM_COPIED, packed = t->b_form == FNN_GEMM_PACKED, apart = k || (t->add && t->add == t->c);
    const int64_t width = p.tail + (words - 1) * VR, exist = t->b_columns && t->b_columns - n < width ? t->b_columns - n : width;
    const real *b = p.b;
    real *c = (real *)t->c + n, *chains = apart ? strip : c;
    const int64_t chain_row = apart ? GEMM_WORDS * VR : t->c_row;
    p.chain = NULL, p.chain_row = chain_row;
    for (int64_t left = depth;; left -= GEMM_K_STEP) {
        const int last = left <= GEMM_K_STEP;
        p.depth = last ? left : GEMM_K_STEP;
        p.b = copied ? copy : b;
        if (copied) K(gemm_pack_panel)(copy, p.b_row, b, exist, p.depth, t->b_row, t->b_col);
        p.next = b + GEMM_WORDS * VR * t->K; /* the same step of the next panel, which is as wide, or nearly */
        p.next_length = packed && t->N - n > GEMM_WORDS * VR ? p.depth * p.b_row : 0;
        p.sum = last && k ? c : NULL;
        p.add = last && k + depth == t->K && t->add ? (const real *)t->add + n : NULL;
        p.c = last ? c : chains, p.c_row = last ? t->c_row : chain_row;
        K(gemm_run_panel)(words, packed || copied, &p);
        if (last) return;
        p.chain = chains;
        p.a += p.depth * p.a_col, b += p.depth * (copied ? t->b_row : p.b_row);
    }
}

/* Words of the next panel where so many are left: a last panel of one word would have too few chains to hide the latency of
 * fma and as many broadcasts as fma, so what is left is dealt out as threes and twos in time. */
static int64_t K(gemm_panel_words)(int64_t left) {
    if (left <= GEMM_WORDS) return left;
    return GEMM_WORDS == 4 && (left == 5 || left == 6 || left == 9) ? 3 : GEMM_WORDS;
}

/* Steps k .. k+depth-1 of all of C; A as the task has it. */
static void K(gemm_k_block)(const fnn_gemm_task *t, int64_t k, int64_t depth, const real *a, int64_t a_row, int64_t a_col) {
    const int copied = t->b_form == FNN_GEMM_COPIED, packed = t->b_form == FNN_GEMM_PACKED;
    K(gemm_panel_task) p = {.M = t->M, .a = a, .a_row = a_row, .a_col = a_col, .sum_row = t->c_row, .add_row = t->add_row};
    for (int64_t n = 0, words; n < t->N; n += words * VR) {
        const int64_t left = (t->N - n + VR - 1) / VR;
        words = packed ? (left < GEMM_WORDS ? left : GEMM_WORDS) : K(gemm_panel_words)(left);
        p.tail = t->N - n < words * VR ? t->N - n - (words - 1) * VR : VR;
        p.b_row = packed || copied ? words * VR : t->b_row;
        p.b = packed ? (const real *)t->b + n * t->K + k * p.b_row : (const real *)t->b + k * t->b_row + n * (copied ? t->b_col : 1);
        K(gemm_steps)(t, k, depth, n, words, p);
    }
}

static void K(gemm_k_block_turned)(const fnn_gemm_task *t, int64_t k, int64_t depth) {
    _Alignas(64) real copy[GEMM_TURN_ROWS * GEMM_TURN_STRIDE];
    for (int64_t i = 0; i < t->M; i += GEMM_TURN_ROWS) {
        fnn_gemm_task part = *t;
        part.M = t->M - i < GEMM_TURN_ROWS ? t->M - i : GEMM_TURN_ROWS;
        part.c = (real *)t->c + i * t->c_row;
        if (t->add) part.add = (const real *)t->add + i * t->add_row;
        K(gemm_turn_a)(copy, GEMM_TURN_STRIDE, (const real *)t->a + i + k * t->a_col, part.M, depth, t->a_col);
        K(gemm_k_block)(&part, k, depth, copy, GEMM_TURN_STRIDE, 1);
    }
}

static void K(gemm_block)(const fnn_gemm_task *t);

/* C = finished sum + old C, the sum made in a strip of its own. */
static void K(gemm_onto_old)(const fnn_gemm_task *t) {
    _Alignas(64) real strip[GEMM_STRIP_ROWS * GEMM_STRIP_COLUMNS];
    for (int64_t i = 0; i < t->M; i += GEMM_STRIP_ROWS)
        for (int64_t n = 0; n < t->N; n += GEMM_STRIP_COLUMNS) {
            fnn_gemm_task part = *t;
            part.M = t->M - i < GEMM_STRIP_ROWS ? t->M - i : GEMM_STRIP_ROWS;
            part.N = t->N - n < GEMM_STRIP_COLUMNS ? t->N - n : GEMM_STRIP_COLUMNS;
            part.a = (const real *)t->a + i * t->a_row;
            part.b = (const real *)t->b + n * (t->b_form == FNN_GEMM_PACKED ? t->K : t->b_form == FNN_GEMM_COPIED ? t->b_col : 1);
            if (t->b_columns) part.b_columns = t->b_columns - n;
            part.c = strip, part.c_row = part.N, part.add = NULL;
            K(gemm_block)(&part);
            real *c = (real *)t->c + i * t->c_row + n;
            K(gemm_merge)(c, t->c_row, strip, 0, 1, part.M, part.N, c, t->c_row);
        }
}

static void K(gemm_in_rows)(const fnn_gemm_task *t) {
    for (int64_t i = 0; i < t->M; i += GEMM_CHAIN_ROWS) {
        fnn_gemm_task part = *t;
        part.M = t->M - i < GEMM_CHAIN_ROWS ? t->M - i : GEMM_CHAIN_ROWS;
        part.a = (const real *)t->a + i * t->a_row;
        part.c = (real *)t->c + i * t->c_row;
        if (t->add) part.add = (const real *)t->add + i * t->add_row;
        K(gemm_block)(&part);
    }
}

static void K(gemm_block)(const fnn_gemm_task *t) {
    const int onto_old = t->add && t->add == t->c;
    if (onto_old && t->K > GEMM_K_BLOCK) {
        K(gemm_onto_old)(t);
        return;
    }
    if (t->M > GEMM_CHAIN_ROWS && t->K > (onto_old ? GEMM_K_STEP : GEMM_K_BLOCK)) {
        K(gemm_in_rows)(t);
        return;
    }
    const int turn = t->a_row == 1 && t->a_col != 1 && t->N >= GEMM_TURN_COLUMNS && t->M >= VR;
    int64_t k = 0;
    do { /* at least once: with K = 0 the empty sum is stored */
        const int64_t depth = t->K - k < GEMM_K_BLOCK ? t->K - k : GEMM_K_BLOCK;
        if (turn) K(gemm_k_block_turned)(t, k, depth);
        else K(gemm_k_block)(t, k, depth, (const real *)t->a + k * t->a_col, t->a_row, t->a_col);
        k += depth;
    } while (k < t->K);
}

/* Panel after panel, rows of a panel in order of k, the last panel as wide as its words, missing lanes 0. */
static void K(gemm_pack)(void *packed, const void *b, int64_t N, int64_t depth, int64_t b_row, int64_t b_col) {
    const int64_t panel = GEMM_WORDS * VR;
    for (int64_t n = 0; n < N; n += panel) {
        const int64_t width = N - n < panel ? N - n : panel;
        K(gemm_pack_panel)((real *)packed + n * depth, (width + VR - 1) / VR * VR, (const real *)b + n * b_col, width, depth, b_row, b_col);
    }
}
#undef GEMM_WORDS
#undef GEMM_ROWS
#undef GEMM_K_BLOCK
#undef GEMM_K_STEP
#undef GEMM_CHAIN_ROWS
#undef GEMM_TURN_COLUMNS
#undef GEMM_TURN_ROWS
#undef GEMM_TURN_STRIDE
#undef GEMM_STRIP_ROWS
#undef GEMM_STRIP_COLUMNS
