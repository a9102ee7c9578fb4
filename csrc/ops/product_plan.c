/* See product_plan.h. The way: whether the sum is cut, normalise (fold or turn the product without changing a bit), whether B is
 * copied, chunks. What this file does not do: run anything. Read next: product.c. */
#include "ops/product_plan.h"

#include "kernels/kernels.h"

/* Constants below were tuned on two cores with AVX-512 (2 MB L2); none of them changes a bit of any result except SPLIT_MIN_K,
 * SPLIT_DEPTH, SPLIT_MAX and SPLIT_MAX_C. */
enum {
    PANELS = FNN_PRODUCT_PANELS,
    ROWS = FNN_PRODUCT_ROWS,
    CHUNK_WORK = FNN_PRODUCT_CHUNK_WORK,
    MAX_ROWS = 192,       /* rows of a chunk at most: 192 rows of A by one block of K are 192 KB */
    LARGE_ROWS = 132,     /* at least so many where there is work for all chunks: what each one copies of B then costs 2 % */
    MAX_COLUMNS = 1024,
    TURN_COLUMNS = 128,   /* at least so many where A lies in columns and there is much work: each chunk turns its A first */
    DEEP_K = 256,         /* where sums are longer, each core reads blocks of A and B from far away: ... */
    DEEP_CHUNKS = 12,     /* ... fewer chunks ... */
    DEEP_COLUMNS = 256,   /* ... of at least so many columns ... */
    DEEP_MAX_COLUMNS = 512, /* ... and at most so many: their part of B stays in the L2 cache for all rows */
    MANY_ROWS = 256,
    NEAR_B = 1 << 19,     /* bytes of a B that stays in the L2 cache while all rows of A pass by */
    MAX_CHUNKS = 32,
    PACK_ROWS = 32,       /* rows of A from which packing a contiguous B can pay, and ... */
    TAIL_ROWS = 128,      /* ... where it spares only the masks of a last word */
    COPY_ROWS = 96,       /* ... from which a chunk's own copy pays for either reason of reads_badly ... */
    SHARED_ROW = 1024,    /* ... of which this, in bytes, is one */
    PACK_COLUMNS = 512,   /* columns of B from which its rows lie too far apart for the caches */
    MIN_OWN_ROWS = 48,       /* rows of a chunk that copies B for itself, at least ... */
    OWN_ROWS = 128,          /* ... and about; from ... */
    MAX_OWN_ROWS = 1024,     /* ... so many rows in all on one copy serves all */
    SUM_BLOCK = 256,      /* GEMM_K_BLOCK of kernels/gemm.h */
    SPLIT_MIN_K = 1024,   /* a sum is cut between its blocks only, unless it is at least this long ... */
    SPLIT_DEPTH = 512,    /* ... into pieces about this long ... */
    SPLIT_MAX = 16,       /* ... at most so many ... */
    SPLIT_CHUNKS = 8,     /* ... and fill so many chunks, each of which reads its piece of A and B once ... */
    SPLIT_MAX_C = 128 * 128 /* ... and only where C alone has too few tiles to occupy the threads */
};

int64_t fnn_product_splits(int64_t M, int64_t N, int64_t K) {
    if (K < SPLIT_MIN_K || M * N > SPLIT_MAX_C || M * N <= 1) return 1;
    return min64(K / SPLIT_DEPTH, SPLIT_MAX);
}

/* A batch of products with one B is one product with more rows, if the rows of A and C follow each other evenly. */
static void fold_batch(fnn_product *p) {
    while (p->batch_ndim > 0) {
        const int d = p->batch_ndim - 1;
        if (p->batch[d] != 1) {
            if (p->b_batch[d] != 0) return;
            if (p->M == 1) p->a_row = p->a_batch[d], p->c_row = p->c_batch[d];
            if (p->a_batch[d] != p->M * p->a_row || p->c_batch[d] != p->M * p->c_row) return;
            p->M *= p->batch[d];
        }
        p->batch_ndim--;
    }
}

/* C^T = B^T A^T for C a contiguous column: A stored by columns then is a B that needs no copy. The same chains, the same bits. */
static bool turn(fnn_product *p) {
    if (p->N != 1 || p->M == 1 || p->c_row != 1 || p->a_row != 1 || p->has_bias) return false;
    const fnn_product q = *p;
    p->M = 1, p->N = q.M;
    p->a_row = 0, p->a_col = q.b_row;
    p->b_row = q.a_col, p->b_col = 1;
    p->c_row = q.M;
    for (int d = 0; d < q.batch_ndim; d++) p->a_batch[d] = q.b_batch[d], p->b_batch[d] = q.a_batch[d];
    return true;
}

/* Few rows times a B that must be copied: each chunk copies for itself, from caches that both cores share; a copy that one
 * core has just written costs the other more to fetch (256x128x64: 10 us) than to make. A copy pays from about 13 rows on. */
static bool copies_alone(const fnn_product_plan *l) { return l->p.batch_ndim == 0 && l->splits == 1 && l->p.M <= MAX_OWN_ROWS && (l->p.N < 256 || l->p.K < 256); }

static void choose_chunks(fnn_product_plan *l, bool copy) {
    const fnn_product *p = &l->p;
    const double work = (double)p->M * (double)p->N * (double)l->depth;
    const bool full = work >= (double)MAX_CHUNKS * CHUNK_WORK, deep = l->depth > DEEP_K && l->splits == 1;
    int64_t want = full ? deep ? DEEP_CHUNKS : MAX_CHUNKS : max64(1, (int64_t)(work / CHUNK_WORK));
    if (l->splits > 1) want = ceil_div(SPLIT_CHUNKS, l->splits);
    if (l->b_batches > 1) want = ceil_div(want, l->b_batches); /* whole products, if there are enough: each copies its B once */
    l->columns = min64(round_up(p->N, PANELS), deep ? DEEP_MAX_COLUMNS : MAX_COLUMNS);
    l->rows = want == 1 ? 2 * MAX_ROWS : min64(round_up(ceil_div(p->M, want), full ? deep ? MAX_ROWS : LARGE_ROWS : ROWS), MAX_ROWS);
    if (ceil_div(p->M, l->rows) < want) { /* few rows: cut the columns as well */
        const int64_t least = deep ? DEEP_COLUMNS : full && p->a_row == 1 ? TURN_COLUMNS : PANELS;
        l->columns = min64(l->columns, max64(least, round_up(ceil_div(p->N, ceil_div(want, ceil_div(p->M, l->rows))), PANELS)));
    }
    if (copy && copies_alone(l) && p->M >= 2 * MIN_OWN_ROWS)
        l->rows = round_up(ceil_div(p->M, max64(2, p->M / OWN_ROWS)), 12);
    l->row_chunks = ceil_div(p->M, l->rows);
    l->rows = min64(l->rows, round_up(ceil_div(p->M, l->row_chunks), 12)); /* alike: not 48 and 16 */
    l->column_chunks = ceil_div(p->N, l->columns);
    l->by_rows = p->M >= MANY_ROWS && (size_t)(p->N * l->depth) * l->t->size <= NEAR_B;
    l->group = 1;
    if (l->row_chunks * l->column_chunks * l->splits == 1)
        l->group = max64(1, min64(l->batches, (int64_t)(CHUNK_WORK / (work + 1))));
}

/* A long sum for a small C is cut. Between blocks of the sum that changes no bit: the pieces are added up as the kernel adds up
 * its blocks. Each core then reads rows of A and B that it is likely to have written, not columns of all. */
static void cut_sum(fnn_product_plan *l) {
    const fnn_product *p = &l->p;
    l->splits = fnn_product_splits(p->M, p->N, p->K);
    if (l->splits > 1) l->depth = ceil_div(p->K, l->splits);
    else if (p->K >= 2 * SUM_BLOCK && p->M * p->N <= SPLIT_MAX_C && p->M * p->N * p->K >= 2 * CHUNK_WORK) {
        l->depth = SUM_BLOCK;
        l->splits = ceil_div(p->K, SUM_BLOCK);
    }
}

fnn_product_plan fnn_product_plan_of(const fnn_product *given, const fnn_product_type *t) {
    fnn_product_plan l = {.p = *given, .t = t, .batches = 1, .splits = 1};
    fnn_product *p = &l.p;
    for (int d = 0; d < p->batch_ndim; d++) l.batches *= p->batch[d];
    l.empty = p->M == 0 || p->N == 0 || l.batches == 0;
    l.dot = p->M == 1 && p->N == 1;
    if (l.empty || l.dot) return l;
    /* Before folding: a batch is never split, however it lies in memory. */
    l.depth = p->K;
    if (p->batch_ndim == 0) cut_sum(&l);
    fold_batch(p);
    l.turned = turn(p);
    l.batches = l.b_batches = 1;
    for (int d = 0; d < p->batch_ndim; d++) {
        l.batches *= p->batch[d];
        if (p->b_batch[d] != 0) l.b_batches = 0;
    }
    if (l.b_batches == 0) l.b_batches = l.batches;
    if (p->N == 1) p->b_col = 1;
    /* A copy of B pays where its columns are apart, its rows end within a word, or they are long. Made once for several chunks,
     * else by each for itself, panel by panel in the kernel. */
    const bool copy = p->b_col != 1 || (p->N > 1 && ((p->M >= TAIL_ROWS && p->N % t->lanes != 0) || (p->M >= PACK_ROWS && p->N >= PACK_COLUMNS)));
    choose_chunks(&l, copy);
    const bool shared = (l.row_chunks > 1 && !copies_alone(&l)) || l.b_batches < l.batches;
    l.b_form = !copy ? FNN_GEMM_PLAIN : shared ? FNN_GEMM_PACKED : FNN_GEMM_COPIED;
    if (l.b_form == FNN_GEMM_PACKED) {
        l.pack_bytes = round_bytes((size_t)(round_up(p->N, t->lanes) * l.depth) * t->size);
        l.packed_bytes = l.pack_bytes * (size_t)(l.b_batches * l.splits);
    }
    if (l.splits > 1) l.part_bytes = (size_t)(l.splits * p->M * p->N) * t->size;
    return l;
}

bool fnn_product_reads_badly(const fnn_product_plan *l) {
    const uintptr_t row = (uintptr_t)l->p.b_row * l->t->size;
    const bool across = (((uintptr_t)l->b | row) & 63) != 0, shared = row % SHARED_ROW == 0;
    if (l->p.N == 1 || l->rows < PACK_ROWS) return false;
    return l->rows >= COPY_ROWS ? across || shared : across && shared;
}
