/* What the ops that multiply matrices share: from two tensors to one product (product.h), and gradients as products.
 *
 * Read next: matmul.c, matmul_fused.c. */
#ifndef FNN_OPS_MATMUL_H
#define FNN_OPS_MATMUL_H

#include "expr.h"
#include "product.h"

/* The product of two tensors as torch's matmul reads them; fails where they do not fit. copy_a: a must be made contiguous first. */
fnn_status fnn_matmul_product(const char *op, const fnn_tensor *a, const fnn_tensor *b, fnn_product *p, bool *copy_a);
/* The shape of the result, its dtype and the estimated work, for a plan. */
void fnn_matmul_result(fnn_call *c, const fnn_tensor *a, const fnn_tensor *b, const fnn_product *p);
size_t fnn_matmul_scratch(const fnn_product *p, int dtype);
void fnn_matmul_run(const fnn_product *p, int dtype, char *c, const char *a, const char *b, const char *bias, void *scratch);

/* A view of t as a matrix of `cols` columns (all leading dimensions folded), copied where the strides demand it. */
const fnn_tensor *fnn_rows_of(fnn_expr *x, const fnn_tensor *t, int64_t cols);
/* The last two dimensions swapped. */
const fnn_tensor *fnn_swapped(fnn_expr *x, const fnn_tensor *t);

#endif
