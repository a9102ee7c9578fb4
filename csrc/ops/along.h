/* Rows along one dimension of a tensor, contiguous: what scan.c and sort.c work on.
 *
 *     fnn_along_read(x, dim, &rows) ... fnn_along_begin(out, dim, &rows) ... fill rows ... fnn_along_end(out, dim, &rows)
 *
 * The rows come in the order of the other dimensions, so results do not depend on strides. A 0-d tensor is one row of one.
 * Does not: compute. Read next: scan.c. */
#ifndef FNN_OPS_ALONG_H
#define FNN_OPS_ALONG_H

#include "op.h"

/* rows (owned): x with dim moved to the end, contiguous; x itself counted where it lies so. */
fnn_status fnn_along_read(const fnn_tensor *x, int dim, fnn_tensor *rows);
/* rows (owned): where to write out's rows as `dtype`: out's own memory where it lies so, else fresh. */
fnn_status fnn_along_begin(const fnn_tensor *out, int dim, int dtype, fnn_tensor *rows);
/* Brings rows into out, converting the dtype, and releases them. */
fnn_status fnn_along_end(const fnn_tensor *out, int dim, fnn_tensor *rows);
/* Size of dimension dim; 1 for a 0-d tensor. */
static inline int64_t fnn_along_size(const fnn_tensor *x, int64_t dim) { return x->ndim ? x->shape[dim] : 1; }

#endif
