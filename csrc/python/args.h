/* Reading a fast call's arguments, for functions that are no ops: creation, random fills, conversions.
 *
 * Ops go through signature.h, which makes attributes out of a line of text. The functions here are few, return Python
 * objects by name and leave the conversion to the caller.
 *
 * Read next: args.c, then factory.c for a user. */
#ifndef FNN_PY_ARGS_H
#define FNN_PY_ARGS_H

#include "core/tensor.h"
#include "py.h"

/* Sorts a call's arguments into out[], one borrowed pointer (or NULL) per name. `names` ends with NULL; the entry "*"
 * takes no place in out[] and starts the names that are keyword-only. Unknown, repeated and surplus arguments raise
 * TypeError. 0 or -1. */
int fnn_sort_args(const char *function, const char *const *names, PyObject *const *args, Py_ssize_t n, PyObject *kwnames, PyObject **out);

/* The same for a call that may give sizes as `f(2, 3)` or as `f((2, 3))`: names[0] receives a tuple. When the sizes are
 * separate arguments they become a fresh tuple in *owned, to be released by the caller (NULL otherwise). */
int fnn_sort_size_args(const char *function, const char *const *names, PyObject *const *args, Py_ssize_t n, PyObject *kwnames,
                       PyObject **out, PyObject **owned);

/* Fewer than `wanted` of the leading arguments were given: raises torch's TypeError. */
int fnn_missing_arg(const char *function, const char *name);

/* An optional flag: NULL or None leave *value as it is. */
int fnn_opt_bool(const char *function, const char *name, PyObject *o, bool *value);
int fnn_opt_double(const char *function, const char *name, PyObject *o, double *value);
/* A tensor, or TypeError. */
const fnn_tensor *fnn_arg_tensor(const char *function, const char *name, PyObject *o);
/* rows: whether it is torch.contiguous_format. Whatever is no torch.memory_format is a TypeError. */
int fnn_as_memory_format(const char *function, PyObject *o, bool *rows);

/* What every creation function takes besides sizes and values. Missing ones are NULL. */
typedef struct fnn_options {
    int dtype; /* -1: not given */
    bool requires_grad;
    PyObject *out; /* the tensor to write, borrowed; NULL */
} fnn_options;
/* Checks device, layout, pin_memory as torch does and fills `options`. */
int fnn_read_options(const char *function, PyObject *dtype, PyObject *device, PyObject *layout, PyObject *pin_memory,
                     PyObject *requires_grad, PyObject *out, fnn_options *options);

/* ---- numpy.c: the one file that knows NumPy's C API ---- */
/* 1 and *slot filled if o is a NumPy scalar of a number type; 0 otherwise. Never imports NumPy. */
int fnn_numpy_number(PyObject *o, fnn_number_slot *slot);
/* o is a NumPy array. Never imports NumPy: without it in the process there are none. */
bool fnn_is_ndarray(PyObject *o);
/* o is a NumPy scalar (np.float32(1)); *dtype: its tensor dtype, -1 if there is none. */
bool fnn_is_numpy_scalar(PyObject *o, int *dtype);
/* The dtype a tensor made from the array has; -1 if there is none. */
int fnn_ndarray_dtype(PyObject *array);
int fnn_ndarray_shape(PyObject *array, int64_t *shape); /* its number of dimensions, or -1 when there are too many */
/* Copies any numeric array into a fresh tensor; dtype -1 keeps the array's, which must then be one of ours. */
int fnn_copy_ndarray(PyObject *array, int dtype, fnn_tensor *out);
/* The array itself, or a native copy of one that no tensor can share (negative strides, foreign byte order, odd address).
 * What is no array comes back as it is. */
PyObject *fnn_plain_array(PyObject *o);
PyObject *fnn_share_array(const fnn_tensor *t); /* an array over t's memory */

/* An array as a tensor for the length of one call: nothing is allocated. `t` must not outlive this struct. */
typedef struct fnn_borrowed {
    fnn_tensor t;
    fnn_storage storage; /* t's, on the caller's stack */
    PyObject *array;     /* whose memory t is: the given one, or a native copy where no tensor can be laid over it; owned */
} fnn_borrowed;
int fnn_borrow_array(PyObject *array, fnn_borrowed *b); /* 0, or -1 with an exception and b->array NULL */
static inline void fnn_give_back(fnn_borrowed *b) { Py_CLEAR(b->array); }
/* Other memory instead of an array's, under a tensor whose geometry is set. */
void fnn_borrow_memory(fnn_borrowed *b, void *data, size_t nbytes, bool readonly);
bool fnn_is_borrowed(const fnn_storage *s);
bool fnn_array_is_writable(PyObject *array);
void fnn_array_extent(PyObject *array, const char **lo, const char **hi); /* bytes [lo, hi) of a non-empty array */
/* Up to so many bytes NumPy's own memory is the quicker one (a pool block needs a capsule to own it); above, the pool's
 * aligned blocks, which are in use again and again. */
#define FNN_SMALL_ARRAY 4096
/* A fresh array of `like`'s dtype, shape and (dense) strides, borrowed. */
int fnn_new_array(const fnn_tensor *like, fnn_borrowed *b);
int fnn_copy_array(PyObject *dst, PyObject *src);         /* NumPy's copyto */
bool fnn_arrays_share(PyObject *a, PyObject *b);          /* an element in common; true also where that is too hard to say */
int fnn_init_numpy(PyObject *module);
int fnn_init_kernels(PyObject *module); /* kernels.c: ops on arrays, for fastnn.kernels */

/* ---- the other parts of the conversion room ---- */
int fnn_init_size(PyObject *module);      /* size.c */
int fnn_init_generator(PyObject *module); /* generator.c */
int fnn_init_construct(PyObject *module); /* construct.c: tensor, as_tensor, from_numpy, ... */
int fnn_init_dlpack(PyObject *module);    /* dlpack.c */
int fnn_init_pickle(PyObject *module);    /* pickle.c */
PyObject *fnn_array_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);  /* Tensor.__array__ */
PyObject *fnn_numpy_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);  /* Tensor.numpy */
PyObject *fnn_array_wrap(PyObject *self, PyObject *args);                                            /* __array_wrap__ */
PyObject *fnn_dlpack_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);
PyObject *fnn_dlpack_device(PyObject *self, PyObject *unused);
PyObject *fnn_reduce_ex(PyObject *self, PyObject *protocol);
PyObject *fnn_deepcopy(PyObject *self, PyObject *memo);
PyObject *fnn_shallow_copy(PyObject *self, PyObject *unused);
PyObject *fnn_make_subclass(PyObject *unused, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);
PyObject *fnn_as_subclass(PyObject *self, PyObject *type);

/* Wraps `t` (taken over) as a plain Tensor that requires a gradient if `requires_grad`. */
PyObject *fnn_wrap_leaf(fnn_tensor *t, bool requires_grad);
/* Releases a Python object that a storage keeps alive; callable from any thread, with or without the GIL. */
void fnn_release_object(void *object);

#endif
