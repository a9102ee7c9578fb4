/* Optimizer steps over many tensors at once: Adam, AdamW, SGD. Declared in fastnn.h.
 *
 * Not ops: they write their inputs, outside the tape. All checks and all memory come first, so that a failing call has written
 * nothing. Invariant: the order of operations per element is that of torch.optim's per-tensor loop (kernels/optim.h); every
 * element by itself, so neither chunks nor strides change a bit. SGD's bits are torch's; Adam's too, up to torch's square root,
 * which is a rounding step off in 7 of 1000 elements where ours is exact.
 * It does not: draw, clip or unscale; skip parameters without a gradient (the caller leaves them out of the lists). */
#include <math.h>
#include <string.h>

#include "core/pool.h"
#include "optim.h"
#include "rows.h"

enum { PARAM, FIRST, SECOND, LARGEST, GRAD, SLOTS = FNN_STEP_SLOTS }; /* FIRST: exp_avg or momentum buffer */
enum { WRITTEN = GRAD };                             /* the slots before it are written */

/* Tensors that do not lie in memory alike: their contiguous copies, and where the results go. */
typedef struct strided {
    fnn_tensor home[SLOTS], flat[SLOTS];
} strided;

typedef struct item {
    char *at[SLOTS];             /* flat memory; NULL where the slot is not used */
    fnn_storage *pinned[SLOTS];  /* counted where the host's lock is released: other threads may drop the tensors meanwhile */
    strided *copies;             /* NULL if the tensors lie alike without gaps */
    int64_t numel;
    int dtype;
    union {
        fnn_adam_numbers adam;
        fnn_sgd_numbers sgd;
    };
} item;

typedef struct piece {
    int64_t item, first; /* elements first .. first + FNN_CHUNK of an item */
} piece;

typedef fnn_step update;
typedef fnn_tensor_list tensor_list;

/* ---- checks ---- */

static fnn_status check(const char *op, const char *name, int64_t i, const fnn_tensor *t, const fnn_tensor *p, bool written) {
    if (!t || !t->storage) return fnn_fail(FNN_ERR_RUNTIME, "%s: %s[%lld] is missing, expected a tensor", op, name, (long long)i);
    if (!fnn_dtype_is_float(t->dtype) || t->dtype != p->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: %s[%lld] has dtype %s, expected %s", op, name, (long long)i, fnn_dtype_name(t->dtype),
                        fnn_dtype_is_float(p->dtype) ? fnn_dtype_name(p->dtype) : "a floating point dtype");
    if (!fnn_same_shape(t, p))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: %s[%lld] has shape %s, expected %s to match params[%lld]", op, name, (long long)i, fnn_shape_of(t), fnn_shape_of(p), (long long)i);
    if (!written) return FNN_OK;
    if (t->storage->readonly)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: %s[%lld] shares read-only memory and may not be written; clone() it first", op, name, (long long)i);
    if (t->numel && fnn_has_overlap(t))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: unsupported operation: more than one element of %s[%lld] refers to a single memory location. Please clone() it first", op, name, (long long)i);
    return FNN_OK;
}

static fnn_status check_lists(const char *op, int64_t n, const tensor_list *list, const char *const *names) {
    for (int64_t i = 0; i < n; i++)
        for (int s = 0; s < SLOTS; s++)
            if (list[s]) FNN_TRY(check(op, names[s], i, list[s][i], list[PARAM][i], s < WRITTEN));
    return FNN_OK;
}

/* ---- preparing ---- */

static bool lie_alike(const fnn_tensor *a, const fnn_tensor *b) {
    if (a->contiguous && b->contiguous) return true;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return fnn_is_dense(a);
}

/* Contiguous copies of an item's tensors, where they are not contiguous themselves. */
static fnn_status copy_in(item *it, const fnn_tensor *const *slot) {
    strided *c = it->copies = fnn_pool_alloc(sizeof *c);
    if (!c) return fnn_fail(FNN_ERR_MEMORY, "optimizer step: out of memory for %zu bytes", sizeof *c);
    memset(c, 0, sizeof *c);
    for (int s = 0; s < SLOTS; s++) {
        if (!slot[s]) continue;
        fnn_tensor_ref_data(&c->home[s], slot[s]);
        FNN_TRY(fnn_contiguous(&c->flat[s], slot[s]));
        it->at[s] = c->flat[s].data;
    }
    return FNN_OK;
}

static fnn_status prepare_item(item *it, const fnn_tensor *const *slot, bool pin) {
    bool alike = true;
    it->numel = slot[PARAM]->numel;
    it->dtype = slot[PARAM]->dtype;
    for (int s = 0; s < SLOTS; s++) {
        if (!slot[s]) continue;
        alike = alike && lie_alike(slot[PARAM], slot[s]);
        it->at[s] = slot[s]->data;
        if (!pin) continue;
        it->pinned[s] = slot[s]->storage;
        fnn_storage_ref(it->pinned[s]);
    }
    return alike ? FNN_OK : copy_in(it, slot);
}

/* Brings the results home and lets everything go. */
static void finish(update *u, bool ran) {
    for (int64_t i = 0; i < u->n; i++) {
        item *it = &u->items[i];
        strided *c = it->copies;
        for (int s = 0; s < SLOTS; s++) {
            if (c && ran && s < WRITTEN && it->at[s] && c->flat[s].data != c->home[s].data) fnn_copy_into(&c->home[s], &c->flat[s]);
            if (c) {
                fnn_tensor_unref(&c->flat[s]);
                fnn_tensor_unref(&c->home[s]);
            }
            if (it->pinned[s]) fnn_storage_unref(it->pinned[s]);
        }
        if (c) fnn_pool_free(c, sizeof *c);
    }
    fnn_pool_free(u->items, u->bytes);
}

static fnn_status prepare(const char *op, update *u, bool pin) {
    const tensor_list *list = u->list;
    int64_t elements = u->pieces = 0;
    for (int64_t i = 0; i < u->n; i++) {
        elements += list[PARAM][i]->numel;
        u->pieces += fnn_chunks(list[PARAM][i]->numel, FNN_CHUNK);
    }
    u->work = (u->adam ? 0.8 : 0.3) * (double)elements;
    u->release = u->work > FNN_RELEASE_WORK && fnn_host.release;
    u->bytes = (size_t)u->n * sizeof *u->items + (size_t)u->pieces * sizeof *u->piece;
    u->items = fnn_pool_alloc(u->bytes);
    if (!u->items) return fnn_fail(FNN_ERR_MEMORY, "%s: out of memory for %zu bytes", op, u->bytes);
    memset(u->items, 0, (size_t)u->n * sizeof *u->items);
    u->piece = (piece *)(u->items + u->n);
    fnn_status status = FNN_OK;
    piece *next = u->piece;
    bool before = fnn_keep_host(true); /* copies of strided memory must not let another thread drop what comes later in the lists */
    for (int64_t i = 0; i < u->n && !status; i++) {
        const fnn_tensor *slot[SLOTS];
        for (int s = 0; s < SLOTS; s++) slot[s] = list[s] ? list[s][i] : NULL;
        status = prepare_item(&u->items[i], slot, pin || u->release);
        for (int64_t first = 0; first < slot[PARAM]->numel; first += FNN_CHUNK) *next++ = (piece){i, first};
    }
    fnn_keep_host(before);
    if (status) finish(u, false);
    return status;
}

/* ---- running ---- */

static void run_piece(void *ctx, int64_t k) {
    const update *u = ctx;
    const piece *p = &u->piece[u->from_end ? u->pieces - 1 - k : k];
    const item *it = &u->items[p->item];
    int64_t n = it->numel - p->first < FNN_CHUNK ? it->numel - p->first : FNN_CHUNK, at = p->first * fnn_itemsize[it->dtype];
    void *slot[SLOTS];
    for (int s = 0; s < SLOTS; s++) slot[s] = it->at[s] ? it->at[s] + at : NULL;
    if (u->adam)
        FNN_KERNEL_OF(it->dtype, adam_step, slot[PARAM], slot[FIRST], slot[SECOND], slot[LARGEST], slot[GRAD], n, &it->adam);
    else
        FNN_KERNEL_OF(it->dtype, sgd_step, slot[PARAM], slot[FIRST], slot[GRAD], n, &it->sgd);
}

void fnn_step_run(fnn_step *u) {
    void *token = u->release ? fnn_host.release() : NULL;
    fnn_parallel(u->pieces, u->work, run_piece, u);
    if (u->release) fnn_host.acquire(token);
    finish(u, true);
}

void fnn_step_drop(fnn_step *u) { finish(u, false); }

/* ---- Adam ---- */

static fnn_status check_steps(const char *op, int64_t n, tensor_list steps) {
    for (int64_t i = 0; i < n; i++)
        if (!steps[i]->storage || !fnn_dtype_is_float(steps[i]->dtype) || steps[i]->numel != 1 || steps[i]->storage->readonly)
            return fnn_fail(FNN_ERR_RUNTIME, "%s: steps[%lld] has dtype %s and shape %s, expected one writable float32 number", op, (long long)i,
                            fnn_dtype_name(steps[i]->dtype), fnn_shape_of(steps[i]));
    return FNN_OK;
}

/* Counts a step in the tensor's own precision, as torch does. */
static double count_step(const fnn_tensor *step) {
    fnn_tensor_bump(step);
    if (step->dtype == FNN_F32) return (double)(*(float *)step->data += 1);
    return *(double *)step->data += 1;
}

/* Python's arithmetic: all in double, powers by C's pow. */
static fnn_adam_numbers adam_numbers(const fnn_adam_options *o, double step) {
    double correction1 = 1 - pow(o->beta1, step), correction2 = 1 - pow(o->beta2, step);
    return (fnn_adam_numbers){.lr = o->lr, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .weight_decay = o->weight_decay,
                              .step_size = o->lr / correction1, .bias_correction2_sqrt = pow(correction2, 0.5), .decoupled = o->decoupled,
                              .maximize = o->maximize};
}

/* Parameters that started together share their numbers. */
static void count_steps(update *u) {
    double counted = NAN;
    fnn_adam_numbers numbers = {0};
    for (int64_t i = 0; i < u->n; i++) {
        double step = count_step(u->steps[i]);
        if (step != counted) numbers = adam_numbers(&u->adam_options, counted = step);
        u->items[i].adam = numbers;
    }
    u->from_end = fmod(counted, 2) == 1 && fnn_get_num_threads() == 1; /* several keep each its own pieces in its own cache */
}

void fnn_step_begin(fnn_step *u) {
    if (u->adam) count_steps(u);
    for (int64_t i = 0; i < u->n; i++)
        for (int s = 0; s < WRITTEN; s++)
            if (u->list[s]) fnn_tensor_bump(u->list[s][i]);
}

static fnn_status begin_and_run(update *u) {
    fnn_step_begin(u);
    fnn_step_run(u);
    return FNN_OK;
}

fnn_status fnn_adam_prepare(fnn_step *u, int64_t n, tensor_list params, tensor_list grads, tensor_list exp_avgs, tensor_list exp_avg_sqs,
                            tensor_list max_exp_avg_sqs, tensor_list steps, const fnn_adam_options *options, bool pin) {
    static const char *const names[SLOTS] = {"params", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "grads"};
    *u = (fnn_step){.adam = true, .n = n, .list = {params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, grads}, .steps = steps, .adam_options = *options};
    FNN_TRY(check_lists("adam_step", n, u->list, names));
    FNN_TRY(check_steps("adam_step", n, steps));
    return prepare("adam_step", u, pin);
}

fnn_status fnn_adam_step(int64_t n, tensor_list params, tensor_list grads, tensor_list exp_avgs, tensor_list exp_avg_sqs,
                         tensor_list max_exp_avg_sqs, tensor_list steps, const fnn_adam_options *options) {
    update u;
    FNN_TRY(fnn_adam_prepare(&u, n, params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, options, false));
    return begin_and_run(&u);
}

/* ---- SGD ---- */

fnn_status fnn_sgd_prepare(fnn_step *u, int64_t n, tensor_list params, tensor_list grads, tensor_list buffers, const bool *first,
                           const fnn_sgd_options *o, bool pin) {
    static const char *const names[SLOTS] = {"params", "buffers", "", "", "grads"};
    *u = (fnn_step){.n = n, .list = {params, buffers, NULL, NULL, grads}};
    FNN_TRY(check_lists("sgd_step", n, u->list, names));
    FNN_TRY(prepare("sgd_step", u, pin));
    for (int64_t i = 0; i < n; i++)
        u->items[i].sgd = (fnn_sgd_numbers){.lr = o->lr, .momentum = o->momentum, .dampening = o->dampening, .weight_decay = o->weight_decay,
                                            .nesterov = o->nesterov, .maximize = o->maximize, .first = first && first[i]};
    return FNN_OK;
}

fnn_status fnn_sgd_step(int64_t n, tensor_list params, tensor_list grads, tensor_list buffers, const bool *first, const fnn_sgd_options *options) {
    update u;
    FNN_TRY(fnn_sgd_prepare(&u, n, params, grads, buffers, first, options, false));
    return begin_and_run(&u);
}
