/* A walk with captures (autograd.grad) stays among the nodes that lead to one; they are entered before it starts. See walk.h.
 *
 * Invariant: what is entered and not kept is left again, so the queue ends as a heap of wanted nodes only, and after a failure
 * as an empty one. Does not: deliver gradients. Read next: backward.c. */
#include <string.h>

#include "walk.h"

/* Asked in increasing order of numbers: then of a node's inputs, only those that lead to a capture are still in the walk. */
static bool leads_to_capture(const fnn_walk_state *w, const fnn_node *n) {
    for (int k = 0; k < w->n_captures; k++)
        if (w->captures[k].edge.node == n) return true;
    for (int i = 0; i < n->n_in; i++)
        if (fnn_walk_wants(w, &n->edges[i])) return true;
    return false;
}

static void keep_captured_leaves(fnn_walk_state *w) {
    fnn_visit *v = w->leaves;
    w->last_leaf = &w->leaves;
    while (v) {
        fnn_visit *next = v->next_leaf;
        if (leads_to_capture(w, v->node)) {
            *w->last_leaf = v;
            w->last_leaf = &v->next_leaf;
        } else {
            fnn_visit_leave(v);
        }
        v = next;
    }
    *w->last_leaf = NULL;
}

fnn_status fnn_enter_wanted(fnn_walk_state *w, const fnn_edge *roots, int n) {
    fnn_walk_state seen = {0};
    fnn_status status = FNN_OK;
    for (int i = 0; i < n; i++)
        if (!status && roots[i].node && !fnn_visit_enter(w, roots[i].node)) status = FNN_ERR_MEMORY;
    while (w->n) {
        fnn_visit *v = fnn_heap_pop(w);
        for (int i = 0; i < v->node->n_in; i++)
            if (!status && v->node->edges[i].node && !fnn_visit_enter(w, v->node->edges[i].node)) status = FNN_ERR_MEMORY;
        if (!status) status = fnn_heap_push(&seen, v); /* in decreasing order, so the heap is a sorted list */
        if (status) fnn_visit_leave(v);
    }
    keep_captured_leaves(w);
    int64_t first = seen.n; /* those kept move to the end of the list */
    for (int64_t at = seen.n - 1; at >= 0; at--) {
        fnn_visit *v = seen.heap[at];
        if (!status && leads_to_capture(w, v->node))
            seen.heap[--first] = v;
        else
            fnn_visit_leave(v);
    }
    fnn_heap_free(w);
    w->heap = seen.heap;
    w->capacity = seen.capacity;
    w->n = seen.n - first;
    if (w->n) memmove(w->heap, w->heap + first, sizeof *w->heap * (size_t)w->n);
    return status;
}
