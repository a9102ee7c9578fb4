/* What the ops that multiply matrices share: from two tensors to one product (product.h), and gradients as products.
 *
 * Read next: matmul_sides.c, matmul.c, linear.c, matmul_fused.c. */
#ifndef FNN_OPS_MATMUL_H
#define FNN_OPS_MATMUL_H

#include "expr.h"
#include "product.h"

/* One operand seen as a matrix with leading dimensions. */
typedef struct fnn_side {
    int ndim; /* leading dimensions */
    int64_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
    int64_t rows, cols, row, col;
    bool copy; /* must be made contiguous first */
} fnn_side;

/* t as the left or the right operand. A 1-D tensor is a row on the left and a column on the right. */
void fnn_side_read(fnn_side *s, const fnn_tensor *t, bool left);
/* Its transpose. */
void fnn_side_turn(fnn_side *s);
/* Leading dimensions become rows of one matrix. */
void fnn_side_fold(fnn_side *s, bool contiguous);
/* The product of two operands whose inner sizes agree; fails where leading dimensions do not broadcast. */
fnn_status fnn_side_product(const char *op, const fnn_side *a, const fnn_side *b, fnn_product *p);

/* The product of two tensors as torch's matmul reads them; fails where they do not fit. copy_a: a must be made contiguous first. */
fnn_status fnn_matmul_product(const char *op, const fnn_tensor *a, const fnn_tensor *b, fnn_product *p, bool *copy_a);
/* The shape of the result, its dtype and the estimated work, for a plan. */
void fnn_matmul_result(fnn_call *c, const fnn_tensor *a, const fnn_tensor *b, const fnn_product *p);
double fnn_matmul_work(const fnn_product *p); /* in nanoseconds */
size_t fnn_matmul_scratch(const fnn_product *p, int dtype);
void fnn_matmul_run(const fnn_product *p, int dtype, char *c, const char *a, const char *b, const char *bias, void *scratch);

/* A view of t as a matrix of `cols` columns (all leading dimensions folded), copied where the strides demand it. */
const fnn_tensor *fnn_rows_of(fnn_expr *x, const fnn_tensor *t, int64_t cols);
/* The last two dimensions swapped. */
const fnn_tensor *fnn_swapped(fnn_expr *x, const fnn_tensor *t);
/* The gradients of x (.., K) and w, where dy (.., N) and x are rows of one matrix each:
 * dx = dy w^T, dw = x^T dy; or, for a w kept as (N, K), dx = dy w, dw = dy^T x. */
fnn_status fnn_matmul_back_rows(fnn_backcall *b, bool kept_turned);

#endif
