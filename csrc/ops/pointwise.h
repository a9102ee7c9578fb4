/* What the pointwise families (unary.c, binary.c, ternary.c) share: plans and the way to a loop. */
#ifndef FNN_OPS_POINTWISE_H
#define FNN_OPS_POINTWISE_H

#include "iter.h"

/* out <- the broadcast shape, in the layout torch gives; dtype as stated. */
fnn_status fnn_plan_pointwise(fnn_call *c, int dtype, double ns);
/* Runs a loop over inputs brought to `dtype` first (numbers on the stack, tensors in temporaries). */
fnn_status fnn_run_loop(const char *op, fnn_loop loop, const fnn_tensor *out, const fnn_tensor *const *in, int n_in, int dtype, double ns);
/* dst (fresh, owned) = loop(a, b) for tensors of one dtype; b broadcasts to a. For slopes of activations. */
fnn_status fnn_slope(fnn_tensor *dst, int loop, const fnn_tensor *a, const fnn_tensor *b);

#endif
