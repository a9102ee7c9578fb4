/* The order of one op call without a tape: plan, inspect, allocate, forward.
 *
 * Invariant: nothing is written before plan and inspect have passed, and a failing call leaves out[] zeroed.
 * Recording on the tape is graph/apply.c, which goes through fnn_run_call as well. */
#include <string.h>

#include "../core/pool.h"
#include "op.h"

fnn_host_hooks fnn_host;

static const fnn_op *const table[FNN_NOPS] = {
#define FNN_OP(name) &fnn_op_##name,
#include "ops.def"
#undef FNN_OP
};

const fnn_op *fnn_op_get(fnn_op_id id) { return (unsigned)id < FNN_NOPS ? table[id] : NULL; }
const char *fnn_op_name(fnn_op_id id) { return (unsigned)id < FNN_NOPS ? table[id]->name : "unknown op"; }

static fnn_status allocate(fnn_call *c) {
    if (c->op->flags & FNN_F_VIEW) {
        for (int i = 0; i < c->n_out; i++) {
            fnn_tensor *out = &c->out[i];
            if (out->numel < 0) return fnn_fail(FNN_ERR_RUNTIME, "%s: the elements of shape %s cannot be counted: integer multiplication overflow", c->op->name, fnn_shape_of(out));
            out->storage = c->in[0]->storage;
            out->version = c->in[0]->version;
            fnn_storage_ref(out->storage);
            if (out->version) fnn_version_ref(out->version);
        }
        return FNN_OK;
    }
    if (c->inplace && c->keep) {
        fnn_tensor_set_geometry(&c->out[0], c->keep->ndim, c->keep->shape, c->keep->stride);
        c->out[0].data = c->keep->data;
    } else if (!c->inplace) {
        for (int i = 0; i < c->n_out; i++) FNN_TRY(fnn_tensor_alloc(&c->out[i]));
    }
    if (c->save)
        for (int i = 0; i < c->op->n_extra; i++)
            if (c->extra[i].numel >= 0 && !c->extra[i].data) FNN_TRY(fnn_tensor_alloc(&c->extra[i]));
    if (c->scratch_bytes) {
        c->scratch = fnn_pool_alloc(c->scratch_bytes);
        if (!c->scratch) return fnn_fail(FNN_ERR_MEMORY, "%s: out of memory for %zu bytes of scratch", c->op->name, c->scratch_bytes);
    }
    return FNN_OK;
}

/* An op that runs inside another's forward finds the lock released already. */
static _Thread_local bool keeps_host;

bool fnn_keep_host(bool on) {
    bool before = keeps_host;
    keeps_host = on;
    return before;
}

bool fnn_release_host(void **token) {
    if (!fnn_host.release || keeps_host) return false;
    *token = fnn_host.release();
    keeps_host = true;
    return true;
}

void fnn_acquire_host(void *token) {
    keeps_host = false;
    fnn_host.acquire(token);
}

/* A call's inputs as they are now, their storages pinned: without the host's lock another thread may give a tensor other memory or
 * another shape. */
typedef struct held_inputs {
    fnn_tensor few[FNN_MAX_IN], *t;
    const fnn_tensor *few_in[FNN_MAX_IN], **in;
    size_t bytes; /* of the block of a long list */
} held_inputs;

static bool hold_inputs(held_inputs *h, const fnn_call *c) {
    h->t = h->few;
    h->in = h->few_in;
    h->bytes = c->n_in > FNN_MAX_IN ? (sizeof *h->t + sizeof *h->in) * (size_t)c->n_in : 0;
    if (h->bytes) {
        h->t = fnn_pool_alloc(h->bytes);
        if (!h->t) return false;
        h->in = (const fnn_tensor **)(h->t + c->n_in);
    }
    for (int i = 0; i < c->n_in; i++) {
        h->in[i] = c->in[i] ? &h->t[i] : NULL;
        if (!c->in[i]) continue;
        h->t[i] = *c->in[i];
        if (h->t[i].storage) fnn_storage_ref(h->t[i].storage);
    }
    return true;
}

/* Gives whether all inputs are still what they were. */
static bool let_inputs_go(held_inputs *h, const fnn_call *c) {
    bool same = true;
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i]) continue;
        const fnn_tensor *was = &h->t[i], *is = c->in[i];
        same = same && was->data == is->data && was->storage == is->storage && was->dtype == is->dtype && fnn_same_shape(was, is) &&
               !memcmp(was->stride, is->stride, sizeof *is->stride * is->ndim);
        if (was->storage) fnn_storage_unref(was->storage);
    }
    if (h->bytes) fnn_pool_free(h->t, h->bytes);
    return same;
}

static fnn_status forward_without_host(fnn_call *c) {
    held_inputs held;
    if (!hold_inputs(&held, c)) return c->op->forward(c);
    const fnn_tensor *const *in = c->in;
    c->in = held.in;
    void *token;
    bool released = fnn_release_host(&token);
    fnn_status status = c->op->forward(c);
    if (released) fnn_acquire_host(token);
    c->in = in;
    if (!let_inputs_go(&held, c) && c->save && !status) /* the tape would save what the result was not made of */
        return fnn_fail(FNN_ERR_RUNTIME, "%s: another thread gave an input other memory or another shape while the op ran", c->op->name);
    return status;
}

/* Long work runs without the host's lock. */
static fnn_status forward(fnn_call *c) {
    return c->work > FNN_RELEASE_WORK && fnn_host.release && !keeps_host ? forward_without_host(c) : c->op->forward(c);
}

fnn_status fnn_run_backward(fnn_backcall *b, fnn_tensor *acc) {
    int64_t elements = 0;
    for (int i = 0; i < b->n_out; i++) elements += (b->dy[i] ? b->dy[i]->numel : 0) + (b->out[i].data ? b->out[i].numel : 0);
    for (int i = 0; i < b->n_in; i++) elements += b->in[i].data ? b->in[i].numel : 0;
    void *token;
    bool released = elements > FNN_RELEASE_ELEMENTS && !(b->op->flags & FNN_F_VIEW) && fnn_release_host(&token);
    fnn_status status = acc ? b->op->backward_into(b, acc) : b->op->backward(b);
    if (released) fnn_acquire_host(token);
    return status;
}

/* Nothing is left of a call that failed. */
static fnn_status drop(fnn_call *c, fnn_status status) {
    if (!c->inplace)
        for (int i = 0; i < c->n_out; i++) fnn_tensor_unref(&c->out[i]);
    for (int i = 0; i < c->op->n_extra; i++) fnn_tensor_unref(&c->extra[i]);
    return status;
}

fnn_status fnn_run_checked(fnn_call *c) {
    fnn_status status = allocate(c);
    if (!status && c->op->forward) status = forward(c);
    if (c->scratch) {
        fnn_pool_free(c->scratch, c->scratch_bytes);
        c->scratch = NULL;
    }
    return status ? drop(c, status) : FNN_OK;
}

static fnn_status inspect(fnn_call *c) {
    fnn_status status = c->op->inspect ? c->op->inspect(c) : FNN_OK;
    return status ? drop(c, status) : FNN_OK;
}

static fnn_status plan(fnn_call *c) {
    fnn_status status = c->op->plan(c);
    return status ? drop(c, status) : FNN_OK;
}

fnn_status fnn_check_call(fnn_call *c) {
    FNN_TRY(plan(c));
    return inspect(c);
}

fnn_status fnn_run_planned(fnn_call *c) {
    FNN_TRY(inspect(c));
    return fnn_run_checked(c);
}

fnn_status fnn_run_call(fnn_call *c) {
    FNN_TRY(plan(c));
    return fnn_run_planned(c);
}

fnn_status fnn_run(const fnn_op *op, fnn_tensor *out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    fnn_call c;
    fnn_call_init(&c, op, out, op->n_out, in, n_in, attrs);
    return fnn_run_call(&c);
}
