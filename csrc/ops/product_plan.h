/* How a product is run: which of its matrices is copied, whether its sum is cut, into which chunks it falls. Shared by product.c,
 * which runs it, and product_plan.c, which decides.
 *
 * Invariant: a plan follows from the product's description alone, so the scratch size asked for and the scratch used agree, and
 * results depend on neither threads nor addresses (what fnn_product_reads_badly decides changes no bit).
 * Read next: product_plan.c. */
#ifndef FNN_OPS_PRODUCT_PLAN_H
#define FNN_OPS_PRODUCT_PLAN_H
#include "ops/product.h"

/* What differs between float and double. */
typedef struct fnn_product_type {
    size_t size;
    int dtype;
    int64_t lanes;   /* of a vector word */
    double ns_per_m; /* time of a million multiply-adds on one thread: only decides whether threads pay */
} fnn_product_type;

enum {
    FNN_PRODUCT_PANELS = 64,         /* columns of a chunk are multiples of this: whole panels of every kernel, both types */
    FNN_PRODUCT_ROWS = 48,           /* rows of a chunk are about multiples of this (whole tiles of 6, 8, 12 and 16) */
    FNN_PRODUCT_CHUNK_WORK = 250000, /* multiply-adds worth a chunk of their own, about 3 us */
};

typedef struct fnn_product_plan {
    fnn_product p;      /* normalised */
    const fnn_product_type *t;
    int64_t batches;    /* product of the batch dimensions */
    int64_t b_batches;  /* different matrices B: 1 or batches */
    bool empty, dot, turned;
    int b_form;
    int64_t splits, depth;            /* pieces of K and the length of one */
    int64_t rows, row_chunks;         /* per chunk, and how many */
    int64_t columns, column_chunks;
    bool by_rows;                     /* neighbouring chunks have the same rows, not the same columns */
    int64_t group;                    /* batches per chunk where a product is small */
    size_t pack_bytes, packed_bytes;  /* of one B (one piece of K), of all */
    size_t part_bytes;                /* of all partial sums */
    char *c, *sums;                   /* sums: where the products are written; C, or what finish keeps */
    char *scratch, *parts;
    const char *a, *b, *bias;
} fnn_product_plan;

/* Operands and scratch are left to the caller. An `empty` or `dot` product has no chunks. */
fnn_product_plan fnn_product_plan_of(const fnn_product *given, const fnn_product_type *t);

/* Whether a B in rows is better copied by each chunk than read in place: because its words lie across cache lines, or because a
 * panel's rows are so far apart that they share a quarter of the L1 cache. A matter of addresses, so seen when the product runs. */
bool fnn_product_reads_badly(const fnn_product_plan *l);

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
static inline size_t round_bytes(size_t n) { return (n + 63) & ~(size_t)63; }

#endif
