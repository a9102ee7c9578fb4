/* What an op is: one descriptor, declared once at the end of its file.
 *
 * plan     looks at metadata only: checks, type promotion, output shapes, scratch size, estimated work.
 * inspect  (optional) reads inputs (token ids, probabilities), may fail, may fix data-dependent sizes.
 * forward  computes; after plan and inspect nothing can fail but memory, and nothing was written before.
 * backward takes output gradients (NULL: zero) and saved tensors, gives one owned gradient per wanted input.
 *
 * The call struct holds no Python object, so calls come from C, from the tape and from Python alike. The order of a call
 * is run.c; recording is graph/apply.c. Adding an op: a descriptor `const fnn_op fnn_op_<NAME>` plus a line in ops.def.
 *
 * Read next: run.c, then pointwise.c as the simplest family. */
#ifndef FNN_OPS_OP_H
#define FNN_OPS_OP_H

#include "../core/tensor.h"

#define FNN_MAX_IN 8     /* inputs of an op with a fixed number of them */
#define FNN_MAX_EXTRA 4  /* tensors made only for backward (mean, rstd, gates) */

/* One call, as data. Everything lives on the caller's stack. */
typedef struct fnn_call {
    const fnn_op *op;
    int n_in, n_out;
    const fnn_tensor *const *in; /* borrowed; NULL where an optional input is absent */
    const fnn_attrs *attrs;
    fnn_tensor *out;             /* plan: dtype, shape, stride. Then allocated, unless the op is a view or runs in place */
    fnn_tensor extra[FNN_MAX_EXTRA]; /* plan: geometry; allocated only if `save` */
    bool save;                   /* a gradient is wanted: fill the extras */
    bool inplace;                /* out[0] is not allocated: it is `keep`'s memory, or nothing (FNN_F_WRITES) */
    const fnn_tensor *keep;      /* in place: the tensor written; its data and strides become out[0]'s after plan */
    size_t scratch_bytes;        /* plan */
    char *scratch;               /* 64-byte aligned, valid during forward */
    double work;                 /* plan: estimated nanoseconds on one thread; decides threads and the GIL */
} fnn_call;

/* The shape and dtype of an input or output, as a node remembers it. */
typedef struct fnn_geom {
    int64_t shape[FNN_MAX_DIMS];
    uint8_t ndim, dtype;
} fnn_geom;

/* One backward call. All gradients that come in are of the output's shape and dtype, any strides. */
typedef struct fnn_backcall {
    const fnn_op *op;
    int n_in, n_out;
    const fnn_attrs *attrs;
    const fnn_tensor *const *dy;  /* n_out; NULL: zero */
    const fnn_tensor *in;         /* n_in saved inputs; data NULL where not saved (geometry: in_geom) */
    const fnn_tensor *out;        /* n_out saved outputs; data NULL where not saved */
    const fnn_tensor *extra;      /* saved extras */
    const fnn_geom *in_geom;      /* n_in; ndim 255 for an absent input */
    const fnn_geom *out_geom;     /* n_out */
    const bool *need;             /* n_in: wanted gradients */
    fnn_tensor *dx;               /* n_in: to be filled with owned tensors of the input's shape and dtype where wanted;
                                     left zeroed: the gradient is zero. May be a view of dy. */
} fnn_backcall;

enum {
    FNN_F_VIEW = 1,      /* out[0] is a view of in[0]: plan also sets out[0].data */
    FNN_F_LIST = 2,      /* in[] is a list of any length (cat, stack) */
    FNN_F_RANDOM = 4,    /* draws from a generator */
    FNN_F_NO_GRAD = 8,   /* outputs never want a gradient (comparisons, argmax) */
    FNN_F_OUT_LIST = 16, /* any number of outputs (split, unbind): the caller asks plan through count_out */
    FNN_F_WRITES = 32,   /* only exists in place: writes in[0] (copy_, fill_, index_put_); plan leaves out[] alone */
    FNN_F_ELEMENTWISE = 64, /* element i of the output depends on elements i of the inputs: safe exactly in place */
    FNN_F_PLACES = 128,  /* reads or writes at places that in[] names: no input may share the written memory (or out=), not even all of it */
    FNN_F_NUMBER = 256,  /* the last input (mostly one number) is read before anything is written: it may lie over what is */
    FNN_F_SCAN = 1024,   /* reads on where it has written: out= may lie over the whole of an operand, not over a part */
    FNN_F_REPEATS = 512, /* in place it may write memory that stands for several elements: the same to each, or in their order */
};

struct fnn_op {
    const char *name;       /* torch's name */
    const char *grad_name;  /* what grad_fn shows: "AddBackward0" */
    const char *(*grad_name_of)(const fnn_call *c); /* optional: where that depends on the call (grad_names.c) */
    int8_t n_in, n_out;     /* fixed numbers; inputs of FNN_F_LIST: -1 */
    int8_t n_extra;
    uint16_t flags;
    uint8_t optional_in;    /* bit i: input i may be absent */
    uint8_t no_grad_in;     /* bit i: input i never gets a gradient (indices, masks) */
    uint8_t no_grad_out;    /* bit i: output i carries no gradient (indices of max) */
    uint8_t save_in[FNN_MAX_IN]; /* save_in[i]: bits of the inputs that the gradient of input i needs */
    uint8_t save_out;       /* bits of the outputs that backward needs */
    int16_t loop;           /* pointwise ops: which elementwise loop (kernels/loops.def) */
    fnn_status (*plan)(fnn_call *c);
    fnn_status (*inspect)(fnn_call *c);
    fnn_status (*forward)(fnn_call *c);
    fnn_status (*backward)(fnn_backcall *b);
    /* Optional: adds the gradient of input 0 into `acc` (contiguous or dense, of the input's shape, owned by the tape
     * alone) instead of making a tensor full of zeros: for select, slice, index. */
    fnn_status (*backward_into)(fnn_backcall *b, fnn_tensor *acc);
};

/* ---- running without a tape (run.c) ---- */
/* A call that has not been planned, with out[] and extra[] cleared. */
static inline void fnn_call_init(fnn_call *c, const fnn_op *op, fnn_tensor *out, int n_out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs) {
    c->op = op;
    c->n_in = n_in;
    c->n_out = n_out;
    c->in = in;
    c->attrs = attrs;
    c->out = out;
    c->save = c->inplace = false;
    c->keep = NULL;
    c->scratch_bytes = 0;
    c->scratch = NULL;
    c->work = 0;
    for (int i = 0; i < n_out; i++) fnn_tensor_clear(&out[i]);
    for (int i = 0; i < op->n_extra; i++) fnn_tensor_clear(&c->extra[i]);
}
fnn_status fnn_run_call(fnn_call *c);     /* plan and the rest; out[] cleared again on failure */
fnn_status fnn_run_planned(fnn_call *c);  /* inspect, allocate, forward: what follows a plan */
/* The two halves of fnn_run_call, for a caller with memory of its own: plan and inspect, which write nothing; allocate and
 * forward. Between them it may point out[] (and say `inplace`) and extra[] at its memory, of the planned geometry. */
fnn_status fnn_check_call(fnn_call *c);
fnn_status fnn_run_checked(fnn_call *c);
fnn_status fnn_run(const fnn_op *op, fnn_tensor *out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs);

/* The op's backward, or backward_into(acc) where acc is given: without the host's lock where there is much to do, so all that the
 * call reads is the caller's own or pinned. */
fnn_status fnn_run_backward(fnn_backcall *b, fnn_tensor *acc);

/* Set by the host language: called around long work. */
typedef struct fnn_host_hooks {
    void *(*release)(void); /* lets other threads of the host run */
    void (*acquire)(void *token);
} fnn_host_hooks;
extern fnn_host_hooks fnn_host;
/* Lets other threads of the host run until fnn_acquire_host(token). False, and nothing to acquire: there is no host, or the calling
 * thread keeps its lock or has let it go already. What is read meanwhile must be the caller's own or pinned. */
bool fnn_release_host(void **token);
void fnn_acquire_host(void *token);
/* While on, the calling thread's ops keep the host's lock, however long they take: for memory that another thread could drop. Gives
 * what held before. */
bool fnn_keep_host(bool on);
#define FNN_RELEASE_WORK 5000.0   /* ns: below this, releasing the GIL costs more than it gives */
#define FNN_RELEASE_ELEMENTS 8192 /* where no estimate of the time is at hand: about as long */

#define FNN_OP(name) extern const fnn_op fnn_op_##name;
#include "ops.def"
#undef FNN_OP

/* Propagates a failure. */
#define FNN_TRY(expr)                     \
    do {                                  \
        fnn_status fnn_try_ = (expr);     \
        if (fnn_try_) return fnn_try_;    \
    } while (0)

/* Runs `body` with `real` a type name and `k` the kernels of it. The body is a block of statements. */
#define FNN_REAL(dt, body_f32, body_f64) \
    do {                                 \
        if ((dt) == FNN_F32)             \
            body_f32;                    \
        else                             \
            body_f64;                    \
    } while (0)

/* ---- helpers for plans and backwards (util.c) ---- */
/* Names of ops for C callers inside ops/: run without tape, out is owned by the caller. */
fnn_status fnn_run1(const fnn_op *op, fnn_tensor *out, const fnn_tensor *a, const fnn_attrs *attrs);
fnn_status fnn_run2(const fnn_op *op, fnn_tensor *out, const fnn_tensor *a, const fnn_tensor *b);
/* Whether t is rows that lie evenly apart (`*apart` elements), each one contiguous block of the dimensions from `from` on. */
bool fnn_even_rows(const fnn_tensor *t, int from, int64_t *apart);
/* A contiguous version of t: t itself counted when it is contiguous already, else a copy. */
fnn_status fnn_contiguous(fnn_tensor *out, const fnn_tensor *t);
/* dst <- src: same shape or broadcast, dtype conversion. dst must not overlap itself. */
fnn_status fnn_copy_into(const fnn_tensor *dst, const fnn_tensor *src);
fnn_status fnn_fill_zero(const fnn_tensor *dst);
/* dst += src, same shape and dtype. */
fnn_status fnn_add_into(const fnn_tensor *dst, const fnn_tensor *src);
/* Owned t' of shape/dtype `g`: t summed over the dimensions that broadcasting added, cast back; t itself where equal. */
fnn_status fnn_sum_to(fnn_tensor *out, const fnn_tensor *t, const fnn_geom *g);
/* t cast to dtype: counted t when equal. */
fnn_status fnn_cast(fnn_tensor *out, const fnn_tensor *t, int dtype);
/* Both: contiguous elements of dtype, counted or a copy. Of FNN_BOOL: t != 0 as bytes of 0 and 1. */
fnn_status fnn_contiguous_as(fnn_tensor *out, const fnn_tensor *t, int dtype);
fnn_status fnn_zeros(fnn_tensor *out, const fnn_geom *g);
fnn_geom fnn_geom_of(const fnn_tensor *t);
/* Wraps a negative dimension; fails with torch's IndexError. ndim 0 counts as one dimension. */
fnn_status fnn_wrap_dim(const char *op, int64_t *dim, int ndim);
/* The broadcast shape of n tensors (NULLs skipped) into out's shape; sets contiguous strides. */
fnn_status fnn_broadcast(const char *op, fnn_tensor *out, const fnn_tensor *const *in, int n);
/* Type promotion over n tensors as torch's result_type: categories, then dimension, then number. */
extern int fnn_default_dtype; /* of floats made from nothing: set_default_dtype */
int fnn_promote(const fnn_tensor *const *in, int n);
/* out, whose shape is known, gets the layout of torch's elementwise rule: dense, its dimensions in the order in which the first input
 * that tells two of them apart has them. NULL inputs are passed over. */
void fnn_keep_layout(fnn_tensor *out, const fnn_tensor *const *in, int n);
/* Whether in can take the shape `want` without a copy; *status fails when the sizes do not fit at all. (view.c) */
bool fnn_can_view(const fnn_tensor *in, const fnn_ints *want, fnn_status *status);
fnn_status fnn_want_float(const char *op, const char *arg, const fnn_tensor *t);
/* Fails where one number (0-dimensional) has no counterpart in the dtype; floats are cut to integers, anything is true or false. */
fnn_status fnn_want_fit(const char *op, const fnn_tensor *value, int dtype);
fnn_status fnn_want_same_dtype(const char *op, const char *arg, const fnn_tensor *t, int dtype);

#endif
