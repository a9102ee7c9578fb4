/* The backward walk; see graph.h.
 *
 * Nodes wait in a heap by sequence number and are taken in decreasing order; since a node's number exceeds those of all it
 * has edges to, everything that reaches a node has arrived when it is taken. Gradients that meet are added in the order of
 * arrival, as torch adds them. Accumulators wait aside until the heap is empty. A walk with captures first enters all nodes that
 * lead to one and then stays among them; other walks enter a node when the first gradient arrives. */
#include "../core/pool.h"
#include "walk.h"

/* ---- gradients on their way ---- */

/* Nobody else can see this memory, so it may be written. */
static bool sole_owner(const fnn_tensor *t) {
    return t->storage && atomic_load_explicit(&t->storage->refs, memory_order_acquire) == 1 && !t->storage->readonly &&
           !t->storage->release && fnn_is_dense(t);
}

/* Adds grad (taken over) to what has arrived at an edge. */
static fnn_status deliver(fnn_walk_state *w, const fnn_edge *edge, fnn_tensor *grad) {
    fnn_visit *v = fnn_visit_enter(w, edge->node);
    if (!v) {
        fnn_tensor_unref(grad);
        return FNN_ERR_MEMORY;
    }
    fnn_status status = FNN_OK;
    fnn_tensor *slot = &v->dy[edge->nr];
    if (!slot->data) {
        *slot = *grad;
        fnn_tensor_clear(grad);
        return FNN_OK;
    }
    if (sole_owner(slot)) {
        status = fnn_add_into(slot, grad);
    } else if (sole_owner(grad)) {
        status = fnn_add_into(grad, slot); /* addition commutes bit for bit */
        if (!status) {
            fnn_tensor old = *slot;
            *slot = *grad;
            *grad = old;
        }
    } else {
        fnn_tensor sum;
        status = fnn_run2(&fnn_op_ADD, &sum, slot, grad);
        if (!status) {
            fnn_tensor_unref(slot);
            *slot = sum;
        }
    }
    fnn_tensor_unref(grad);
    return status;
}

/* ---- one node ---- */

static fnn_status check_versions(const fnn_node *n) {
    for (int i = 0; i < n->n_saved; i++) {
        const fnn_saved *s = &n->saved[i];
        if (s->place < n->n_in + n->n_out && fnn_tensor_version(&s->t) != s->version)
            return fnn_fail(FNN_ERR_RUNTIME, "one of the variables needed for gradient computation has been modified by an inplace "
                            "operation: [%s %s], saved by %s, is at version %u; expected version %u instead.",
                            fnn_dtype_name(s->t.dtype), fnn_shape_of(&s->t), n->name, fnn_tensor_version(&s->t), s->version);
    }
    return FNN_OK;
}

/* What was saved, where an op's backward looks for it: in[], out[] and extra[] behind one another. */
static void lay_out(const fnn_node *n, fnn_tensor *flat) {
    int count = n->n_in + n->n_out + n->n_extra;
    for (int i = 0; i < count; i++) flat[i].data = NULL; /* not saved: the rest says nothing */
    for (int i = 0; i < n->n_saved; i++) flat[n->saved[i].place] = n->saved[i].t;
}

static fnn_status check_saved(const fnn_node *n) {
    if (n->freed)
        return fnn_fail(FNN_ERR_RUNTIME, "Trying to backward through the graph a second time (or directly access saved tensors after "
                        "they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                        "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time.");
    return check_versions(n);
}

fnn_status fnn_node_backward(fnn_node *n, const fnn_tensor *const *dy, const bool *need, fnn_tensor *dx) {
    FNN_TRY(check_saved(n));
    enum { FEW = 8 };
    fnn_tensor few[3 * FEW], *flat = few;
    int count = n->n_in + n->n_out + n->n_extra;
    fnn_tensor block = {0};
    if (count > 3 * FEW) {
        int64_t bytes = (int64_t)sizeof(fnn_tensor) * count;
        FNN_TRY(fnn_empty(&block, FNN_U8, 1, &bytes));
        flat = (fnn_tensor *)block.data;
    }
    lay_out(n, flat);
    fnn_backcall b = {.op = n->op, .n_in = n->n_in, .n_out = n->n_out, .attrs = n->attrs, .dy = dy, .in = flat, .out = flat + n->n_in,
                      .extra = flat + n->n_in + n->n_out, .in_geom = n->in_geom, .out_geom = n->out_geom, .need = need, .dx = dx};
    fnn_status status;
    if (n->inner)
        status = fnn_copy_slices_backward(n, &b);
    else if (n->foreign)
        status = n->foreign->apply(n->object, &b);
    else if (n->op->backward)
        status = fnn_run_backward(&b, NULL);
    else
        status = fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "derivative for %s is not implemented", n->op->name);
    if (block.data) fnn_tensor_unref(&block);
    if (status)
        for (int i = 0; i < n->n_in; i++) fnn_tensor_unref(&dx[i]);
    return status;
}

/* select, slice and index add straight into a gradient that is being collected, instead of making a mostly empty one. */
static bool try_backward_into(fnn_walk_state *w, fnn_node *n, const fnn_tensor *const *dy, fnn_status *status) {
    fnn_node *target = n->edges[0].node;
    fnn_visit *v = n->op && n->op->backward_into && target && !n->freed ? fnn_visit_find(w, target) : NULL;
    if (!v) return false;
    fnn_tensor *slot = &v->dy[n->edges[0].nr];
    for (int i = 1; i < n->n_in; i++)
        if (n->edges[i].node) return false;
    if (!slot->data || !sole_owner(slot)) return false;
    *status = check_versions(n);
    if (*status) return true;
    fnn_tensor saved[FNN_MAX_IN + FNN_MAX_OUT + FNN_MAX_EXTRA];
    lay_out(n, saved);
    fnn_backcall b = {.op = n->op, .n_in = n->n_in, .n_out = n->n_out, .attrs = n->attrs, .dy = dy, .in = saved, .out = saved + n->n_in,
                      .in_geom = n->in_geom, .out_geom = n->out_geom};
    *status = fnn_run_backward(&b, slot);
    return true;
}

static fnn_status run_node(fnn_walk_state *w, fnn_node *n, const fnn_tensor *const *dy, const bool *need, fnn_tensor *dx) {
    fnn_status status = FNN_OK;
    if (try_backward_into(w, n, dy, &status)) return status;
    for (int i = 0; i < n->n_in; i++) fnn_tensor_clear(&dx[i]);
    FNN_TRY(fnn_node_backward(n, dy, need, dx));
    for (int i = 0; i < n->n_in; i++) {
        if (!dx[i].data) continue;
        if (!need[i] || status)
            fnn_tensor_unref(&dx[i]);
        else
            status = deliver(w, &n->edges[i], &dx[i]);
    }
    return status;
}

/* .grad = grad, or .grad += grad. The caller keeps grad unless it lets it be taken (cleared then). The caller also keeps the host's
 * lock: between the look at m->grad and the end no other thread may add to it or drop it. */
static fnn_status accumulate_locked(fnn_meta *m, fnn_tensor *grad, bool take) {
    if (m->grad) {
        FNN_TRY(fnn_add_into(m->grad, grad));
        fnn_tensor_bump(m->grad);
        return FNN_OK;
    }
    fnn_tensor *kept = fnn_pool_alloc(sizeof *kept);
    if (!kept) return fnn_fail(FNN_ERR_MEMORY, "backward: out of memory for a gradient");
    fnn_status status = FNN_OK;
    if (sole_owner(grad) && grad->contiguous) {
        if (take) {
            *kept = *grad;
            fnn_tensor_clear(grad);
        } else {
            fnn_tensor_ref_data(kept, grad); /* the walk drops its own reference right after */
        }
    } else {
        status = fnn_empty(kept, grad->dtype, grad->ndim, grad->shape);
        if (!status) status = fnn_copy_into(kept, grad);
    }
    if (status)
        fnn_pool_free(kept, sizeof *kept);
    else
        fnn_meta_set_grad(m, kept, NULL);
    return status;
}

static fnn_status accumulate_grad(fnn_meta *m, fnn_tensor *grad, bool take) {
    bool before = fnn_keep_host(true);
    fnn_status status = accumulate_locked(m, grad, take);
    fnn_keep_host(before);
    return status;
}

/* Hooks and retain_grad on a node's finished output gradients, then captures. */
static fnn_status finish_gradients(fnn_walk_state *w, fnn_visit *v) {
    fnn_node *n = v->node;
    for (int i = 0; i < n->n_out; i++) {
        fnn_tensor *dy = &v->dy[i];
        if (!dy->data) continue;
        if (n->out_hooks && n->out_hooks[i]) FNN_TRY(fnn_graph_host.run_hooks(n->out_hooks[i], dy));
        if (n->leaf && n->leaf->hooks) FNN_TRY(fnn_graph_host.run_hooks(n->leaf->hooks, dy));
        if (n->retain && n->retain[i]) FNN_TRY(accumulate_grad(n->retain[i], dy, false));
        for (int k = 0; k < w->n_captures; k++)
            if (w->captures[k].edge.node == n && w->captures[k].edge.nr == (uint32_t)i && !w->captures[k].grad.data)
                fnn_tensor_ref_data(&w->captures[k].grad, dy);
    }
    return FNN_OK;
}

/* Lets go of what n has saved, unless another walk is inside n's backward: then that one does it when it comes out. */
static void end_run(fnn_node *n, bool drop) {
    bool through_view = n->inner && !n->slice->former; /* a write into a view is gone through once, as in torch */
    n->freed |= drop && (through_view || n->n_saved || (n->inner && n->inner->n_saved));
    if (--n->running || !(drop || n->freed)) return;
    fnn_node_free_saved(n);
    if (n->inner) fnn_node_free_saved(n->inner);
}

static fnn_status visit(fnn_walk_state *w, fnn_visit *v) {
    fnn_node *n = v->node;
    FNN_TRY(finish_gradients(w, v));
    enum { FEW = 8 };
    const fnn_tensor *few_dy[FEW], **dy = few_dy;
    fnn_tensor few_dx[FEW], *dx = few_dx, block = {0};
    bool few_need[FEW], *need = few_need;
    if (n->n_in > FEW || n->n_out > FEW) {
        int64_t bytes = (int64_t)(sizeof *dy * (size_t)n->n_out + (sizeof *dx + sizeof *need) * (size_t)n->n_in);
        FNN_TRY(fnn_empty(&block, FNN_U8, 1, &bytes));
        dx = (fnn_tensor *)block.data;
        dy = (const fnn_tensor **)(dx + n->n_in);
        need = (bool *)(dy + n->n_out);
    }
    bool arrived = false, any = false;
    for (int i = 0; i < n->n_out; i++) {
        dy[i] = v->dy[i].data ? &v->dy[i] : NULL;
        arrived |= dy[i] != NULL;
    }
    for (int i = 0; i < n->n_in; i++) {
        need[i] = fnn_walk_wants(w, &n->edges[i]);
        any |= need[i];
    }
    fnn_status status = FNN_OK;
    if (arrived && (any || !w->n_captures)) { /* where nobody wants what it gives it counts as run, as in torch */
        n->running++;
        status = any ? run_node(w, n, dy, need, dx) : check_saved(n);
        end_run(n, !status && !w->retain_graph);
    }
    if (block.data) fnn_tensor_unref(&block);
    return status;
}

/* ---- leaves ---- */

static fnn_status finish_leaf(fnn_walk_state *w, fnn_visit *v) {
    const fnn_node *n = v->node;
    FNN_TRY(finish_gradients(w, v));
    if (w->n_captures || !v->dy[0].data || !n->leaf->requires_grad) return FNN_OK; /* detach_() may have come in between */
    FNN_TRY(accumulate_grad(n->leaf, &v->dy[0], true));
    if (n->leaf->post_hooks) FNN_TRY(fnn_graph_host.run_post_hooks(n->leaf->post_hooks, n->leaf));
    return FNN_OK;
}

/* Takes all nodes that the seeds reach, then the leaves. */
static fnn_status walk_nodes(fnn_walk_state *w, fnn_status status) {
    while (w->n) {
        fnn_visit *v = fnn_heap_pop(w);
        if (!status) status = visit(w, v);
        fnn_visit_leave(v);
    }
    while (w->leaves) {
        fnn_visit *v = w->leaves;
        w->leaves = v->next_leaf;
        if (!status) status = finish_leaf(w, v);
        fnn_visit_leave(v);
    }
    fnn_free_seconds(w);
    fnn_heap_free(w);
    return status;
}

fnn_status fnn_walk(const fnn_tensor *const *roots, fnn_tensor *seeds, int n, bool retain_graph, fnn_capture *captures, int n_captures) {
    fnn_walk_state w = {.captures = captures, .n_captures = n_captures, .retain_graph = retain_graph};
    w.last_leaf = &w.leaves;
    fnn_edge one, *edges = n > 1 ? fnn_pool_alloc(sizeof *edges * (size_t)n) : &one; /* counted: they keep the graph until the end */
    fnn_modes before = fnn_mode;
    fnn_mode.grad = false;
    fnn_status status = edges ? FNN_OK : fnn_fail(FNN_ERR_MEMORY, "backward: out of memory for the roots");
    int held = 0;
    while (held < n && !status) {
        status = fnn_gradient_edge(roots[held], &edges[held]);
        if (!status) held++;
        if (!status && !edges[held - 1].node) /* a view that the tape does not follow */
            status = fnn_fail(FNN_ERR_RUNTIME, "backward: element %d of tensors does not require grad and does not have a grad_fn", held - 1);
    }
    if (!status && n_captures) status = fnn_enter_wanted(&w, edges, n);
    for (int i = 0; i < n; i++) {
        if (!status && fnn_walk_wants(&w, &edges[i]))
            status = deliver(&w, &edges[i], &seeds[i]);
        else
            fnn_tensor_unref(&seeds[i]);
    }
    status = walk_nodes(&w, status);
    for (int i = 0; i < held; i++) fnn_node_unref(edges[i].node);
    if (edges && edges != &one) fnn_pool_free(edges, sizeof *edges * (size_t)n);
    fnn_mode = before;
    return status;
}

fnn_status fnn_backward(const fnn_tensor *root, const fnn_tensor *seed, bool retain_graph) {
    if (!fnn_wants_grad(root))
        return fnn_fail(FNN_ERR_RUNTIME, "backward: element 0 of tensors does not require grad and does not have a grad_fn");
    fnn_tensor first;
    if (seed) {
        if (!fnn_same_shape(root, seed))
            return fnn_fail(FNN_ERR_RUNTIME, "backward: Mismatch in shape: grad_output[0] has a shape of %s and output[0] has a shape of %s.",
                            fnn_shape_of(seed), fnn_shape_of(root));
        FNN_TRY(fnn_cast(&first, seed, root->dtype));
    } else {
        if (root->numel != 1)
            return fnn_fail(FNN_ERR_RUNTIME, "backward: grad can be implicitly created only for scalar outputs, found shape %s", fnn_shape_of(root));
        FNN_TRY(fnn_empty(&first, root->dtype, root->ndim, root->shape));
        if (root->dtype == FNN_F32)
            *(float *)first.data = 1.0f;
        else
            *(double *)first.data = 1.0;
    }
    return fnn_walk(&root, &first, 1, retain_graph, NULL, 0);
}
