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

/* Long work runs without the host's lock; the inputs' storages are pinned for as long. An op that runs inside another's
 * forward finds the lock released already. */
static fnn_status forward(fnn_call *c) {
    static _Thread_local bool released;
    if (!(c->work > FNN_RELEASE_WORK && fnn_host.release) || released) return c->op->forward(c);
    fnn_storage *pinned[FNN_MAX_IN];
    int n = c->n_in < FNN_MAX_IN ? c->n_in : 0; /* lists are short-lived arrays of the caller, pinned there */
    for (int i = 0; i < n; i++) {
        pinned[i] = c->in[i] ? c->in[i]->storage : NULL;
        if (pinned[i]) fnn_storage_ref(pinned[i]);
    }
    void *token = fnn_host.release();
    released = true;
    fnn_status status = c->op->forward(c);
    released = false;
    fnn_host.acquire(token);
    for (int i = 0; i < n; i++)
        if (pinned[i]) fnn_storage_unref(pinned[i]);
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
