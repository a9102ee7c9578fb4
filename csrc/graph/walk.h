/* Inside a backward walk: what it keeps, the queue of nodes, and a node's part (visit) in it. For the walk's files alone.
 *
 * Invariant: a node is in the queue or among the leaves exactly once from the moment it is entered until it is taken, and its
 * visit names the walk from then until it is left. Read next: visits.c (queue and visits), captures.c (which nodes), backward.c. */
#ifndef FNN_GRAPH_WALK_H
#define FNN_GRAPH_WALK_H

#include "graph.h"

typedef struct fnn_walk_state {
    fnn_visit **heap; /* largest seq first. Nodes are not counted, leaves neither: the roots, which are, hold the graph */
    int64_t n, capacity;
    fnn_visit *leaves, **last_leaf; /* accumulators reached, in order of arrival */
    fnn_visit *seconds;             /* of nodes that were in use by another walk when this one met them */
    fnn_capture *captures;
    int n_captures;
    bool retain_graph;
} fnn_walk_state;

/* ---- visits.c ---- */
fnn_status fnn_heap_push(fnn_walk_state *w, fnn_visit *v);
fnn_visit *fnn_heap_pop(fnn_walk_state *w);
void fnn_heap_free(fnn_walk_state *w);
/* The node's part in this walk; a new one gets slots for output gradients and a place in the queue. NULL: out of memory. */
fnn_visit *fnn_visit_enter(fnn_walk_state *w, fnn_node *node);
void fnn_visit_leave(fnn_visit *v);
void fnn_free_seconds(fnn_walk_state *w); /* after all visits are left */

/* ---- captures.c ---- */
/* Enters the nodes from which a capture can be reached: as in torch the others are not visited, so their saved tensors may be
 * gone or changed, and are kept. */
fnn_status fnn_enter_wanted(fnn_walk_state *w, const fnn_edge *roots, int n);

/* The node's part in this walk; NULL: it has none yet. */
static inline fnn_visit *fnn_visit_find(const fnn_walk_state *w, fnn_node *node) {
    if (node->own.walk == w) return &node->own;
    fnn_visit *v = w->seconds;
    while (v && (v->node != node || !v->walk)) v = v->next_second;
    return v;
}

/* Whether this walk takes a gradient to an edge. */
static inline bool fnn_walk_wants(const fnn_walk_state *w, const fnn_edge *edge) { return edge->node && (!w->n_captures || fnn_visit_find(w, edge->node)); }

#endif
