/* Recording: an op call that goes on the tape; see graph.h.
 *
 * Invariant: a tensor gets a grad_fn only when grad mode is on, the op is differentiable and an input wants a gradient;
 * otherwise the call costs what fnn_run costs. In-place forms are inplace.c. */
#include <string.h>

#include "../core/pool.h"
#include "graph.h"

/* Which inputs want a gradient; gives whether any does. */
static bool wanted(const fnn_op *op, const fnn_tensor *const *in, int n_in, bool *need) {
    bool any = false;
    for (int i = 0; i < n_in; i++) {
        need[i] = in[i] && fnn_wants_grad(in[i]) && (i >= 8 || !(op->no_grad_in >> i & 1));
        any |= need[i];
    }
    return any;
}

static bool any_wanted(const fnn_op *op, const fnn_tensor *const *in, int n_in) {
    if (!fnn_mode.grad || (op->flags & FNN_F_NO_GRAD)) return false;
    for (int i = 0; i < n_in; i++)
        if (in[i] && in[i]->meta && fnn_wants_grad(in[i]) && (i >= 8 || !(op->no_grad_in >> i & 1))) return true;
    return false;
}

static fnn_status save(fnn_node *n, int place, const fnn_tensor *t) {
    fnn_saved *slot = &n->saved[n->n_saved];
    if (t->flags & FNN_T_INFERENCE)
        return fnn_fail(FNN_ERR_RUNTIME, "Inference tensors cannot be saved for backward. To work around you can make a clone to get "
                                         "a normal tensor and use it in autograd.");
    if (!t->storage) { /* a number on the caller's stack: keep its value */
        FNN_TRY(fnn_from_data(&slot->t, t->dtype, 0, NULL, t->data));
        slot->t.flags = t->flags;
    } else {
        fnn_tensor_ref_data(&slot->t, t);
    }
    slot->version = fnn_tensor_version(&slot->t);
    slot->place = place;
    n->n_saved++;
    return FNN_OK;
}

/* Bits of the inputs that the wanted gradients need. */
static unsigned kept_inputs(const fnn_op *op, int n_in, const bool *need) {
    unsigned keep = 0;
    for (int i = 0; i < n_in && !(op->flags & FNN_F_LIST); i++)
        if (need[i]) keep |= op->save_in[i];
    return keep;
}

static void keep_extra(fnn_node *n, fnn_call *c) {
    for (int i = 0; i < c->op->n_extra; i++) {
        if (!c->extra[i].data) continue;
        n->saved[n->n_saved++] = (fnn_saved){.t = c->extra[i], .place = c->n_in + c->n_out + i}; /* moved */
        fnn_tensor_clear(&c->extra[i]);
    }
}

/* Fills a fresh node: geometry, edges, saved tensors. `out`: the results, or in place what is going to be written. */
static fnn_status fill_node(fnn_node *n, fnn_call *c, const bool *need, unsigned keep, const fnn_tensor *out) {
    const fnn_op *op = c->op;
    if (op->grad_name_of) n->name = op->grad_name_of(c);
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i]) {
            n->in_geom[i].ndim = 255;
            continue;
        }
        n->in_geom[i] = fnn_geom_of(c->in[i]);
        if (!need[i]) continue;
        FNN_TRY(fnn_gradient_edge(c->in[i], &n->edges[i]));
    }
    for (int i = 0; keep >> i; i++)
        if ((keep >> i & 1) && i < c->n_in && c->in[i]) FNN_TRY(save(n, i, c->in[i]));
    for (int i = 0; i < c->n_out; i++) {
        n->out_geom[i] = fnn_geom_of(&out[i]);
        if (i < 8 && (op->save_out >> i & 1)) FNN_TRY(save(n, c->n_in + i, &out[i]));
    }
    keep_extra(n, c);
    fnn_node_stamp(n);
    return FNN_OK;
}

/* A filled node for a call. NULL: *status says why. */
static fnn_node *node_of(fnn_call *c, const bool *need, const fnn_tensor *out, fnn_status *status) {
    unsigned keep = kept_inputs(c->op, c->n_in, need);
    int n_saved = __builtin_popcount(keep) + __builtin_popcount(c->op->save_out) + c->op->n_extra;
    fnn_node *n = fnn_node_new(c->op, c->n_in, c->n_out, n_saved, c->attrs);
    *status = n ? fill_node(n, c, need, keep, out) : FNN_ERR_MEMORY;
    if (n && *status) {
        fnn_node_unref(n);
        n = NULL;
    }
    return n;
}

fnn_status fnn_record_view(fnn_tensor *out, const fnn_tensor *src, bool multiple) {
    if (src->flags & FNN_T_INFERENCE) return FNN_OK;
    if (!fnn_dtype_is_float(src->dtype)) {
        out->flags |= FNN_T_VIEW;
        return FNN_OK;
    }
    fnn_meta *base = fnn_meta_of((fnn_tensor *)src); /* the record is a cache on an otherwise untouched tensor */
    fnn_meta *meta = base ? fnn_meta_new(true) : NULL;
    if (!meta) return FNN_ERR_MEMORY;
    out->meta = meta;
    fnn_view *v = meta->view;
    if (base->view) {
        *v = *base->view;
    } else {
        v->base = base;
        v->base_geom = fnn_geom_of(src);
        for (int d = 0; d < FNN_MAX_DIMS; d++) v->base_stride[d] = src->stride[d];
        v->base_data = src->data;
    }
    fnn_meta_ref(v->base);
    v->former = false;
    v->seen = v->base->grad_fn;
    v->version = fnn_tensor_version(out);
    fnn_origin own = fnn_mode.inference ? FNN_VIEW_INFERENCE : !fnn_mode.grad ? FNN_VIEW_NO_GRAD : multiple ? FNN_VIEW_MULTIPLE : FNN_VIEW_TRACKED;
    v->origin = own == FNN_VIEW_TRACKED && base->view ? base->view->origin : own;
    return FNN_OK;
}

static bool has_history(const fnn_op *op, const fnn_tensor *out, int i) { return !(i < 8 && (op->no_grad_out >> i & 1)) && fnn_dtype_is_float(out[i].dtype); }

/* Makes n the outputs' grad_fn. The first of them takes the caller's reference over; *given says whether there is one. */
static fnn_status attach(fnn_node *n, const fnn_op *op, fnn_tensor *out, int n_out, bool *given) {
    *given = false;
    for (int i = 0; i < n_out; i++) {
        if (!has_history(op, out, i)) continue;
        fnn_meta *m = fnn_meta_of(&out[i]);
        if (!m) return FNN_ERR_MEMORY;
        if (*given) fnn_node_ref(n);
        *given = true;
        m->grad_fn = n;
        m->output_nr = (uint32_t)i;
    }
    return FNN_OK;
}

static fnn_status record(fnn_call *c) {
    bool any = false;
    for (int i = 0; i < c->n_out; i++) any |= has_history(c->op, c->out, i);
    if (!any) return FNN_OK; /* integers of a float: nobody asks where the float came from */
    bool few[FNN_MAX_IN], *need = few;
    fnn_tensor scratch = {0};
    if (c->n_in > FNN_MAX_IN) { /* a long list: flags in a pool block */
        FNN_TRY(fnn_empty(&scratch, FNN_BOOL, 1, &(int64_t){c->n_in}));
        need = (bool *)scratch.data;
    }
    wanted(c->op, c->in, c->n_in, need);
    fnn_status status;
    fnn_node *n = node_of(c, need, c->out, &status);
    bool given = true;
    if (n) status = attach(n, c->op, c->out, c->n_out, &given);
    if (!given) fnn_node_unref(n);
    if (scratch.data) fnn_tensor_unref(&scratch);
    return status;
}

fnn_status fnn_apply_op(const fnn_op *op, fnn_tensor *out, int n_out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    fnn_call c;
    fnn_call_init(&c, op, out, n_out, in, n_in, attrs);
    c.save = any_wanted(op, in, n_in);
    FNN_TRY(fnn_run_call(&c));
    fnn_status status = FNN_OK;
    if (fnn_mode.inference && !(op->flags & FNN_F_VIEW)) {
        for (int i = 0; i < n_out; i++) {
            out[i].flags |= FNN_T_INFERENCE;
            out[i].version = NULL;
        }
    } else {
        if (op->flags & FNN_F_VIEW)
            for (int i = 0; i < n_out && !status; i++) {
                out[i].flags |= in[0]->flags & FNN_T_INFERENCE;
                status = fnn_record_view(&out[i], in[0], op->flags & FNN_F_OUT_LIST);
            }
        if (c.save && !status) status = record(&c);
    }
    if (status)
        for (int i = 0; i < n_out; i++) fnn_tensor_unref(&out[i]);
    for (int i = 0; i < op->n_extra; i++)
        if (c.extra[i].storage) fnn_tensor_unref(&c.extra[i]);
    return status;
}

fnn_status fnn_apply(fnn_op_id id, fnn_tensor *out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    const fnn_op *op = fnn_op_get(id);
    return fnn_apply_op(op, out, op->n_out, in, n_in, attrs);
}

/* ---- in place ---- */

/* A write's record, made before it: afterwards nothing can fail. */
typedef struct write_record {
    fnn_node *node, *base; /* the write's own; the new history of the base where self is a view */
} write_record;

static void drop_record(write_record *r) {
    fnn_node_unref(r->node);
    fnn_node_unref(r->base);
}

/* The node saves a copy of what self holds, where a gradient needs that. Other inputs that look at self's memory are saved as
 * before the write, so that backward refuses them. */
static fnn_status keep_original(fnn_node *n, const fnn_tensor *self) {
    for (int i = 0; i < n->n_saved; i++) {
        fnn_saved *s = &n->saved[i];
        if (s->place != 0) continue;
        fnn_tensor original;
        FNN_TRY(fnn_empty(&original, self->dtype, self->ndim, self->shape));
        fnn_status status = fnn_copy_into(&original, self);
        if (status) {
            fnn_tensor_unref(&original);
            return status;
        }
        fnn_tensor_unref(&s->t);
        s->t = original;
        s->version = fnn_tensor_version(&original);
    }
    return FNN_OK;
}

static fnn_status prepare_record(fnn_call *c, fnn_tensor *self, write_record *r) {
    bool need[FNN_MAX_IN];
    wanted(c->op, c->in, c->n_in, need);
    fnn_status status;
    r->node = node_of(c, need, self, &status);
    if (!status) status = keep_original(r->node, self);
    if (!status) status = fnn_prepare_history(self, r->node, &r->base);
    return status;
}

/* The write has run: its results are saved, and self's history starts at it. */
static void finish_record(fnn_call *c, fnn_tensor *self, write_record *r) {
    keep_extra(r->node, c);
    for (int i = 0; i < r->node->n_saved; i++)
        if (r->node->saved[i].place == c->n_in) r->node->saved[i].version = fnn_tensor_version(self);
    fnn_start_history(self, r->node, r->base);
}

/* Runs the checked op into fresh memory and copies the result over self: for results of another dtype or layout. */
static fnn_status run_and_copy(fnn_call *c, fnn_tensor *self) {
    FNN_TRY(fnn_run_checked(c));
    fnn_tensor result = *c->out;
    bool to_integer = fnn_dtype_is_float(result.dtype) && !fnn_dtype_is_float(self->dtype);
    if (to_integer || (self->dtype == FNN_BOOL && result.dtype != FNN_BOOL)) {
        int dtype = result.dtype;
        fnn_tensor_unref(&result);
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: result type %s can't be cast to the desired output type %s", c->op->name,
                        fnn_dtype_name(dtype), fnn_dtype_name(self->dtype));
    }
    fnn_status status = FNN_OK;
    if (!fnn_same_shape(&result, self))
        status = fnn_fail(FNN_ERR_RUNTIME, "%s_: output with shape %s doesn't match the broadcast shape %s", c->op->name,
                          fnn_shape_of(self), fnn_shape_of(&result));
    if (!status) status = fnn_copy_into(self, &result);
    fnn_tensor_unref(&result);
    return status;
}

/* Whatever may be refused is: nothing is written before. */
static fnn_status check_write(fnn_call *c, const fnn_tensor *self, int *apart) {
    c->inplace = c->op->flags & FNN_F_WRITES;
    FNN_TRY(c->op->plan(c));
    if (!c->inplace && !fnn_same_shape(c->out, self))
        return fnn_fail(FNN_ERR_RUNTIME, "%s_: output with shape %s doesn't match the broadcast shape %s", c->op->name,
                        fnn_shape_of(self), fnn_shape_of(c->out));
    FNN_TRY(fnn_check_overlap(c->op, self, c->in, c->n_in, apart));
    return c->op->inspect ? c->op->inspect(c) : FNN_OK;
}

static fnn_status run_write(fnn_call *c, fnn_tensor *self) {
    if (!c->inplace) {
        if (!(c->op->flags & FNN_F_ELEMENTWISE) || c->out->dtype != self->dtype) return run_and_copy(c, self);
        c->inplace = true;
        c->keep = self;
    }
    return fnn_run_checked(c);
}

/* The write with a copy of input i, which lies among the places written to. */
static fnn_status write_apart(const fnn_op *op, fnn_tensor *self, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs, int i) {
    const fnn_tensor *others[FNN_MAX_IN + 2];
    fnn_tensor copy;
    memcpy(others, in, sizeof *in * (size_t)n_in);
    FNN_TRY(fnn_apply_op(&fnn_op_CLONE, &copy, 1, &in[i], 1, NULL));
    others[i] = &copy;
    fnn_status status = fnn_apply_inplace_op(op, self, others, n_in, attrs);
    fnn_tensor_unref(&copy);
    return status;
}

/* Whether memory that stands for several elements of self may be written. torch lets indexed stores pass on the tape, too, and then
 * fails in backward. */
static bool may_repeat(const fnn_op *op, const fnn_tensor *self, const fnn_tensor *const *in, bool save) {
    if (op == &fnn_op_FILL_) return in[1]->flags & FNN_T_NUMBER;
    return !save && (op->flags & FNN_F_REPEATS || (op == &fnn_op_COPY_ && in[1] == self));
}

fnn_status fnn_apply_inplace_op(const fnn_op *op, fnn_tensor *self, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    bool save = any_wanted(op, in, n_in);
    FNN_TRY(fnn_check_inplace(op->name, self, save));
    if (!may_repeat(op, self, in, save)) FNN_TRY(fnn_check_repeats(op->name, self));
    fnn_tensor out;
    fnn_call c;
    fnn_call_init(&c, op, &out, 1, in, n_in, attrs);
    c.save = save;
    write_record record = {0};
    int apart;
    fnn_status status = check_write(&c, self, &apart);
    if (!status && apart) {
        for (int i = 0; i < op->n_extra; i++) fnn_tensor_unref(&c.extra[i]);
        return write_apart(op, self, in, n_in, attrs, apart);
    }
    if (!status && save) status = prepare_record(&c, self, &record);
    if (!status) status = run_write(&c, self);
    if (!status) {
        fnn_tensor_bump(self);
        if (save) finish_record(&c, self, &record);
    }
    if (save) drop_record(&record);
    for (int i = 0; i < op->n_extra; i++) fnn_tensor_unref(&c.extra[i]);
    return status;
}

fnn_status fnn_apply_inplace(fnn_op_id id, fnn_tensor *self, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    return fnn_apply_inplace_op(fnn_op_get(id), self, in, n_in, attrs);
}

/* ---- foreign nodes ---- */

fnn_status fnn_record_foreign(const fnn_foreign *foreign, void *object, const char *name, fnn_tensor *const *in, int n_in,
                              fnn_tensor *out, int n_out) {
    fnn_node *n = fnn_node_new(NULL, n_in, n_out, 0, NULL);
    if (!n) return FNN_ERR_MEMORY;
    n->name = name;
    fnn_status status = FNN_OK;
    for (int i = 0; i < n_in && !status; i++) {
        n->in_geom[i] = fnn_geom_of(in[i]);
        if (fnn_wants_grad(in[i])) status = fnn_gradient_edge(in[i], &n->edges[i]);
    }
    for (int i = 0; i < n_out; i++) n->out_geom[i] = fnn_geom_of(&out[i]);
    fnn_node_stamp(n);
    if (status) {
        fnn_node_unref(n);
        return status;
    }
    static const fnn_op nothing = {.name = "Function"};
    bool given;
    status = attach(n, &nothing, out, n_out, &given);
    if (!status) {
        n->foreign = foreign;
        n->object = object;
    }
    for (int i = 0; i < n_out && status && given; i++) { /* some outputs hold a node that will never run */
        if (!out[i].meta || out[i].meta->grad_fn != n) continue;
        out[i].meta->grad_fn = NULL;
        fnn_node_unref(n);
    }
    if (!given) fnn_node_unref(n);
    return status;
}
