/* What view.c and part.c share: the start of every view's plan, and the descriptor of an op that gives one view. */
#ifndef FNN_OPS_VIEW_H
#define FNN_OPS_VIEW_H

#include "expr.h"
#include "grad_names.h"

/* The result as a copy of in[0]'s geometry; the plan changes what differs. */
fnn_tensor *fnn_view_start(fnn_call *c);

#define VIEW_OP(NAME, text, grad, the_plan, the_backward, ...)                                             \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = 1, .flags = FNN_F_VIEW, \
                                  .plan = the_plan, .backward = the_backward, __VA_ARGS__};

#endif
