/* What the files of fastnn.kernels share: a pair, the record of a call, arrays to write into.
 *
 * A pair is one op of the library as two functions on NumPy arrays. kernels.c makes pairs and runs forward, kernels_record.c
 * keeps what backward must know of it, kernels_back.c runs backward, kernels_array.c reads arrays and writes results,
 * kernels_step.c steps optimizers.
 * Invariant: nothing is believed of what comes back from the caller: arrays are checked against the record before a kernel
 * reads them, and a record is made by forward alone (one from a pickle is checked). Nothing is written before all checks
 * have passed; no array handed out shares memory with one that came in. It does not: know any op, convert dtypes.
 * Read next: kernels.c. */
#ifndef FNN_PY_KERNELS_H
#define FNN_PY_KERNELS_H

#include "args.h"
#include "ops/op.h"

#define FNN_ABSENT 255 /* ndim of an input or extra that was not there */

/* What backward has to know of its forward call; a Python object, opaque and immutable. */
typedef struct fnn_record {
    PyObject_VAR_HEAD     /* the number of geometries */
    const fnn_op *op;
    fnn_attrs attrs;
    uint8_t contiguous;   /* bit i: output i was, so backward may count on it */
    fnn_geom geom[];      /* of inputs, outputs, extras */
} fnn_record;
static inline const fnn_geom *fnn_record_in(const fnn_record *r) { return r->geom; }
static inline const fnn_geom *fnn_record_out(const fnn_record *r) { return r->geom + r->op->n_in; }
static inline const fnn_geom *fnn_record_extra(const fnn_record *r) { return r->geom + r->op->n_in + r->op->n_out; }

typedef struct fnn_pair {
    PyObject_HEAD
    const fnn_op *op;
    PyTypeObject *saved;          /* the named tuple of what backward reads, the record last */
    PyObject *names;              /* str: "layer_norm", "layer_norm_backward"; both pointers below lead into it */
    const char *forward, *backward;
    PyObject *inputs, *values, *fields; /* tuples of str: arguments, attributes, fields of saved */
    uint8_t accepts[FNN_MAX_IN];  /* dtypes of each input, as bits; 0: plan looks at it */
    const char *kinds;            /* of the attributes: see read_attrs; leads into kinds_object */
    PyObject *kinds_object;
    int n_values, n_given;        /* attributes; outputs that the caller sees, the first ones */
    unsigned kept, wanted;        /* bits of the inputs in saved; of the inputs whose gradients are given */
} fnn_pair;

/* ---- kernels_record.c ---- */
extern PyTypeObject *fnn_RecordType;
const fnn_op *fnn_pair_op(const char *name); /* NULL and an exception where it has no pair */
PyObject *fnn_record_of(const fnn_call *c);
int fnn_init_kernel_records(PyObject *module);

/* ---- kernels_array.c. All give 0, or -1 with an exception that starts with `function` ---- */
/* Borrows `o`, which must be an array of a dtype in `accepts` (bits; 0: any the library has). */
int fnn_read_array(const char *function, const char *what, PyObject *o, unsigned accepts, fnn_borrowed *b);

/* An array that a call writes: the caller's (out=) or a fresh one. Zeroed: none. */
typedef struct fnn_target {
    fnn_borrowed b;
    PyObject *given; /* the caller's, borrowed: b.array, or what it is a copy of; NULL: fresh */
} fnn_target;
/* What stands in `out` for each of n results: None (nothing), an array (n = 1), or a tuple of n arrays and None. */
int fnn_split_out(const char *function, PyObject *out, int n, PyObject **given);
/* given[i] as a target of `like`'s shape and dtype. n names it: "out" for n = 1, else "out[i]". */
int fnn_read_target(const char *function, int i, int n, PyObject *given, const fnn_tensor *like, fnn_target *target);
/* No element of the target lies in `b`, which `other` names. */
int fnn_check_apart(const char *function, int i, int n, const fnn_target *target, const char *other, const fnn_borrowed *b);
/* The array itself, the values brought home (new reference). The target is done with. */
PyObject *fnn_finish_target(fnn_target *target);
static inline void fnn_drop_target(fnn_target *target) { fnn_give_back(&target->b); }

/* ---- kernels_back.c, kernels_step.c ---- */
PyObject *fnn_pair_backward(PyObject *self, PyObject *const *args, Py_ssize_t n);
int fnn_init_kernel_steps(PyObject *module);

#endif
