/* Views that show all of their input in another geometry. Nothing is computed, no element is left out.
 *
 * attrs: VIEW, RESHAPE shape list[0] (one -1 allowed); TRANSPOSE v[0], v[1]; PERMUTE list[0]; EXPAND list[0] (-1 keeps);
 * SQUEEZE list[0] dims (n = -1: all); UNSQUEEZE v[0]; ALIAS none.
 * Gradients come back in the input's shape by the inverse view (expand: by a sum). Read next: part.c. */
#include <string.h>

#include "view.h"

/* A result that starts as a copy of in[0]'s geometry. */
fnn_tensor *fnn_view_start(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    fnn_tensor *out = c->out;
    memcpy(out->shape, in->shape, sizeof out->shape);
    memcpy(out->stride, in->stride, sizeof out->stride);
    out->numel = in->numel;
    out->dtype = in->dtype;
    out->ndim = in->ndim;
    out->contiguous = in->contiguous;
    out->data = in->data;
    return out;
}

/* ---- view ---- */

/* Replaces the one -1 of a requested shape; checks that the sizes fit. */
static fnn_status resolve_shape(const char *op, const fnn_tensor *in, const fnn_ints *want, int64_t *shape) {
    char text[FNN_SHAPE_TEXT];
    int64_t known = 1;
    int open = -1;
    for (int d = 0; d < want->n; d++) {
        shape[d] = want->v[d];
        if (shape[d] == -1) {
            if (open >= 0) return fnn_fail(FNN_ERR_RUNTIME, "%s: only one dimension can be inferred, found %s", op, fnn_shape_text(text, (int)want->n, want->v));
            open = d;
        } else if (shape[d] < 0) {
            return fnn_fail(FNN_ERR_RUNTIME, "%s: invalid shape dimension %lld in %s", op, (long long)shape[d], fnn_shape_text(text, (int)want->n, want->v));
        } else {
            known *= shape[d];
        }
    }
    if (open >= 0) {
        if (known == 0) {
            if (in->numel == 0)
                return fnn_fail(FNN_ERR_RUNTIME, "%s: cannot reshape tensor of 0 elements into shape %s because the unspecified dimension "
                                                 "size -1 can be any value and is ambiguous", op, fnn_shape_text(text, (int)want->n, want->v));
        } else if (in->numel % known == 0) {
            shape[open] = in->numel / known;
            return FNN_OK;
        }
    } else if (known == in->numel) {
        return FNN_OK;
    }
    return fnn_fail(FNN_ERR_RUNTIME, "%s: shape '%s' is invalid for input of size %lld (input has shape %s)", op,
                    fnn_shape_text(text, (int)want->n, want->v), (long long)in->numel, fnn_shape_of(in));
}

/* Strides of a new shape over the same memory; false where a copy would be needed. */
static bool view_strides(const fnn_tensor *in, int ndim, const int64_t *shape, int64_t *stride) {
    if (in->numel == 0 || in->contiguous) {
        int64_t step = 1;
        for (int d = ndim - 1; d >= 0; d--) {
            stride[d] = step;
            step *= shape[d] > 1 ? shape[d] : 1;
        }
        return true;
    }
    int at = ndim - 1;
    int64_t base = in->ndim ? in->stride[in->ndim - 1] : 1, block = 1, filled = 1;
    for (int d = in->ndim - 1; d >= 0; d--) {
        block *= in->shape[d];
        /* a run of dimensions ends where the next one does not continue it */
        if (d != 0 && (in->shape[d - 1] == 1 || in->stride[d - 1] == block * base)) continue;
        while (at >= 0 && (filled < block || shape[at] == 1)) {
            stride[at] = filled * base;
            filled *= shape[at];
            at--;
        }
        if (filled != block) return false;
        if (d > 0) {
            base = in->stride[d - 1];
            block = filled = 1;
        }
    }
    return at < 0;
}

static fnn_status plan_view(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *want = &c->attrs->list[0];
    int64_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
    FNN_TRY(resolve_shape("view", in, want, shape));
    if (!view_strides(in, (int)want->n, shape, stride))
        return fnn_fail(FNN_ERR_RUNTIME, "view: view size is not compatible with input tensor's size and stride (at least one dimension spans "
                                         "across two contiguous subspaces). Use .reshape(...) instead.");
    fnn_tensor *out = fnn_view_start(c);
    fnn_tensor_set_geometry(out, (int)want->n, shape, in->contiguous ? NULL : stride);
    return FNN_OK;
}

/* dy in the input's shape: a view of it where its strides allow, else of a contiguous copy. */
static fnn_status back_shape(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    int64_t stride[FNN_MAX_DIMS];
    if (view_strides(b->dy[0], g->ndim, g->shape, stride)) {
        fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
        fnn_tensor_set_geometry(&b->dx[0], g->ndim, g->shape, stride);
        return FNN_OK;
    }
    FNN_TRY(fnn_contiguous(&b->dx[0], b->dy[0]));
    fnn_tensor_set_geometry(&b->dx[0], g->ndim, g->shape, NULL);
    return FNN_OK;
}

bool fnn_can_view(const fnn_tensor *in, const fnn_ints *want, fnn_status *status) {
    int64_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
    *status = resolve_shape("reshape", in, want, shape);
    return !*status && view_strides(in, (int)want->n, shape, stride);
}

/* ---- permutations ---- */

static fnn_status plan_transpose(fnn_call *c) {
    int64_t a = c->attrs->v[0].i, b = c->attrs->v[1].i;
    const fnn_tensor *in = c->in[0];
    FNN_TRY(fnn_wrap_dim("transpose", &a, in->ndim));
    FNN_TRY(fnn_wrap_dim("transpose", &b, in->ndim));
    fnn_tensor *out = fnn_view_start(c);
    if (!in->ndim || a == b) return FNN_OK;
    out->shape[a] = in->shape[b];
    out->shape[b] = in->shape[a];
    out->stride[a] = in->stride[b];
    out->stride[b] = in->stride[a];
    fnn_tensor_derive(out);
    return FNN_OK;
}
static fnn_status back_transpose(fnn_backcall *b) {
    int64_t p = b->attrs->v[0].i, q = b->attrs->v[1].i;
    int ndim = b->in_geom[0].ndim;
    fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
    if (!ndim) return FNN_OK;
    if (p < 0) p += ndim;
    if (q < 0) q += ndim;
    fnn_tensor *dx = &b->dx[0];
    const fnn_tensor *dy = b->dy[0];
    dx->shape[p] = dy->shape[q];
    dx->shape[q] = dy->shape[p];
    dx->stride[p] = dy->stride[q];
    dx->stride[q] = dy->stride[p];
    fnn_tensor_derive(dx);
    return FNN_OK;
}

static fnn_status plan_permute(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *dims = &c->attrs->list[0];
    if (dims->n != in->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "permute: input has %d dimensions, but dims has %lld", in->ndim, (long long)dims->n);
    fnn_tensor *out = fnn_view_start(c);
    unsigned seen = 0;
    for (int d = 0; d < in->ndim; d++) {
        int64_t from = dims->v[d];
        FNN_TRY(fnn_wrap_dim("permute", &from, in->ndim));
        if (seen >> from & 1) return fnn_fail(FNN_ERR_RUNTIME, "permute: duplicate dims are not allowed, found %lld twice", (long long)from);
        seen |= 1u << from;
        out->shape[d] = in->shape[from];
        out->stride[d] = in->stride[from];
    }
    fnn_tensor_derive(out);
    return FNN_OK;
}
static fnn_status back_permute(fnn_backcall *b) {
    const fnn_ints *dims = &b->attrs->list[0];
    fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
    fnn_tensor *dx = &b->dx[0];
    for (int d = 0; d < dims->n; d++) {
        int64_t to = dims->v[d] < 0 ? dims->v[d] + dims->n : dims->v[d];
        dx->shape[to] = b->dy[0]->shape[d];
        dx->stride[to] = b->dy[0]->stride[d];
    }
    fnn_tensor_derive(dx);
    return FNN_OK;
}

/* ---- expand ---- */

static fnn_status plan_expand(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *want = &c->attrs->list[0];
    int lead = (int)want->n - in->ndim;
    char text[FNN_SHAPE_TEXT];
    if (lead < 0)
        return fnn_fail(FNN_ERR_RUNTIME, "expand: the number of sizes provided (%lld) must be greater or equal to the number of dimensions in the tensor (%d)",
                        (long long)want->n, in->ndim);
    fnn_tensor *out = fnn_view_start(c);
    out->ndim = (uint8_t)want->n;
    for (int d = 0; d < want->n; d++) {
        int64_t size = want->v[d], have = d < lead ? 1 : in->shape[d - lead];
        if (size == -1 && d >= lead) size = have;
        if (size < 0 || (size != have && have != 1))
            return fnn_fail(FNN_ERR_RUNTIME, "expand: The expanded size of the tensor (%lld) must match the existing size (%lld) at non-singleton "
                                             "dimension %d. Target sizes: %s. Tensor sizes: %s", (long long)size, (long long)have, d,
                            fnn_shape_text(text, (int)want->n, want->v), fnn_shape_of(in));
        out->shape[d] = size;
        out->stride[d] = d < lead ? 0 : size == have ? in->stride[d - lead] : 0;
    }
    for (int d = lead - 1; d >= 0; d--) /* a new dimension of size 1 spans what follows, as torch says it */
        if (out->shape[d] == 1) out->stride[d] = d + 1 < out->ndim ? out->shape[d + 1] * out->stride[d + 1] : 1;
    fnn_tensor_derive(out);
    return FNN_OK;
}
static fnn_status back_expand(fnn_backcall *b) { return fnn_sum_to(&b->dx[0], b->dy[0], &b->in_geom[0]); }

/* ---- squeeze, unsqueeze ---- */

static fnn_status plan_squeeze(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *dims = &c->attrs->list[0];
    unsigned drop = dims->n < 0 ? ~0u : 0;
    for (int i = 0; i < dims->n; i++) {
        int64_t d = dims->v[i];
        FNN_TRY(fnn_wrap_dim("squeeze", &d, in->ndim));
        if (drop >> d & 1) return fnn_fail(FNN_ERR_RUNTIME, "squeeze: dim %lld appears multiple times in the list of dims", (long long)d);
        drop |= 1u << d;
    }
    fnn_tensor *out = fnn_view_start(c);
    int n = 0;
    for (int d = 0; d < in->ndim; d++) {
        if ((drop >> d & 1) && in->shape[d] == 1) continue;
        out->shape[n] = in->shape[d];
        out->stride[n++] = in->stride[d];
    }
    out->ndim = (uint8_t)n;
    return FNN_OK;
}

static fnn_status plan_unsqueeze(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    int64_t at = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim("unsqueeze", &at, in->ndim + 1));
    if (in->ndim == FNN_MAX_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "unsqueeze: found %d dimensions, wanted less than %d", in->ndim, FNN_MAX_DIMS);
    fnn_tensor *out = fnn_view_start(c);
    for (int d = in->ndim; d > at; d--) {
        out->shape[d] = in->shape[d - 1];
        out->stride[d] = in->stride[d - 1];
    }
    out->shape[at] = 1;
    out->stride[at] = at < in->ndim ? in->shape[at] * in->stride[at] : 1;
    out->ndim = (uint8_t)(in->ndim + 1);
    return FNN_OK;
}

/* ---- alias ---- */

static fnn_status plan_alias(fnn_call *c) {
    fnn_view_start(c);
    return FNN_OK;
}
static fnn_status back_alias(fnn_backcall *b) {
    fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
    return FNN_OK;
}

VIEW_OP(VIEW, "view", "ViewBackward0", plan_view, back_shape)
VIEW_OP(TRANSPOSE, "transpose", "TransposeBackward0", plan_transpose, back_transpose)
VIEW_OP(T, "t", "TBackward0", plan_transpose, back_transpose)
VIEW_OP(PERMUTE, "permute", "PermuteBackward0", plan_permute, back_permute)
VIEW_OP(EXPAND, "expand", "ExpandBackward0", plan_expand, back_expand)
VIEW_OP(SQUEEZE, "squeeze", "SqueezeBackward0", plan_squeeze, back_shape, .grad_name_of = fnn_grad_name_squeeze)
VIEW_OP(UNSQUEEZE, "unsqueeze", "UnsqueezeBackward0", plan_unsqueeze, back_shape)
VIEW_OP(ALIAS, "alias", "AliasBackward0", plan_alias, back_alias)
