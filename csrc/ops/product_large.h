/* Large products through OpenBLAS: the door between product.c and the gate (core/blas.h).
 *
 * Which products are large is a table over shapes and type in product_large.c, with the measurement behind it; that a library
 * is there is the only other condition, so within one process a shape always takes the same way.
 * Invariant: the library sees one layout only (rows of A, B contiguous; others are copied first) and pieces of rows that depend
 * on M alone, so results depend neither on strides nor on threads. They may differ between machines, which our own kernels'
 * do not: FASTNN_BLAS=none closes that gap. Read next: product_large.c. */
#ifndef FNN_OPS_PRODUCT_LARGE_H
#define FNN_OPS_PRODUCT_LARGE_H
#include "ops/product.h"

/* Whether this product goes to the library. Opens the library if the shape asks for it. size: bytes of an element. */
bool fnn_product_is_large(const fnn_product *p, size_t size);

size_t fnn_product_large_scratch(const fnn_product *p, size_t size);

void fnn_product_large(const fnn_product *p, size_t size, void *c, const void *a, const void *b, const void *bias, void *scratch);

#endif
