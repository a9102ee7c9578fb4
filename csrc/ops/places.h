/* Moves elements between a tensor x and an operand y at places of x that an index tensor names: the one loop behind x[i], x[i] = v,
 * gather, scatter, index_select, index_add and their gradients.
 *
 * Position p of a grid stands for three things: an element of the index (p . at), one of y (p . y), and one of x: p . x plus
 * step times the index's value (a negative value counts from `size`).
 * Invariant: positions are visited in row-major order, so what is added to (or last stored in) one place has one order, whatever
 * the strides and threads. Indices are in range: fnn_check_indices was called. Read next: gather.c, index.c. */
#ifndef FNN_OPS_PLACES_H
#define FNN_OPS_PLACES_H

#include "op.h"

typedef enum fnn_move { FNN_MOVE_READ /* y = x */, FNN_MOVE_STORE /* x = y */, FNN_MOVE_ADD /* x += y */, FNN_MOVE_MUL /* x *= y */ } fnn_move;

typedef struct fnn_places {
    int ndim;
    int64_t shape[FNN_MAX_DIMS];
    int64_t x[FNN_MAX_DIMS], y[FNN_MAX_DIMS], at[FNN_MAX_DIMS]; /* strides in elements */
    int64_t step; /* elements of x from one index to the next */
    int64_t size; /* what a negative index is counted from; 0: there are none */
} fnn_places;

/* Appends a dimension to the grid. */
static inline void fnn_places_add(fnn_places *p, int64_t shape, int64_t x, int64_t y, int64_t at) {
    int d = p->ndim++;
    p->shape[d] = shape;
    p->x[d] = x;
    p->y[d] = y;
    p->at[d] = at;
}
/* x and y are first elements, of one dtype; y may be repeated by strides of 0 when it is not written. */
void fnn_places_run(fnn_places p, char *x, char *y, const int64_t *index, int dtype, fnn_move move);

/* Every index in [low, size): fails with torch's text, as an IndexError or another `kind` of error. int64. */
fnn_status fnn_check_indices(const char *op, fnn_status kind, const fnn_tensor *index, int64_t low, int64_t dim, int64_t size);
/* Counted int64 indices (t itself where possible); a copy when t shares memory with `written` (may be NULL). */
fnn_status fnn_index_tensor(fnn_tensor *out, const fnn_tensor *t, const fnn_tensor *written);

#endif
