/* In-place writes and the history of views; see graph.h.
 *
 * A write into a view changes its base. The base's new history is a copy-slices node: going backward, it hands the base's
 * gradient on, with the view's part replaced by what the written op's own backward makes of it.
 *     forward:  base[view] = op(base[view], others)
 *     backward: d_base = dy; d_base[view], d_others = op_backward(dy[view])
 * The view itself gets its node anew (an as_strided of the base) when it is next asked for one (node.c, renew_view). */
#include <stdio.h>
#include <string.h>

#include "../core/pool.h"
#include "graph.h"

fnn_status fnn_check_origin(const char *op, const fnn_tensor *view, bool indirect) {
    const fnn_meta *m = view->meta;
    fnn_origin origin = m->view->origin;
    if (origin == FNN_VIEW_TRACKED) return FNN_OK;
    char which[96] = "A view";
    if (m->grad_fn)
        snprintf(which, sizeof which, "Output %u of %s is a view%s", m->output_nr, m->grad_fn->name, origin == FNN_VIEW_MULTIPLE ? "" : " of a view which");
    const char *written = indirect ? "its base or another view of its base has been" : "is being";
    if (origin == FNN_VIEW_MULTIPLE)
        return fnn_fail(FNN_ERR_RUNTIME, "%s%s and %s modified inplace. This view is the output of a function that returns multiple views. Such "
                                         "functions do not allow the output views to be modified inplace. You should replace the inplace operation "
                                         "by an out-of-place one.", op, which, written);
    const char *mode = origin == FNN_VIEW_NO_GRAD ? "no_grad" : "inference";
    return fnn_fail(FNN_ERR_RUNTIME, "%s%s was created in %s mode and %s modified inplace %s. Make the view and the write in the same mode, "
                                     "both inside the %s block or both outside.", op, which, mode, written,
                    origin == FNN_VIEW_NO_GRAD ? "with grad mode enabled" : "in normal mode", mode);
}

fnn_status fnn_check_inplace(const char *op, const fnn_tensor *self, bool recorded) {
    if (self->storage && self->storage->readonly)
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: the tensor shares read-only memory and may not be written; clone() it first", op);
    if ((self->flags & FNN_T_INFERENCE) && !fnn_mode.inference)
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: Inplace update to inference tensor outside InferenceMode is not allowed. You can make a "
                                         "clone to get a normal tensor before doing inplace update.", op);
    const fnn_meta *m = self->meta;
    if (!recorded || !m) return FNN_OK;
    if (m->view && m->view->origin != FNN_VIEW_TRACKED) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s_: ", op);
        FNN_TRY(fnn_check_origin(prefix, self, false));
    }
    if (m->view && !m->view->base->grad_fn && fnn_wants_grad(self))
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: a view of a leaf Variable that requires grad is being used in an in-place operation.", op);
    if (m->requires_grad && !m->grad_fn)
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: a leaf Variable that requires grad is being used in an in-place operation.", op);
    return FNN_OK;
}

fnn_status fnn_check_repeats(const char *op, const fnn_tensor *self) {
    if (fnn_repeats(self)) /* windows (unfold) may overlap and be written: what stands last stays, as in torch */
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: unsupported operation: more than one element of the written-to tensor refers to a single "
                                         "memory location. Please clone() the tensor before performing the operation.", op);
    return FNN_OK;
}

static bool same_view(const fnn_tensor *a, const fnn_tensor *b) {
    if (a->data != b->data || a->dtype != b->dtype || !fnn_same_shape(a, b)) return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

/* torch refuses where both fill their block; of others (interleaved columns, an expanded row) it does not see whether they touch, and
 * what it computes then depends on its order of writing. */
fnn_status fnn_check_overlap(const fnn_op *op, const fnn_tensor *self, const fnn_tensor *const *in, int n_in, int *apart) {
    bool places = op->flags & FNN_F_PLACES;
    *apart = 0;
    for (int i = 1; i < n_in; i++) {
        const fnn_tensor *t = in[i];
        if (!t || t->storage != self->storage || !t->storage || !t->numel || (!places && same_view(t, self))) continue;
        const char *lo, *hi, *self_lo, *self_hi;
        fnn_tensor_extent(t, &lo, &hi);
        fnn_tensor_extent(self, &self_lo, &self_hi);
        if (lo >= self_hi || self_lo >= hi) continue;
        bool number = i == n_in - 1 && op->flags & FNN_F_NUMBER;
        if (!number && fnn_is_dense(t) && fnn_is_dense(self))
            return fnn_fail(FNN_ERR_RUNTIME, "%s_: unsupported operation: some elements of the input tensor and the written-to tensor "
                                             "refer to a single memory location. Please clone() the tensor before performing the operation.", op->name);
        if (!*apart) *apart = i;
    }
    return FNN_OK;
}

static void set_history(fnn_meta *m, fnn_node *node) {
    fnn_node_ref(node);
    fnn_move_retain(node, m);
    if (m->grad_fn) fnn_node_unref(m->grad_fn);
    m->grad_fn = node;
    m->output_nr = 0;
    m->requires_grad = false;
}

/* The base's node for a write into its view t, with all of inner's edges but the first; inner loses them. */
static fnn_status copy_slices(const fnn_tensor *t, fnn_node *inner, fnn_node **made) {
    const fnn_view *v = t->meta->view;
    fnn_node *n = fnn_node_new(NULL, inner->n_in, 1, 0, NULL);
    fnn_slice *slice = fnn_pool_alloc(sizeof *slice);
    if (!n || !slice) {
        if (n) fnn_node_unref(n);
        fnn_pool_free(slice, sizeof *slice);
        return fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to record an in-place write");
    }
    *slice = (fnn_slice){.base_geom = v->base_geom, .offset = fnn_view_offset(t), .former = v->former};
    memcpy(slice->base_stride, v->base_stride, sizeof slice->base_stride);
    memcpy(slice->stride, t->stride, sizeof slice->stride);
    n->slice = slice;
    n->name = "CopySlices";
    n->inner = inner;
    fnn_node_ref(inner);
    n->in_geom[0] = n->out_geom[0] = v->base_geom;
    fnn_tensor base = {.meta = v->base, .dtype = v->base_geom.dtype};
    fnn_tensor_set_geometry(&base, v->base_geom.ndim, v->base_geom.shape, v->base_stride);
    fnn_status status = fnn_gradient_edge(&base, &n->edges[0]);
    if (status) {
        fnn_node_unref(n);
        return status;
    }
    for (int i = 1; i < inner->n_in; i++) {
        n->in_geom[i] = inner->in_geom[i];
        n->edges[i] = inner->edges[i]; /* moved: the walk goes through n */
        inner->edges[i] = (fnn_edge){0};
    }
    if (inner->edges[0].node) fnn_node_unref(inner->edges[0].node);
    inner->edges[0] = (fnn_edge){0};
    fnn_node_stamp(n);
    *made = n;
    return FNN_OK;
}

fnn_status fnn_prepare_history(fnn_tensor *self, fnn_node *node, fnn_node **base) {
    *base = NULL;
    fnn_meta *m = fnn_meta_of(self);
    if (!m) return FNN_ERR_MEMORY;
    if (m->view) FNN_TRY(copy_slices(self, node, base));
    return m->view ? fnn_prepare_move(*base, m->view->base) : fnn_prepare_move(node, m);
}

void fnn_start_history(fnn_tensor *self, fnn_node *node, fnn_node *base) {
    fnn_meta *m = self->meta;
    if (!m || !m->view != !base) return; /* during a long write another thread took self from its graph */
    if (!base) {
        set_history(m, node);
        return;
    }
    set_history(m->view->base, base);
    m->view->version = fnn_tensor_version(self) - 1; /* stale: the node is made anew on demand */
}

/* A tensor over fresh memory with the base's strides; elements the strides skip stay zero. */
static fnn_status empty_like_base(fnn_tensor *out, const fnn_slice *s) {
    fnn_tensor t = {.dtype = s->base_geom.dtype};
    fnn_tensor_set_geometry(&t, s->base_geom.ndim, s->base_geom.shape, s->base_stride);
    int64_t extent = t.numel ? 1 : 0;
    for (int d = 0; d < t.ndim && t.numel; d++) extent += t.stride[d] * (t.shape[d] - 1);
    fnn_tensor block;
    FNN_TRY(fnn_empty(&block, t.dtype, 1, &extent));
    fnn_status status = extent == t.numel ? FNN_OK : fnn_fill_zero(&block);
    if (status) {
        fnn_tensor_unref(&block);
        return status;
    }
    t.data = block.data;
    t.storage = block.storage;
    t.version = block.version;
    *out = t;
    return FNN_OK;
}

fnn_status fnn_copy_slices_backward(fnn_node *n, fnn_backcall *b) {
    const fnn_slice *s = n->slice;
    fnn_node *inner = n->inner;
    fnn_tensor grad, slice, slice_copy, dx[FNN_MAX_IN] = {0};
    FNN_TRY(empty_like_base(&grad, s));
    fnn_status status = fnn_copy_into(&grad, b->dy[0]);
    fnn_tensor_ref_data(&slice, &grad);
    fnn_tensor_set_geometry(&slice, inner->out_geom[0].ndim, inner->out_geom[0].shape, s->stride);
    slice.data = grad.data + s->offset * fnn_itemsize[slice.dtype];
    slice_copy = (fnn_tensor){0};
    if (!status) { /* the op's backward may keep its dy: it must not see the write below */
        status = fnn_empty(&slice_copy, slice.dtype, slice.ndim, slice.shape);
        if (!status) status = fnn_copy_into(&slice_copy, &slice);
    }
    bool need[FNN_MAX_IN]; /* none for a base that wanted none: then the op kept nothing for it either */
    for (int i = 0; i < inner->n_in; i++) need[i] = b->need[i];
    if (!status) {
        const fnn_tensor *dy = &slice_copy;
        status = fnn_node_backward(inner, &dy, need, dx);
    }
    if (!status) status = dx[0].data ? fnn_copy_into(&slice, &dx[0]) : fnn_fill_zero(&slice);
    fnn_tensor_unref(&dx[0]);
    fnn_tensor_unref(&slice);
    fnn_tensor_unref(&slice_copy);
    for (int i = 1; i < inner->n_in; i++) {
        if (!status)
            b->dx[i] = dx[i];
        else
            fnn_tensor_unref(&dx[i]);
    }
    if (!status)
        b->dx[0] = grad;
    else
        fnn_tensor_unref(&grad);
    return status;
}
