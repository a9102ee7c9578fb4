/* Copies: clone, contiguous, dtype conversion, copy_ and fill_ (which exist in place only).
 *
 * attrs: TO: v[0].i dtype. CLONE: v[0].i 1 = contiguous whatever the input's layout. */
#include <string.h>

#include "expr.h"
#include "grad_names.h"
#include "permuted.h"
#include "pointwise.h"

/* ---- the copying itself ---- */

fnn_status fnn_copy_into(const fnn_tensor *dst, const fnn_tensor *src) {
    if (!dst->numel) return FNN_OK;
    if (dst->dtype == src->dtype && dst->contiguous && src->contiguous && dst->numel == src->numel) {
        size_t bytes = (size_t)dst->numel * fnn_itemsize[dst->dtype];
        if (bytes <= 65536) {
            memmove(dst->data, src->data, bytes);
            return FNN_OK;
        }
    }
    if (fnn_copy_permuted(dst, src)) return FNN_OK;
    fnn_iterate(fnn_k.cast[src->dtype][dst->dtype], dst, &src, 1, 0.3);
    return FNN_OK;
}

/* ---- clone, contiguous, to ---- */

static fnn_status plan_clone(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    bool keep = fnn_is_dense(in) && !(c->attrs && c->attrs->v[0].i);
    fnn_tensor_set_geometry(c->out, in->ndim, in->shape, keep ? in->stride : NULL);
    c->out->dtype = in->dtype;
    c->work = (double)in->numel * 0.3;
    return FNN_OK;
}
static fnn_status plan_to(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    fnn_tensor_set_geometry(c->out, in->ndim, in->shape, fnn_is_dense(in) ? in->stride : NULL);
    c->out->dtype = (uint8_t)c->attrs->v[0].i;
    c->work = (double)in->numel * 0.5;
    return FNN_OK;
}
static fnn_status forward_copy(fnn_call *c) { return fnn_copy_into(c->out, c->in[0]); }
static fnn_status back_clone(fnn_backcall *b) {
    fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
    return FNN_OK;
}
static fnn_status back_to(fnn_backcall *b) { return fnn_cast(&b->dx[0], b->dy[0], b->in_geom[0].dtype); }

const fnn_op fnn_op_CLONE = {.name = "clone", .grad_name = "CloneBackward0", .n_in = 1, .n_out = 1, .plan = plan_clone, .forward = forward_copy, .backward = back_clone};
const fnn_op fnn_op_TO = {.name = "to", .grad_name = "ToCopyBackward0", .n_in = 1, .n_out = 1, .plan = plan_to, .forward = forward_copy, .backward = back_to};

/* ---- copy_(self, source) and fill_(self, value) ---- */

static fnn_status plan_copy_(fnn_call *c) {
    fnn_tensor shape = {0};
    FNN_TRY(fnn_broadcast("copy_", &shape, c->in, 2));
    if (!fnn_same_shape(&shape, c->in[0]))
        return fnn_fail(FNN_ERR_RUNTIME, "copy_: The expanded size of the tensor must match the existing size: cannot copy shape %s into shape %s",
                        fnn_shape_of(c->in[1]), fnn_shape_of(c->in[0]));
    c->work = (double)c->in[0]->numel * 0.4;
    return FNN_OK;
}
static fnn_status forward_copy_(fnn_call *c) { return fnn_copy_into(c->in[0], c->in[1]); }

/* What was there before is gone: its gradient is zero. */
static fnn_status back_copy_(fnn_backcall *b) {
    if (b->need[0]) FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    return b->need[1] ? fnn_sum_to(&b->dx[1], b->dy[0], &b->in_geom[1]) : FNN_OK;
}

static fnn_status plan_fill_(fnn_call *c) {
    if (c->in[1]->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "fill_: only supports 0-dimension value tensor but got tensor with %d dimensions.", c->in[1]->ndim);
    c->work = (double)c->in[0]->numel * 0.3;
    return FNN_OK;
}

static fnn_status inspect_fill_(fnn_call *c) { return fnn_want_fit("fill_", c->in[1], c->in[0]->dtype); }

const fnn_op fnn_op_COPY_ = {.name = "copy", .grad_name = "CopyBackwards", .n_in = 2, .n_out = 1, .flags = FNN_F_WRITES, .plan = plan_copy_, .forward = forward_copy_, .backward = back_copy_};
const fnn_op fnn_op_FILL_ = {.name = "fill", .grad_name_of = fnn_grad_name_fill, .n_in = 2, .n_out = 1, .flags = FNN_F_WRITES | FNN_F_NUMBER, .plan = plan_fill_, .inspect = inspect_fill_, .forward = forward_copy_, .backward = back_copy_};
