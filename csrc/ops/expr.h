/* Small expressions over tensors, for backwards that are compositions: temporaries are kept and released together, and a
 * failure anywhere makes the rest do nothing, so formulas read as formulas.
 *
 *     FNN_EXPR(x);
 *     return fnn_give(&x, dst, fnn_x2(&x, &fnn_op_MUL, dy, fnn_x1(&x, &fnn_op_COS, in)));
 */
#ifndef FNN_OPS_EXPR_H
#define FNN_OPS_EXPR_H

#include "op.h"

#define FNN_EXPR_TEMPS 24

typedef struct fnn_expr {
    fnn_status status;
    int n, n_numbers;
    fnn_tensor temp[FNN_EXPR_TEMPS];
    double number[8];
} fnn_expr;
/* An empty expression. The temporaries stay as they are: zeroing four kilobytes costs more than a small product. */
#define FNN_EXPR(x) \
    fnn_expr x;     \
    x.status = FNN_OK, x.n = x.n_numbers = 0

/* Each gives a borrowed tensor that lives until fnn_give; NULL after a failure. */
const fnn_tensor *fnn_x1(fnn_expr *x, const fnn_op *op, const fnn_tensor *a);
const fnn_tensor *fnn_x2(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_tensor *b);
const fnn_tensor *fnn_x3(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_tensor *b, const fnn_tensor *c);
const fnn_tensor *fnn_xa(fnn_expr *x, const fnn_op *op, const fnn_tensor *a, const fnn_attrs *attrs);
const fnn_tensor *fnn_xnum(fnn_expr *x, double value);
/* a in a dtype. Numbers need it where only numbers meet: their result would have the default dtype. */
const fnn_tensor *fnn_xto(fnn_expr *x, const fnn_tensor *a, int dtype);
/* a summed down to an input's shape and dtype. */
const fnn_tensor *fnn_xsum_to(fnn_expr *x, const fnn_tensor *a, const fnn_geom *g);
/* A new slot for code that makes a temporary by itself. */
fnn_tensor *fnn_xslot(fnn_expr *x);
/* Releases the temporaries; *dst owns result (which may be a temporary or not). */
fnn_status fnn_give(fnn_expr *x, fnn_tensor *dst, const fnn_tensor *result);
/* The same, summed to the shape of g first. */
fnn_status fnn_give_sum(fnn_expr *x, fnn_tensor *dst, const fnn_tensor *result, const fnn_geom *g);

#endif
