/* The tape: what autograd knows of a tensor (meta), one recorded op (node), and the backward walk.
 *
 * Invariants: a node's sequence number is greater than those of all nodes it has edges to (numbers come from one counter),
 * so taking nodes in decreasing number visits every node after all its users. Leaves accumulate once, after the walk has
 * summed all that reaches them. Saved outputs carry no meta of their own, or every step would leak. Graphs are freed by a
 * loop, never by recursion. A gradient's memory is added to in place only while the walk is its one owner. Several threads may
 * walk graphs that share nodes and leaves: the host's lock guards nodes and metas, and long ops inside a walk let go of it.
 *
 * Deliberately not here: gradients of gradients (backwards work on raw tensors). Nothing here knows Python: hooks and
 * functions written in the host language are foreign objects behind fnn_foreign.
 *
 * Read next: apply.c (recording), backward.c (the walk; what its files share is in walk.h), inplace.c (writes into views). */
#ifndef FNN_GRAPH_H
#define FNN_GRAPH_H

#include "../ops/op.h"

/* The host language's objects inside the graph. */
typedef struct fnn_foreign {
    /* backward of a foreign node: dy (NULL: zero) -> dx, as an op's backward does. */
    fnn_status (*apply)(void *object, fnn_backcall *b);
    void (*release)(void *object);
} fnn_foreign;

/* Called with a gradient; may replace it (owned) by another of the same shape and dtype. */
typedef fnn_status (*fnn_hook_fn)(void *object, fnn_tensor *grad);
typedef fnn_status (*fnn_post_hook_fn)(void *object);

/* Where a gradient goes: output `nr` of `node`. A leaf's node is its accumulator. */
typedef struct fnn_edge {
    fnn_node *node; /* counted; NULL: no gradient wanted */
    uint32_t nr;
} fnn_edge;

typedef struct fnn_saved {
    fnn_tensor t;     /* without meta; data NULL once freed */
    uint32_t version; /* of t when saved: must not have moved when it is used */
    int32_t place;    /* among the inputs, outputs and extras, counted through */
} fnn_saved;

typedef struct fnn_view fnn_view;
typedef struct fnn_slice fnn_slice;

/* A node's part in one walk. The first walk that meets a node uses the node's own; one that meets it while another thread's walk,
 * or one that called a hook, has that makes a second. */
typedef struct fnn_visit {
    fnn_node *node;
    void *walk;                    /* NULL: not in use */
    fnn_tensor *dy;                /* n_out gradients summed so far; undefined outside a walk */
    struct fnn_visit *next_leaf;   /* chain of the walk's leaves */
    struct fnn_visit *next_second; /* chain of the walk's seconds */
} fnn_visit;

struct fnn_node {
    int refs; /* the host's lock guards it, as all of nodes and metas */
    const fnn_op *op;    /* NULL: accumulator of a leaf, or foreign */
    uint64_t seq;
    int32_t n_in, n_out, n_extra, n_saved;
    fnn_edge *edges;     /* n_in */
    fnn_geom *in_geom;   /* n_in */
    fnn_geom *out_geom;  /* n_out */
    fnn_saved *saved;    /* n_saved: only what backward needs */
    fnn_attrs *attrs;    /* NULL when the op has none */
    bool freed;          /* saved tensors are gone: a second backward needs retain_graph */
    const char *name;    /* what grad_fn shows */
    /* foreign node */
    const fnn_foreign *foreign;
    void *object;        /* owned: released through foreign */
    /* accumulator */
    fnn_meta *leaf;      /* counted */
    /* copy slices: the write `inner` into a view of the base; see inplace.c */
    fnn_node *inner;     /* counted */
    fnn_slice *slice;    /* owned */
    /* hooks of the host language on this node's output gradients */
    void **out_hooks;    /* n_out or NULL */
    fnn_meta **retain;   /* n_out or NULL: who wants output i's gradient kept (its retained_by); not counted, cleared by the meta */
    /* during walks */
    fnn_visit own;
    int32_t running;     /* walks inside this node's backward: what is saved stays until the last one is out */
    fnn_node *next_free; /* chain of the freeing loop */
    size_t bytes;        /* of this block */
};

/* How a view was made. Only a tracked one may be written to, or used after a write to its base, with the tape on: for the others
 * nobody can say what the tape should hold. A view of a view takes its origin over, unless it has one of these itself. */
typedef enum fnn_origin {
    FNN_VIEW_TRACKED,
    FNN_VIEW_MULTIPLE, /* one of several that one op gave (unbind, split) */
    FNN_VIEW_NO_GRAD,  /* grad mode was off */
    FNN_VIEW_INFERENCE /* inference mode was on */
} fnn_origin;

/* How a differentiable view came from its base: with the view's own geometry enough to make its node anew after the base was
 * written. Every view of a float tensor has one, also without the tape: it is kept small, and lies behind its meta in one block. */
struct fnn_view {
    fnn_meta *base;     /* counted: meta of the tensor that owns the memory */
    char *base_data;
    const fnn_node *seen; /* the base's grad_fn then; not counted: only compared, and what leads to the view holds it */
    uint32_t version;   /* of the memory when grad_fn was made */
    uint8_t origin;     /* fnn_origin */
    bool former;        /* the base is this tensor before its shape changed, in place or in a copy that reshape made: to the user it is no view */
    fnn_geom base_geom; /* shape, dtype */
    int64_t base_stride[FNN_MAX_DIMS];
};

/* A write into a view, as its base's node keeps it: where in the base's memory it went. Its shape is that of the write's output. */
struct fnn_slice {
    fnn_geom base_geom;
    int64_t base_stride[FNN_MAX_DIMS];
    int64_t stride[FNN_MAX_DIMS];
    int64_t offset; /* in elements from the base's first */
    bool former;    /* as the view's: to the user the write went into the tensor itself */
};

struct fnn_meta {
    int refs; /* guarded as a node's */
    bool requires_grad;   /* of a leaf; a tensor with grad_fn wants a gradient anyway */
    bool retains_grad;    /* keep .grad although not a leaf */
    uint32_t output_nr;
    uint32_t retained_nr; /* the output of retained_by */
    fnn_node *retained_by; /* not counted: cleared by the node when it goes. The node that keeps .grad of what is no leaf; NULL: none */
    fnn_node *grad_fn;    /* counted; NULL: leaf */
    fnn_node *accumulator; /* not counted: cleared by the accumulator when it goes */
    fnn_tensor *grad;     /* NULL: none. Lies in the host object when grad_handle is set, else in the pool (owned) */
    void *grad_handle;    /* the host's object that wraps grad (owned) */
    fnn_view *view;       /* behind the meta, in its block; NULL: not a differentiable view */
    void *hooks;          /* the host's hooks on this tensor's gradient (owned) */
    void *post_hooks;     /* the host's hooks to call after accumulation (owned) */
    void *handle;         /* the host's object of a leaf, not counted; NULL when it is gone */
};

/* Set by the host language. */
typedef struct fnn_graph_hooks {
    void (*release_handle)(void *object);
    fnn_hook_fn run_hooks;           /* object: meta->hooks or node->out_hooks[i] */
    fnn_status (*run_post_hooks)(void *object, fnn_meta *meta);
} fnn_graph_hooks;
extern fnn_graph_hooks fnn_graph_host;

/* ---- modes, per thread ---- */
typedef struct fnn_modes {
    bool grad, inference;
} fnn_modes;
extern _Thread_local fnn_modes fnn_mode;

/* ---- meta ---- */
fnn_meta *fnn_meta_new(bool view); /* with room for a view's record, to be filled by the caller */
void fnn_meta_unref(fnn_meta *m);
void fnn_meta_detach(fnn_meta *m); /* a leaf that wants no gradient; .grad stays */
static inline void fnn_meta_ref(fnn_meta *m) { m->refs++; }
fnn_meta *fnn_meta_of(fnn_tensor *t); /* makes one if needed; NULL: out of memory */
/* A view wants a gradient whenever its base does, also one that was made before, or without the tape. */
static inline bool fnn_wants_grad(const fnn_tensor *t) {
    const fnn_meta *m = t->meta;
    if (!m) return false;
    if (m->requires_grad || m->grad_fn) return true;
    return m->view && (m->view->base->requires_grad || m->view->base->grad_fn);
}
/* Of a differentiable view, in elements from its base's first. */
static inline int64_t fnn_view_offset(const fnn_tensor *t) { return (t->data - t->meta->view->base_data) / fnn_itemsize[t->dtype]; }
void fnn_meta_set_grad(fnn_meta *m, fnn_tensor *grad, void *handle); /* takes both over; NULL clears */
/* The node and output a gradient of t goes to; counted. Makes the accumulator of a leaf, renews a stale view's node. */
fnn_status fnn_gradient_edge(const fnn_tensor *t, fnn_edge *edge);
fnn_status fnn_current_grad_fn(const fnn_tensor *t, fnn_node **node); /* borrowed; NULL: leaf. Renews a stale view's node */

/* ---- node ---- */
/* Room for n_saved tensors; n->n_saved counts them from 0 as they come. */
fnn_node *fnn_node_new(const fnn_op *op, int n_in, int n_out, int n_saved, const fnn_attrs *attrs);
/* Gives n its sequence number: after its edges are known, since looking an edge up may make a node (a stale view's). */
void fnn_node_stamp(fnn_node *n);
void fnn_node_unref(fnn_node *n);
static inline void fnn_node_ref(fnn_node *n) { n->refs++; }
void fnn_node_free_saved(fnn_node *n);
bool fnn_is_accumulator(const fnn_node *n);

/* retain_grad(): output nr of n keeps its gradient for m, and no other node does. The first call takes care of all that can fail. */
fnn_status fnn_prepare_retain(fnn_node *n);
void fnn_retain(fnn_node *n, uint32_t nr, fnn_meta *m);
/* A tensor that retains its gradient goes on with a new grad_fn: its first output. */
fnn_status fnn_prepare_move(fnn_node *n, const fnn_meta *m);
void fnn_move_retain(fnn_node *n, fnn_meta *m);
/* .grad, and what is retained in it, becomes that of `to`, which has none; the node that retains it stays. */
void fnn_move_grad(fnn_meta *to, fnn_meta *from);

/* ---- recording (apply.c, inplace.c) ---- */
fnn_status fnn_apply_op(const fnn_op *op, fnn_tensor *out, int n_out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs);
fnn_status fnn_apply_inplace_op(const fnn_op *op, fnn_tensor *self, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs);
/* A foreign node over given inputs and outputs (autograd.Function). Takes `object` over on success. */
fnn_status fnn_record_foreign(const fnn_foreign *foreign, void *object, const char *name, fnn_tensor *const *in, int n_in, fnn_tensor *out, int n_out);
/* An in-place write recorded as `node`. Before it: all that needs memory, with *base the node of self's base where self is a view,
 * else NULL. After it, which cannot fail: self (and its base) get the new history. The caller keeps its references. */
fnn_status fnn_prepare_history(fnn_tensor *self, fnn_node *node, fnn_node **base);
void fnn_start_history(fnn_tensor *self, fnn_node *node, fnn_node *base);
/* self may be written: not read-only, and, if the write goes on the tape, neither a leaf that wants a gradient nor a view the
 * tape does not follow. */
fnn_status fnn_check_inplace(const char *op, const fnn_tensor *self, bool recorded);
/* Fails for a view that is not tracked; `indirect`: not it, but its base was written. */
fnn_status fnn_check_origin(const char *op, const fnn_tensor *view, bool indirect);
fnn_status fnn_check_repeats(const char *op, const fnn_tensor *self); /* the same memory stands for several elements */
/* Refuses an input that shares memory with self, in[0], where torch does; *apart: the first one that may share some but is not refused
 * and has to be copied before the write, else 0. */
fnn_status fnn_check_overlap(const fnn_op *op, const fnn_tensor *self, const fnn_tensor *const *in, int n_in, int *apart);
/* A view made outside fnn_apply_op becomes a differentiable view of src (meta and view record, no node). */
fnn_status fnn_record_view(fnn_tensor *out, const fnn_tensor *src, bool multiple);
/* One node's backward on given output gradients; dx zeroed by the caller. */
fnn_status fnn_node_backward(fnn_node *n, const fnn_tensor *const *dy, const bool *need, fnn_tensor *dx);
/* CopySlices' part of the walk. */
fnn_status fnn_copy_slices_backward(fnn_node *n, fnn_backcall *b);

/* ---- the walk (backward.c) ---- */
typedef struct fnn_capture {
    fnn_edge edge;    /* where to look */
    fnn_tensor grad;  /* out: owned; zeroed when nothing arrived */
} fnn_capture;
/* Back-propagates seeds (each of its root's shape) from roots. With captures, gradients are collected there and .grad of
 * leaves stays as it is. */
fnn_status fnn_walk(const fnn_tensor *const *roots, fnn_tensor *seeds, int n, bool retain_graph, fnn_capture *captures, int n_captures);

#endif
