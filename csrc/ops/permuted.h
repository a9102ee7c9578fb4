/* Layouts: a fresh tensor that lies as another does, and copies between two layouts of one shape and type, in blocks that keep
 * whole cache lines on both sides. */
#ifndef FNN_OPS_PERMUTED_H
#define FNN_OPS_PERMUTED_H
#include "op.h"

/* dst = src, of equal shape and dtype. False, and nothing done, where the layouts have no such blocks: fnn_iterate then. */
bool fnn_copy_permuted(const fnn_tensor *dst, const fnn_tensor *src);

/* out: new memory of t's shape and dtype, dense, its dimensions in the order of t's strides, except that one of the last `inner`
 * dimensions is contiguous. The gradient of a view in this layout is undone by the view's backward without a copy. */
fnn_status fnn_empty_as(fnn_tensor *out, const fnn_tensor *t, int inner);

#endif
