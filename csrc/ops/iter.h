/* Walks several tensors of one broadcast shape in step and hands rows to an elementwise loop.
 *
 * Invariant: every element is visited once, and an element's result does not depend on how rows were cut; so chunks may
 * be chosen by size alone. The operand order of a loop is: output, then inputs. */
#ifndef FNN_OPS_ITER_H
#define FNN_OPS_ITER_H

#include "kernels/kernels.h"
#include "op.h"

#define FNN_MAX_OPERANDS 5

/* Runs loop over out's shape; inputs are broadcast to it (their shapes align from the right). ns: time for one element. */
void fnn_iterate(fnn_loop loop, const fnn_tensor *out, const fnn_tensor *const *in, int n_in, double ns);

#endif
