/* fastnn: the public C interface.
 *
 * Enough to build, train and sample a small network from C without Python: tensors, one generic op call, the tape's
 * backward, random streams. tests/c/ holds such a program.
 *
 * Invariants: a function that can fail returns fnn_status and leaves its outputs untouched when it fails; the message is
 * kept per thread (fnn_error_message). Sizes and strides count elements, never bytes. A fnn_tensor is a value: copying the
 * struct does not count; fnn_tensor_ref / fnn_tensor_unref do.
 *
 * Read next: core/tensor.h (storage, views), ops/op.h (what an op is), graph/graph.h (the tape). */
#ifndef FASTNN_H
#define FASTNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cpu.h" /* fnn_kernels_init: once, before the first op */
#include "core/dtype.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FNN_MAX_DIMS 8   /* dimensions of a tensor */
#define FNN_MAX_ATTRS 10 /* numbers among an op's attributes */
#define FNN_MAX_LISTS 2  /* integer lists among an op's attributes */
#define FNN_MAX_OUT 4    /* outputs of an op with a fixed number of them */



typedef struct fnn_storage fnn_storage; /* counted memory: core/tensor.h */
typedef struct fnn_version fnn_version; /* counts in-place writes */
typedef struct fnn_meta fnn_meta;       /* autograd's knowledge of a tensor: graph/graph.h */
typedef struct fnn_node fnn_node;       /* one recorded op */

/* A strided view of a storage. Zero-initialised means "no tensor" (storage NULL, data NULL). */
typedef struct fnn_tensor {
    char *data;             /* the view's first element */
    fnn_storage *storage;   /* owner: counted; NULL for a number wrapped on the caller's stack */
    fnn_version *version;   /* shared by views and detach(); lives in the storage unless .data split it off */
    fnn_meta *meta;         /* owner: counted; NULL while the tensor has taken no part in autograd */
    int64_t numel;
    int64_t shape[FNN_MAX_DIMS];
    int64_t stride[FNN_MAX_DIMS]; /* in elements; may be 0 (expanded), never negative */
    uint8_t dtype;                /* fnn_dtype */
    uint8_t ndim;
    uint8_t contiguous;           /* row-major without gaps; kept up to date by fnn_tensor_set_geometry */
    uint8_t flags;                /* FNN_T_* */
} fnn_tensor;

enum {
    FNN_T_NUMBER = 1,       /* a Python-like number: takes part in type promotion by category only */
    FNN_T_INFERENCE = 2,    /* made under inference mode: has no version counter, may not enter a graph */
    FNN_T_VIEW = 4,         /* a view of integers: autograd keeps no record of those */
};

/* A number or a flag of an op; which member counts is the op's business (its header comment says so). */
typedef union fnn_value {
    int64_t i;
    double f;
    void *p;
} fnn_value;

#define FNN_NONE INT64_MIN /* an absent optional integer attribute */

typedef struct fnn_ints {
    int64_t n; /* -1: absent */
    int64_t v[FNN_MAX_DIMS];
} fnn_ints;

typedef struct fnn_attrs {
    fnn_value v[FNN_MAX_ATTRS];
    fnn_ints list[FNN_MAX_LISTS];
} fnn_attrs;

/* ---- ops ------------------------------------------------------------------------------------------------------- */

/* One enumerator per op: FNN_OP_ADD, FNN_OP_MATMUL, ... in the order of ops/ops.def. */
typedef enum fnn_op_id {
#define FNN_OP(name) FNN_OP_##name,
#include "ops/ops.def"
#undef FNN_OP
    FNN_NOPS
} fnn_op_id;

typedef struct fnn_op fnn_op;
const fnn_op *fnn_op_get(fnn_op_id id);
const char *fnn_op_name(fnn_op_id id);

/* Calls an op and records it on the tape when an input wants a gradient and grad mode is on.
 *   out      n_out tensors, overwritten with owned results
 *   in       n_in inputs; NULL for an absent optional one
 *   attrs    numbers and lists as the op's comment says; NULL when it has none */
fnn_status fnn_apply(fnn_op_id id, fnn_tensor *out, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs);

/* The same, writing the result into in[0] (torch's trailing-underscore forms). */
fnn_status fnn_apply_inplace(fnn_op_id id, fnn_tensor *self, const fnn_tensor *const *in, int n_in, const fnn_attrs *attrs);

/* ---- tensors --------------------------------------------------------------------------------------------------- */

size_t fnn_dtype_size(fnn_dtype dtype);
const char *fnn_dtype_name(fnn_dtype dtype); /* "float32", ... */

/* A fresh contiguous tensor with undefined values. */
fnn_status fnn_empty(fnn_tensor *out, fnn_dtype dtype, int ndim, const int64_t *shape);
/* A fresh contiguous tensor with the values at `data` (row-major, of the same dtype). */
fnn_status fnn_from_data(fnn_tensor *out, fnn_dtype dtype, int ndim, const int64_t *shape, const void *data);
/* A scalar on the caller's stack that takes part in type promotion like a Python number; `*slot` must outlive it. */
fnn_tensor fnn_number_f64(double *slot);
fnn_tensor fnn_number_i64(int64_t *slot);

void fnn_tensor_ref(fnn_tensor *dst, const fnn_tensor *src);
void fnn_tensor_unref(fnn_tensor *t); /* releases and zeroes; harmless on a zeroed tensor */

/* ---- autograd -------------------------------------------------------------------------------------------------- */

fnn_status fnn_set_requires_grad(fnn_tensor *t, bool on); /* leaves of floating-point dtype only */
bool fnn_requires_grad(const fnn_tensor *t);
/* Back-propagates from `root` (0-d unless `seed` is given) into the .grad of all leaves. */
fnn_status fnn_backward(const fnn_tensor *root, const fnn_tensor *seed, bool retain_graph);
const fnn_tensor *fnn_grad(const fnn_tensor *t); /* borrowed; NULL if there is none */
void fnn_clear_grad(fnn_tensor *t);
bool fnn_grad_mode(void);
bool fnn_set_grad_mode(bool on); /* per thread; gives the previous mode */

/* ---- optimizers -------------------------------------------------------------------------------------------------- */

/* One step over n parameters, in place and outside the tape; gradients are read only. The lists hold n tensors each, those of
 * one index of the same shape and dtype (float32 or float64), any strides. A failing call has written nothing.
 * Adam: p -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps), with m, v the running means of g and g^2. */
typedef struct fnn_adam_options {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW: weight decay shrinks the parameter; else it joins the gradient */
    bool maximize;
} fnn_adam_options;
/* max_exp_avg_sqs: NULL, or AMSGrad's running maximum of v. steps: one number each, t - 1 before and t after the call. */
fnn_status fnn_adam_step(int64_t n, const fnn_tensor *const *params, const fnn_tensor *const *grads, const fnn_tensor *const *exp_avgs,
                         const fnn_tensor *const *exp_avg_sqs, const fnn_tensor *const *max_exp_avg_sqs, const fnn_tensor *const *steps,
                         const fnn_adam_options *options);

typedef struct fnn_sgd_options {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} fnn_sgd_options;
/* buffers: the momentum buffers, NULL without momentum. first[i]: buffer i holds nothing yet (NULL: none does so). */
fnn_status fnn_sgd_step(int64_t n, const fnn_tensor *const *params, const fnn_tensor *const *grads, const fnn_tensor *const *buffers,
                        const bool *first, const fnn_sgd_options *options);

#ifdef __cplusplus
}
#endif
#endif
