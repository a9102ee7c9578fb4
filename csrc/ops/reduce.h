/* What the reductions (reduce.c, reduce_rows.c, extreme.c) share: which dimensions go, the result's shape, and the input as rows. */
#ifndef FNN_OPS_REDUCE_H
#define FNN_OPS_REDUCE_H

#include "op.h"

typedef struct fnn_reduction {
    unsigned reduced;    /* bit d: dimension d is reduced */
    bool keepdim;
    int64_t rows, n;     /* results, elements of each */
    int64_t outer, inner; /* results before and after the reduced dimensions, where those lie side by side */
    bool middle;         /* they do, and inner > 1: rows are columns of (n, inner) blocks */
} fnn_reduction;

/* From dims (n <= 0: all). */
fnn_status fnn_reduction_make(const char *op, const fnn_tensor *x, const fnn_ints *dims, bool keepdim, fnn_reduction *r);
void fnn_reduction_shape(const fnn_reduction *r, const fnn_tensor *x, fnn_tensor *out);
/* x as contiguous (rows, n): x itself counted where it lies so, else a copy. */
fnn_status fnn_reduction_rows(const fnn_reduction *r, const fnn_tensor *x, fnn_tensor *rows);
/* t of the result's shape, seen in the input's shape (stride 0 along reduced dimensions): a counted view. */
void fnn_reduction_expand(const fnn_reduction *r, const fnn_geom *g, const fnn_tensor *t, fnn_tensor *out);
/* The same with size 1 along reduced dimensions. */
void fnn_reduction_keep(const fnn_reduction *r, const fnn_geom *g, const fnn_tensor *t, fnn_tensor *out);
/* The reduction of a node's input, from its geometry. */
fnn_status fnn_reduction_of_geom(const fnn_geom *g, const fnn_ints *dims, bool keepdim, fnn_reduction *r);

/* Plans: a result of this dtype; of SUM's and PROD's (the dtype asked for, else that of floats or int64). attrs as in reduce.c. */
fnn_status fnn_reduction_plan(fnn_call *c, int dtype);
fnn_status fnn_reduction_plan_sum(fnn_call *c);

/* Calls fn(ctx, first, rows) for chunks of the rows, which follow from the shape; ns: the time for one element. */
typedef void (*fnn_rows_fn)(const void *ctx, int64_t first, int64_t rows);
void fnn_reduction_each(const fnn_reduction *r, double ns, fnn_rows_fn fn, const void *ctx);

#endif
