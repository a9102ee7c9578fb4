/* The queue of a backward walk and the visits in it; see walk.h.
 *
 * The queue is a binary heap by sequence number: since a node's number exceeds those of all it has edges to, everything that
 * reaches a node has arrived when it is taken. Does not: run nodes. Read next: backward.c. */
#include <string.h>

#include "../core/pool.h"
#include "walk.h"

/* ---- the queue ---- */

static uint64_t seq(const fnn_visit *v) { return v->node->seq; }

fnn_status fnn_heap_push(fnn_walk_state *w, fnn_visit *v) {
    if (w->n == w->capacity) {
        int64_t capacity = w->capacity ? 2 * w->capacity : 64;
        fnn_visit **grown = fnn_pool_alloc(sizeof *grown * (size_t)capacity);
        if (!grown) return fnn_fail(FNN_ERR_MEMORY, "backward: out of memory for the queue of nodes");
        if (w->heap) {
            memcpy(grown, w->heap, sizeof *grown * (size_t)w->n);
            fnn_pool_free(w->heap, sizeof *grown * (size_t)w->capacity);
        }
        w->heap = grown;
        w->capacity = capacity;
    }
    int64_t at = w->n++;
    while (at > 0 && seq(w->heap[(at - 1) / 2]) < seq(v)) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = v;
    return FNN_OK;
}

fnn_visit *fnn_heap_pop(fnn_walk_state *w) {
    fnn_visit *top = w->heap[0], *last = w->heap[--w->n];
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= w->n) break;
        if (child + 1 < w->n && seq(w->heap[child + 1]) > seq(w->heap[child])) child++;
        if (seq(w->heap[child]) < seq(last)) break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->n) w->heap[at] = last;
    return top;
}

void fnn_heap_free(fnn_walk_state *w) {
    if (w->heap) fnn_pool_free(w->heap, sizeof *w->heap * (size_t)w->capacity);
}

/* ---- visits ---- */

/* Another walk has the node's own part: one beside it. */
static fnn_visit *second(fnn_walk_state *w, fnn_node *node) {
    fnn_visit *v = fnn_pool_alloc(sizeof *v + sizeof *v->dy * (size_t)node->n_out);
    if (!v) return NULL;
    *v = (fnn_visit){.node = node, .dy = (fnn_tensor *)(v + 1), .next_second = w->seconds};
    w->seconds = v;
    return v;
}

fnn_visit *fnn_visit_enter(fnn_walk_state *w, fnn_node *node) {
    fnn_visit *v = fnn_visit_find(w, node);
    if (v) return v;
    v = node->own.walk ? second(w, node) : &node->own;
    if (!v) {
        fnn_fail(FNN_ERR_MEMORY, "backward: out of memory for a node that another walk is using");
        return NULL;
    }
    for (int i = 0; i < node->n_out; i++) v->dy[i].data = NULL; /* nothing has arrived */
    if (fnn_is_accumulator(node)) {
        v->next_leaf = NULL;
        *w->last_leaf = v;
        w->last_leaf = &v->next_leaf;
    } else if (fnn_heap_push(w, v)) {
        return NULL;
    }
    v->walk = w;
    return v;
}

void fnn_visit_leave(fnn_visit *v) {
    for (int i = 0; i < v->node->n_out; i++)
        if (v->dy[i].data) fnn_tensor_unref(&v->dy[i]);
    v->walk = NULL;
}

void fnn_free_seconds(fnn_walk_state *w) {
    while (w->seconds) {
        fnn_visit *v = w->seconds;
        w->seconds = v->next_second;
        fnn_pool_free(v, sizeof *v + sizeof *v->dy * (size_t)v->node->n_out);
    }
}
