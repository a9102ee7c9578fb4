/* Views of a part of their input: some rows, a diagonal, overlapping windows, pieces. Nothing is computed.
 *
 * attrs: SELECT v[0] dim, v[1] index; SLICE v[0] dim, v[1] start, v[2] stop, v[3] step (FNN_NONE: open); DIAGONAL v[0]
 * offset, v[1], v[2] dims; UNFOLD v[0] dim, v[1] size, v[2] step; AS_STRIDED list[0] shape, list[1] stride, v[0] offset in
 * elements from in[0]'s first element, v[1] 1: v[2]... are the strides of in[0], which its gradient takes (only the tape
 * says so); UNBIND v[0] dim; SPLIT v[0] dim, v[1] size of a piece (0: sizes in list[0]).
 * A gradient is written into zeros of the input's shape, or added to the gradient that is already there. */
#include <string.h>

#include "view.h"

/* ---- select, slice, as_strided, diagonal: a part of the memory ---- */

static fnn_status plan_select(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t dim = c->attrs->v[0].i, index = c->attrs->v[1].i;
    if (!in->ndim) return fnn_fail(FNN_ERR_INDEX, "select: cannot be applied to a 0-dim tensor.");
    FNN_TRY(fnn_wrap_dim("select", &dim, in->ndim));
    int64_t size = in->shape[dim];
    if (index < -size || index >= size)
        return fnn_fail(FNN_ERR_INDEX, "select: index %lld is out of bounds for dimension %lld with size %lld", (long long)index, (long long)dim, (long long)size);
    if (index < 0) index += size;
    fnn_tensor *out = fnn_view_start(c);
    out->data += index * in->stride[dim] * fnn_itemsize[in->dtype];
    for (int d = (int)dim; d + 1 < in->ndim; d++) {
        out->shape[d] = in->shape[d + 1];
        out->stride[d] = in->stride[d + 1];
    }
    out->ndim = (uint8_t)(in->ndim - 1);
    fnn_tensor_derive(out);
    return FNN_OK;
}

static int64_t clip(int64_t v, int64_t size) {
    if (v < 0) v += size;
    return v < 0 ? 0 : v > size ? size : v;
}

static fnn_status plan_slice(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t dim = c->attrs->v[0].i, start_at = c->attrs->v[1].i, stop = c->attrs->v[2].i, step = c->attrs->v[3].i;
    if (!in->ndim) return fnn_fail(FNN_ERR_RUNTIME, "slice: cannot be applied to a 0-dim tensor.");
    FNN_TRY(fnn_wrap_dim("slice", &dim, in->ndim));
    if (step == FNN_NONE) step = 1;
    if (step <= 0) return fnn_fail(FNN_ERR_VALUE, "slice: step must be greater than zero, found %lld", (long long)step);
    int64_t size = in->shape[dim];
    start_at = start_at == FNN_NONE ? 0 : clip(start_at, size);
    stop = stop == FNN_NONE ? size : clip(stop, size);
    int64_t length = stop > start_at ? (stop - start_at + step - 1) / step : 0;
    fnn_tensor *out = fnn_view_start(c);
    out->data += start_at * in->stride[dim] * fnn_itemsize[in->dtype];
    out->shape[dim] = length;
    out->stride[dim] = in->stride[dim] * step;
    fnn_tensor_derive(out);
    return FNN_OK;
}

static fnn_status plan_as_strided(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *shape = &c->attrs->list[0], *stride = &c->attrs->list[1];
    if (shape->n != stride->n)
        return fnn_fail(FNN_ERR_RUNTIME, "as_strided: mismatch in length of strides (%lld) and shape (%lld)", (long long)stride->n, (long long)shape->n);
    int64_t offset = c->attrs->v[0].i, last = offset, reach;
    bool beyond = false, empty = false;
    for (int d = 0; d < shape->n; d++) {
        if (shape->v[d] < 0 || stride->v[d] < 0) return fnn_fail(FNN_ERR_RUNTIME, "as_strided: Negative sizes and strides are not supported");
        empty |= !shape->v[d];
        beyond |= __builtin_mul_overflow(stride->v[d], shape->v[d] - 1, &reach) || __builtin_add_overflow(last, reach, &last);
    }
    if (beyond) last = INT64_MAX;
    int64_t before = (in->data - in->storage->data) / fnn_itemsize[in->dtype];
    int64_t room = (int64_t)in->storage->nbytes / fnn_itemsize[in->dtype] - before;
    if (offset < -before || (empty ? offset > room : last >= room))
        return fnn_fail(FNN_ERR_RUNTIME, "as_strided: the view reaches element %lld, outside the storage of %lld elements", (long long)last, (long long)room);
    fnn_tensor *out = fnn_view_start(c);
    out->data += offset * fnn_itemsize[in->dtype];
    fnn_tensor_set_geometry(out, (int)shape->n, shape->v, stride->v);
    return FNN_OK;
}

static fnn_status plan_diagonal(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t offset = c->attrs->v[0].i, a = c->attrs->v[1].i, b = c->attrs->v[2].i;
    FNN_TRY(fnn_wrap_dim("diagonal", &a, in->ndim));
    FNN_TRY(fnn_wrap_dim("diagonal", &b, in->ndim));
    if (a == b || in->ndim < 2) return fnn_fail(FNN_ERR_RUNTIME, "diagonal: diagonal dimensions cannot be identical, found %lld twice", (long long)a);
    int64_t length = offset >= 0 ? in->shape[b] - offset : in->shape[a] + offset;
    int64_t other = offset >= 0 ? in->shape[a] : in->shape[b];
    if (other < length) length = other;
    if (length < 0) length = 0;
    fnn_tensor *out = fnn_view_start(c);
    int n = 0;
    for (int d = 0; d < in->ndim; d++) {
        if (d == a || d == b) continue;
        out->shape[n] = in->shape[d];
        out->stride[n++] = in->stride[d];
    }
    out->shape[n] = length;
    out->stride[n++] = in->stride[a] + in->stride[b];
    if (length) out->data += (offset >= 0 ? offset * in->stride[b] : -offset * in->stride[a]) * fnn_itemsize[in->dtype];
    out->ndim = (uint8_t)n;
    fnn_tensor_derive(out);
    return FNN_OK;
}

static fnn_status plan_unfold(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t dim = c->attrs->v[0].i, size = c->attrs->v[1].i, step = c->attrs->v[2].i;
    FNN_TRY(fnn_wrap_dim("unfold", &dim, in->ndim));
    if (in->ndim == FNN_MAX_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "unfold: found %d dimensions, wanted at most %d", in->ndim, FNN_MAX_DIMS - 1);
    int64_t length = in->ndim ? in->shape[dim] : 1, stride = in->ndim ? in->stride[dim] : 1; /* a 0-d tensor counts as one of one element */
    if (size < 0 || size > length)
        return fnn_fail(FNN_ERR_RUNTIME, "unfold: maximum size for tensor at dimension %lld is %lld but size is %lld", (long long)dim, (long long)length, (long long)size);
    if (step <= 0) return fnn_fail(FNN_ERR_RUNTIME, "unfold: step is %lld but must be > 0", (long long)step);
    fnn_tensor *out = fnn_view_start(c);
    if (in->ndim) {
        out->shape[dim] = (length - size) / step + 1;
        out->stride[dim] = stride * step;
    }
    out->shape[in->ndim] = size;
    out->stride[in->ndim] = stride;
    out->ndim = (uint8_t)(in->ndim + 1);
    fnn_tensor_derive(out);
    return FNN_OK;
}

/* The part of `full` (of the input's shape) that the view op looks at. */
static fnn_status same_part(fnn_backcall *b, const fnn_tensor *full, fnn_tensor *part) {
    fnn_tensor out[1] = {{0}};
    const fnn_tensor *in = full;
    fnn_call c = {.op = b->op, .n_in = 1, .n_out = 1, .in = &in, .attrs = b->attrs, .out = out};
    FNN_TRY(b->op->plan(&c));
    *part = out[0];
    return FNN_OK;
}
static fnn_status into_part(fnn_backcall *b, fnn_tensor *full) {
    fnn_tensor part;
    FNN_TRY(same_part(b, full, &part));
    return fnn_add_into(&part, b->dy[0]);
}
static fnn_status back_part(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    fnn_tensor part;
    FNN_TRY(same_part(b, &b->dx[0], &part));
    return fnn_copy_into(&part, b->dy[0]);
}

/* Windows overlap, so their gradients add up element by element. */
static fnn_status into_overlapping(fnn_backcall *b, fnn_tensor *full) {
    fnn_tensor part, slab, from;
    FNN_TRY(same_part(b, full, &part));
    int last = part.ndim - 1;
    for (int64_t i = 0; part.ndim && i < part.shape[last]; i++) { /* one position inside all windows at a time */
        slab = part;
        from = *b->dy[0];
        slab.ndim = from.ndim = (uint8_t)last;
        slab.data += i * part.stride[last] * fnn_itemsize[part.dtype];
        from.data += i * from.stride[last] * fnn_itemsize[from.dtype];
        fnn_tensor_derive(&slab);
        fnn_tensor_derive(&from);
        FNN_TRY(fnn_add_into(&slab, &from));
    }
    return FNN_OK;
}
static fnn_status back_overlapping(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    return into_overlapping(b, &b->dx[0]);
}

/* as_strided may visit an element many times; then the gradients of the visits add up in order. */
static fnn_status back_as_strided(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    if (b->attrs->v[1].i) {
        int64_t stride[FNN_MAX_DIMS];
        for (int d = 0; d < b->dx[0].ndim; d++) stride[d] = b->attrs->v[2 + d].i;
        fnn_tensor_set_geometry(&b->dx[0], b->dx[0].ndim, b->dx[0].shape, stride);
        if (!fnn_is_dense(&b->dx[0])) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "as_strided: the gradient of an in-place write into a view of a tensor with gaps");
    }
    fnn_tensor part = b->dx[0];
    int64_t offset = b->attrs->v[0].i;
    part.data += offset * fnn_itemsize[part.dtype];
    fnn_tensor_set_geometry(&part, (int)b->attrs->list[0].n, b->attrs->list[0].v, b->attrs->list[1].v);
    if (!fnn_has_overlap(&part)) return fnn_copy_into(&part, b->dy[0]);
    fnn_tensor dy;
    FNN_TRY(fnn_contiguous(&dy, b->dy[0]));
    int64_t index[FNN_MAX_DIMS] = {0};
    for (int64_t i = 0; i < part.numel; i++) {
        int64_t at = 0;
        for (int d = 0; d < part.ndim; d++) at += index[d] * part.stride[d];
        if (part.dtype == FNN_F32)
            ((float *)part.data)[at] += ((float *)dy.data)[i];
        else
            ((double *)part.data)[at] += ((double *)dy.data)[i];
        for (int d = part.ndim - 1; d >= 0 && ++index[d] == part.shape[d]; d--) index[d] = 0;
    }
    fnn_tensor_unref(&dy);
    return FNN_OK;
}

/* ---- unbind, split: many views of one input ---- */

static fnn_status plan_unbind(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t dim = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim("unbind", &dim, in->ndim));
    for (int i = 0; i < c->n_out; i++) {
        fnn_attrs attrs = {.v = {{.i = dim}, {.i = i}}};
        fnn_call one = {.op = &fnn_op_SELECT, .n_in = 1, .n_out = 1, .in = c->in, .attrs = &attrs, .out = &c->out[i]};
        FNN_TRY(plan_select(&one));
    }
    return FNN_OK;
}

static fnn_status plan_split(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t dim = c->attrs->v[0].i, at = 0;
    FNN_TRY(fnn_wrap_dim("split", &dim, in->ndim));
    for (int i = 0; i < c->n_out; i++) {
        int64_t size = c->attrs->v[1].i ? c->attrs->v[1].i : c->attrs->list[0].v[i];
        fnn_attrs attrs = {.v = {{.i = dim}, {.i = at}, {.i = at + size}, {.i = 1}}};
        fnn_call one = {.op = &fnn_op_SLICE, .n_in = 1, .n_out = 1, .in = c->in, .attrs = &attrs, .out = &c->out[i]};
        FNN_TRY(plan_slice(&one));
        at += size;
    }
    return FNN_OK;
}

/* Piece i of `full`, which has the input's shape, as the op cut it; `at` counts along the dimension from 0. */
static fnn_status piece(fnn_backcall *b, const fnn_tensor *full, int i, int64_t *at, fnn_tensor *out) {
    int64_t dim = b->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim("split", &dim, full->ndim));
    fnn_attrs attrs = {.v = {{.i = dim}, {.i = *at}, {.i = *at + 1}, {.i = 1}}};
    fnn_call one = {.n_in = 1, .n_out = 1, .in = &full, .attrs = &attrs, .out = out};
    *out = (fnn_tensor){0};
    if (b->op != &fnn_op_UNBIND) attrs.v[2].i = *at + b->out_geom[i].shape[dim];
    *at = attrs.v[2].i;
    return b->op == &fnn_op_UNBIND ? plan_select(&one) : plan_slice(&one);
}

/* The gradients of the pieces already lie in one block as the pieces of a contiguous tensor would (attention makes them so):
 * then dx is that block. */
static bool back_in_place(fnn_backcall *b) {
    fnn_tensor full = {0}, out;
    int64_t at = 0;
    if (!b->dy[0]) return false;
    full = *b->dy[0];
    fnn_tensor_set_geometry(&full, b->in_geom[0].ndim, b->in_geom[0].shape, NULL);
    if (!full.numel) return false;
    for (int i = 0; i < b->n_out; i++) {
        const fnn_tensor *dy = b->dy[i];
        if (!dy || dy->storage != full.storage || piece(b, &full, i, &at, &out) || dy->data != out.data) return false;
        for (int d = 0; d < out.ndim; d++)
            if (out.shape[d] > 1 && dy->stride[d] != out.stride[d]) return false;
    }
    fnn_tensor_ref_data(&b->dx[0], &full);
    return true;
}

/* The pieces side by side again; a piece without gradient is zero. */
static fnn_status back_pieces(fnn_backcall *b) {
    fnn_tensor *dx = &b->dx[0], out;
    int64_t at = 0;
    if (back_in_place(b)) return FNN_OK;
    FNN_TRY(fnn_empty(dx, b->in_geom[0].dtype, b->in_geom[0].ndim, b->in_geom[0].shape));
    for (int i = 0; i < b->n_out; i++) {
        FNN_TRY(piece(b, dx, i, &at, &out));
        FNN_TRY(b->dy[i] ? fnn_copy_into(&out, b->dy[i]) : fnn_fill_zero(&out));
    }
    return FNN_OK;
}

VIEW_OP(SELECT, "select", "SelectBackward0", plan_select, back_part, .backward_into = into_part)
VIEW_OP(SLICE, "slice", "SliceBackward0", plan_slice, back_part, .backward_into = into_part)
VIEW_OP(DIAGONAL, "diagonal", "DiagonalBackward0", plan_diagonal, back_part, .backward_into = into_part)
VIEW_OP(UNFOLD, "unfold", "UnfoldBackward0", plan_unfold, back_overlapping, .backward_into = into_overlapping)
VIEW_OP(AS_STRIDED, "as_strided", "AsStridedBackward0", plan_as_strided, back_as_strided)
const fnn_op fnn_op_UNBIND = {.name = "unbind", .grad_name = "UnbindBackward0", .n_in = 1, .n_out = 0, .flags = FNN_F_VIEW | FNN_F_OUT_LIST, .plan = plan_unbind, .backward = back_pieces};
const fnn_op fnn_op_SPLIT = {.name = "split", .grad_name = "SplitBackward0", .n_in = 1, .n_out = 0, .flags = FNN_F_VIEW | FNN_F_OUT_LIST, .grad_name_of = fnn_grad_name_split, .plan = plan_split, .backward = back_pieces};
