/* What grad_fn shows where that depends on the call; see grad_names.c. */
#ifndef FNN_OPS_GRAD_NAMES_H
#define FNN_OPS_GRAD_NAMES_H

#include "op.h"

#define FNN_GRAD_NAMES(NAME) \
    NAME(sub) NAME(div) NAME(pow) NAME(clamp) NAME(lerp) NAME(sum) NAME(mean) NAME(prod) NAME(squeeze) NAME(split) NAME(matmul) NAME(linear) NAME(fill)
#define FNN_DECLARE_NAME(name) const char *fnn_grad_name_##name(const fnn_call *c);
FNN_GRAD_NAMES(FNN_DECLARE_NAME)
#undef FNN_DECLARE_NAME

#endif
