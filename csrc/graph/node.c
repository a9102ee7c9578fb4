/* Nodes and metas: making, counting, freeing; see graph.h.
 *
 * Invariant: freeing a chain of a million nodes uses constant stack: a node whose last reference goes is put on a
 * per-thread list, and the outermost release empties that list in a loop. */
#include <string.h>

#include "../core/pool.h"
#include "graph.h"

fnn_graph_hooks fnn_graph_host;
_Thread_local fnn_modes fnn_mode = {.grad = true, .inference = false};

static atomic_uint_fast64_t sequence = 1;

bool fnn_grad_mode(void) { return fnn_mode.grad; }
bool fnn_set_grad_mode(bool on) {
    bool before = fnn_mode.grad;
    fnn_mode.grad = on;
    return before;
}

/* ---- meta ---- */

static size_t meta_bytes(bool view) { return sizeof(fnn_meta) + (view ? sizeof(fnn_view) : 0); }

fnn_meta *fnn_meta_new(bool view) {
    fnn_meta *m = fnn_pool_alloc(meta_bytes(view));
    if (!m) {
        fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to allocate an autograd record");
        return NULL;
    }
    memset(m, 0, sizeof *m);
    m->refs = 1;
    if (view) m->view = (fnn_view *)(m + 1);
    return m;
}

void fnn_meta_set_grad(fnn_meta *m, fnn_tensor *grad, void *handle) {
    fnn_tensor *old = m->grad;
    void *old_handle = m->grad_handle;
    m->grad = grad;
    m->grad_handle = handle;
    if (old_handle) {
        fnn_graph_host.release_handle(old_handle);
    } else if (old) {
        fnn_tensor_unref(old);
        fnn_pool_free(old, sizeof *old);
    }
}

void fnn_meta_unref(fnn_meta *m) {
    if (!m || --m->refs) return;
    if (m->grad) fnn_meta_set_grad(m, NULL, NULL);
    if (m->view) fnn_meta_unref(m->view->base);
    if (m->hooks) fnn_graph_host.release_handle(m->hooks);
    if (m->post_hooks) fnn_graph_host.release_handle(m->post_hooks);
    fnn_meta_detach(m);
    fnn_pool_free(m, meta_bytes(m->view));
}

void fnn_meta_detach(fnn_meta *m) {
    fnn_node *n = m->grad_fn;
    if (m->retained_by) m->retained_by->retain[m->retained_nr] = NULL;
    m->retained_by = NULL;
    m->grad_fn = NULL;
    m->output_nr = 0;
    m->requires_grad = false;
    fnn_node_unref(n);
}

fnn_meta *fnn_meta_of(fnn_tensor *t) {
    if (!t->meta) t->meta = fnn_meta_new(false);
    return t->meta;
}

/* ---- node ---- */

static size_t align16(size_t n) { return (n + 15) & ~(size_t)15; }

fnn_node *fnn_node_new(const fnn_op *op, int n_in, int n_out, int n_saved, const fnn_attrs *attrs) {
    size_t head = align16(sizeof(fnn_node));
    size_t edges = align16(sizeof(fnn_edge) * (size_t)n_in);
    size_t geoms = align16(sizeof(fnn_geom) * (size_t)(n_in + n_out));
    size_t saved = align16(sizeof(fnn_saved) * (size_t)n_saved);
    size_t dy = align16(sizeof(fnn_tensor) * (size_t)n_out);
    size_t bytes = head + edges + geoms + saved + dy + (attrs ? sizeof(fnn_attrs) : 0);
    char *block = fnn_pool_alloc(bytes);
    if (!block) {
        fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to record an op");
        return NULL;
    }
    fnn_node *n = (fnn_node *)block;
    memset(block, 0, head + edges);
    n->refs = 1;
    n->op = op;
    n->name = op ? op->grad_name : NULL;
    n->bytes = bytes;
    n->n_in = n_in;
    n->n_out = n_out;
    n->edges = (fnn_edge *)(block + head);
    n->in_geom = (fnn_geom *)(block + head + edges);
    n->out_geom = n->in_geom + n_in;
    n->n_extra = op ? op->n_extra : 0;
    n->saved = (fnn_saved *)(block + head + edges + geoms);
    n->own.node = n;
    n->own.dy = (fnn_tensor *)(block + head + edges + geoms + saved);
    if (attrs) {
        n->attrs = (fnn_attrs *)(block + head + edges + geoms + saved + dy);
        *n->attrs = *attrs;
    }
    return n;
}

void fnn_node_stamp(fnn_node *n) { n->seq = atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed); }

void fnn_node_free_saved(fnn_node *n) {
    for (int i = 0; i < n->n_saved; i++) fnn_tensor_unref(&n->saved[i].t);
    n->freed |= n->n_saved > 0; /* a node that saved nothing can run again */
    n->n_saved = 0;
}

bool fnn_is_accumulator(const fnn_node *n) { return n->leaf != NULL; }

static void destroy(fnn_node *n) {
    fnn_node_free_saved(n);
    if (n->leaf) fnn_meta_unref(n->leaf);
    if (n->object) n->foreign->release(n->object);
    if (n->inner) fnn_node_unref(n->inner);
    fnn_pool_free(n->slice, sizeof *n->slice);
    if (n->out_hooks) {
        for (int i = 0; i < n->n_out; i++)
            if (n->out_hooks[i]) fnn_graph_host.release_handle(n->out_hooks[i]);
        fnn_pool_free(n->out_hooks, sizeof(void *) * (size_t)n->n_out);
    }
    if (n->retain) {
        for (int i = 0; i < n->n_out; i++)
            if (n->retain[i]) n->retain[i]->retained_by = NULL;
        fnn_pool_free(n->retain, sizeof(void *) * (size_t)n->n_out);
    }
    for (int i = 0; i < n->n_in; i++)
        if (n->edges[i].node) fnn_node_unref(n->edges[i].node);
    fnn_pool_free(n, n->bytes);
}

void fnn_node_unref(fnn_node *n) {
    static _Thread_local fnn_node *pending;
    static _Thread_local bool busy;
    if (!n || --n->refs) return;
    if (n->leaf) n->leaf->accumulator = NULL; /* at once: nobody may find the node while it waits */
    n->next_free = pending;
    pending = n;
    if (busy) return;
    busy = true;
    while (pending) {
        fnn_node *next = pending;
        pending = next->next_free;
        destroy(next);
    }
    busy = false;
}

/* ---- edges ---- */

static fnn_node *accumulator_of(fnn_meta *leaf, const fnn_tensor *t) {
    if (leaf->accumulator) {
        fnn_node_ref(leaf->accumulator);
        return leaf->accumulator;
    }
    fnn_node *n = fnn_node_new(NULL, 0, 1, 0, NULL);
    if (!n) return NULL;
    n->name = "AccumulateGrad";
    n->out_geom[0] = fnn_geom_of(t);
    n->leaf = leaf;
    fnn_meta_ref(leaf);
    leaf->accumulator = n;
    return n;
}

fnn_status fnn_prepare_retain(fnn_node *n) {
    if (n->retain) return FNN_OK;
    size_t bytes = sizeof *n->retain * (size_t)n->n_out;
    n->retain = fnn_pool_alloc(bytes);
    if (!n->retain) return fnn_fail(FNN_ERR_MEMORY, "out of memory for a kept gradient");
    memset(n->retain, 0, bytes);
    return FNN_OK;
}

void fnn_retain(fnn_node *n, uint32_t nr, fnn_meta *m) {
    if (m->retained_by) m->retained_by->retain[m->retained_nr] = NULL;
    if (n->retain[nr]) n->retain[nr]->retained_by = NULL;
    n->retain[nr] = m;
    m->retains_grad = true;
    m->retained_by = n;
    m->retained_nr = nr;
}

fnn_status fnn_prepare_move(fnn_node *n, const fnn_meta *m) { return m->retained_by ? fnn_prepare_retain(n) : FNN_OK; }

void fnn_move_retain(fnn_node *n, fnn_meta *m) {
    if (n->retain && m->retained_by) fnn_retain(n, 0, m);
}

void fnn_move_grad(fnn_meta *to, fnn_meta *from) {
    fnn_node *n = from->retained_by;
    from->retained_by = NULL;
    if (n) fnn_retain(n, from->retained_nr, to);
    to->retains_grad = from->retains_grad;
    to->grad = from->grad;
    to->grad_handle = from->grad_handle;
    from->grad = NULL;
    from->grad_handle = NULL;
}

/* A view whose base was written in place after the view was made gets a node that starts at the base's new history. */
static fnn_status renew_view(const fnn_tensor *t) {
    fnn_meta *m = t->meta;
    fnn_view *v = m->view;
    fnn_attrs attrs = {0};
    attrs.list[0].n = attrs.list[1].n = t->ndim;
    memcpy(attrs.list[0].v, t->shape, sizeof attrs.list[0].v);
    memcpy(attrs.list[1].v, t->stride, sizeof attrs.list[1].v);
    attrs.v[0].i = fnn_view_offset(t);
    attrs.v[1].i = 1; /* the gradient's memory has the base's strides */
    for (int d = 0; d < v->base_geom.ndim; d++) attrs.v[2 + d].i = v->base_stride[d];
    fnn_node *n = fnn_node_new(&fnn_op_AS_STRIDED, 1, 1, 0, &attrs);
    if (!n) return FNN_ERR_MEMORY;
    n->in_geom[0] = v->base_geom;
    n->out_geom[0] = fnn_geom_of(t);
    fnn_tensor base = {.meta = v->base, .dtype = v->base_geom.dtype};
    fnn_tensor_set_geometry(&base, v->base_geom.ndim, v->base_geom.shape, v->base_stride);
    fnn_status status = fnn_gradient_edge(&base, &n->edges[0]);
    if (!status) status = fnn_prepare_move(n, m);
    if (status) {
        fnn_node_unref(n);
        return status;
    }
    fnn_node_stamp(n);
    fnn_move_retain(n, m);
    if (m->grad_fn) fnn_node_unref(m->grad_fn);
    m->grad_fn = n;
    m->output_nr = 0;
    v->version = fnn_tensor_version(t);
    v->seen = v->base->grad_fn;
    return FNN_OK;
}

static fnn_status renew_if_stale(const fnn_tensor *t) {
    const fnn_view *v = t->meta->view;
    if (!v || !t->version || v->version == fnn_tensor_version(t)) return FNN_OK;
    if (v->former && v->seen == v->base->grad_fn) return FNN_OK; /* written off the tape: that does not touch the history of what is no view */
    if (!v->base->grad_fn && !v->base->requires_grad && !t->meta->grad_fn) return FNN_OK;
    FNN_TRY(fnn_check_origin("", t, true));
    return renew_view(t); /* also where the base wants no gradient any more: what led to the view before the write is over */
}

fnn_status fnn_current_grad_fn(const fnn_tensor *t, fnn_node **node) {
    *node = NULL;
    if (!t->meta) return FNN_OK;
    FNN_TRY(renew_if_stale(t));
    *node = t->meta->grad_fn;
    return FNN_OK;
}

fnn_status fnn_gradient_edge(const fnn_tensor *t, fnn_edge *edge) {
    *edge = (fnn_edge){0};
    if (!t->meta) return FNN_OK;
    FNN_TRY(renew_if_stale(t));
    fnn_meta *m = t->meta;
    if (m->grad_fn) {
        fnn_node_ref(m->grad_fn);
        *edge = (fnn_edge){m->grad_fn, m->output_nr};
    } else if (m->requires_grad) {
        edge->node = accumulator_of(m, t);
        if (!edge->node) return FNN_ERR_MEMORY;
    }
    return FNN_OK;
}

static void __attribute__((constructor)) install_hooks(void) {
    fnn_meta_ref_hook = fnn_meta_ref;
    fnn_meta_unref_hook = fnn_meta_unref;
}

/* ---- the public face of leaves ---- */

bool fnn_requires_grad(const fnn_tensor *t) { return fnn_wants_grad(t); }

fnn_status fnn_set_requires_grad(fnn_tensor *t, bool on) {
    if (on && !fnn_dtype_is_float(t->dtype))
        return fnn_fail(FNN_ERR_RUNTIME, "only Tensors of floating point dtype can require gradients, found %s", fnn_dtype_name(t->dtype));
    if (on && (t->flags & FNN_T_INFERENCE) && !fnn_mode.inference)
        return fnn_fail(FNN_ERR_RUNTIME, "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
    fnn_node *node;
    FNN_TRY(fnn_current_grad_fn(t, &node));
    if (node) {
        if (on) return FNN_OK;
        return fnn_fail(FNN_ERR_RUNTIME, "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                                         "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().");
    }
    if (!on && !t->meta) return FNN_OK;
    fnn_meta *m = fnn_meta_of(t);
    if (!m) return FNN_ERR_MEMORY;
    m->requires_grad = on;
    return FNN_OK;
}

const fnn_tensor *fnn_grad(const fnn_tensor *t) { return t->meta ? t->meta->grad : NULL; }
void fnn_clear_grad(fnn_tensor *t) {
    if (t->meta) fnn_meta_set_grad(t->meta, NULL, NULL);
}
