/* Names of grad_fn that depend on the call: torch has several functions behind one op, and scripts print their names.
 *
 * Invariant: looks at metadata only, at the moment the node is recorded; nothing computes by these names. */
#include "grad_names.h"

static bool is_number(const fnn_tensor *t) { return t && (t->flags & FNN_T_NUMBER); }

const char *fnn_grad_name_sub(const fnn_call *c) { return is_number(c->in[0]) ? "RsubBackward1" : "SubBackward0"; }
const char *fnn_grad_name_div(const fnn_call *c) { return is_number(c->in[0]) ? "MulBackward0" : "DivBackward0"; } /* reciprocal, times */
const char *fnn_grad_name_pow(const fnn_call *c) {
    return is_number(c->in[1]) ? "PowBackward0" : is_number(c->in[0]) ? "PowBackward2" : "PowBackward1";
}
const char *fnn_grad_name_clamp(const fnn_call *c) {
    const fnn_tensor *bound = c->in[1] ? c->in[1] : c->in[2];
    return bound && !is_number(bound) ? "ClampBackward0" : "ClampBackward1";
}
const char *fnn_grad_name_lerp(const fnn_call *c) { return is_number(c->in[2]) ? "LerpBackward0" : "LerpBackward1"; }
const char *fnn_grad_name_fill(const fnn_call *c) { return is_number(c->in[1]) ? "FillBackward2" : "FillBackward3"; }

/* A list of dimensions was given, be it empty. */
static bool some_dims(const fnn_call *c) { return c->attrs && c->attrs->list[0].n >= 0; }
const char *fnn_grad_name_sum(const fnn_call *c) { return some_dims(c) ? "SumBackward1" : "SumBackward0"; }
const char *fnn_grad_name_mean(const fnn_call *c) { return some_dims(c) ? "MeanBackward1" : "MeanBackward0"; }
const char *fnn_grad_name_prod(const fnn_call *c) { return some_dims(c) ? "ProdBackward1" : "ProdBackward0"; }
const char *fnn_grad_name_squeeze(const fnn_call *c) {
    if (!some_dims(c)) return "SqueezeBackward0";
    return c->attrs->list[0].n == 1 ? "SqueezeBackward1" : "SqueezeBackward2";
}
const char *fnn_grad_name_split(const fnn_call *c) { return c->attrs->list[0].n > 0 ? "SplitWithSizesBackward0" : "SplitBackward0"; }

const char *fnn_grad_name_matmul(const fnn_call *c) {
    int a = c->in[0]->ndim, b = c->in[1]->ndim;
    if (a == 2 && b == 2) return "MmBackward0";
    if (a == 2 && b == 1) return "MvBackward0";
    if (a == 1 && b == 1) return "DotBackward0";
    return a == 1 && b == 2 ? "SqueezeBackward4" : "UnsafeViewBackward0";
}
const char *fnn_grad_name_linear(const fnn_call *c) {
    int ndim = c->in[0]->ndim;
    if (ndim == 2) return c->in[2] ? "AddmmBackward0" : "MmBackward0";
    if (c->in[2]) return "ViewBackward0";
    return ndim == 1 ? "SqueezeBackward4" : "UnsafeViewBackward0";
}
