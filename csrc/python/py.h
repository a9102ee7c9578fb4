/* What the files of this folder share: the Tensor object, the module's state, conversions and errors.
 *
 * Invariants: the GIL is held everywhere here except inside fnn_run's long work (fnn_host hooks). A function that gives a
 * PyObject * gives a new reference or NULL with an exception set. Status codes become exceptions in one place
 * (fnn_raise). This is the only folder that includes Python.h or NumPy headers, and only numpy.c includes NumPy's.
 *
 * Read next: signature.h and call.c (how a Python call becomes an op call), tensor_type.c, index.c, autograd.c. */
#ifndef FNN_PY_H
#define FNN_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "core/random.h"
#include "graph/graph.h"

/* A tensor's Python object: it embeds the view. */
typedef struct TensorObject {
    PyObject_HEAD
    fnn_tensor t;
    PyObject *dict;     /* NULL until an attribute is set */
    PyObject *weakrefs;
} TensorObject;

typedef struct DtypeObject {
    PyObject_HEAD
    int code;          /* fnn_dtype; -1: a name that exists but has no tensors here (float16, ...) */
    const char *name;  /* "float32" */
    int itemsize;
    bool is_float, is_signed, is_complex;
} DtypeObject;

typedef struct GeneratorObject {
    PyObject_HEAD
    fnn_generator *gen; /* owned unless it is the default generator */
    bool owned;
} GeneratorObject;

/* The types are heap types made once by PyInit__C and kept for the process. */
extern PyTypeObject *fnn_TensorType;
extern PyTypeObject *fnn_ParameterType; /* fastnn.nn.Parameter once it exists (set from Python), else NULL */
extern PyTypeObject *fnn_DtypeType, *fnn_SizeType, *fnn_GeneratorType, *fnn_OpType;
extern PyObject *fnn_dtype_objects[FNN_NDTYPES]; /* borrowed */
extern PyObject *fnn_device_cpu;                  /* fastnn.device('cpu'), set from Python */
extern PyObject *fnn_default_generator_object;

#define TENSOR(o) (&((TensorObject *)(o))->t)
static inline bool fnn_is_tensor_exact(PyObject *o) { return Py_TYPE(o) == fnn_TensorType; }
static inline bool fnn_is_tensor(PyObject *o) { return fnn_is_tensor_exact(o) || PyObject_TypeCheck(o, fnn_TensorType); }

/* ---- errors (module.c) ---- */
/* Sets the exception for a status with the thread's message; gives NULL. A Python exception that is already set stays. */
void *fnn_raise(fnn_status status);

/* ---- tensors ---- */
/* A Tensor that takes `t` over (zeroed after). On failure t is released. tensor_type.c */
PyObject *fnn_wrap(fnn_tensor *t);
PyObject *fnn_wrap_as(PyTypeObject *type, fnn_tensor *t);
/* Hands a tensor to the garbage collector: it now holds something that may lead back to it. */
void fnn_track(PyObject *tensor);
int fnn_tensor_truth(PyObject *tensor); /* bool(t); -1 with an exception when it has not one element */
/* The type of the result of an op on `like` (subclasses are kept, Parameter gives Tensor). */
PyTypeObject *fnn_result_type(PyObject *const *args, Py_ssize_t n);
/* The Python object of m's gradient (new reference), NULL without exception if there is none. autograd.c */
PyObject *fnn_grad_object(fnn_meta *m);

/* ---- conversions: Python -> C. They give 0, or -1 with an exception that names op and argument ---- */
/* A number (int, float, bool, NumPy scalar) as a wrapped number on the caller's stack; 1 if o is not a number. */
typedef struct fnn_number_slot {
    fnn_tensor t;
    union {
        double f;
        int64_t i;
        bool b;
    } value;
} fnn_number_slot;
int fnn_as_number(PyObject *o, fnn_number_slot *slot);
int fnn_as_int(PyObject *o, int64_t *value);            /* __index__; accepts 0-d integer tensors */
int fnn_nth_int(PyObject *o, Py_ssize_t i, int64_t *value); /* the i-th of several */
int fnn_as_ints(PyObject *o, fnn_ints *list);           /* tuple, list, Size; an int gives a list of one */
int fnn_as_double(PyObject *o, double *value);
int fnn_as_dtype(PyObject *o, int *code);               /* dtype object, Python type (float, int, bool); None: -1 */
int fnn_as_device(PyObject *o);                         /* accepts None, 'cpu', device('cpu'); anything else raises */
int fnn_as_generator(PyObject *o, fnn_generator **gen); /* None: the default generator */

/* ---- convert.c: data in and out ---- */
/* torch.tensor(data): nested lists, numbers, NumPy arrays and scalars, tensors. dtype -1: inferred. Always a copy. */
int fnn_tensor_from_object(PyObject *data, int dtype, fnn_tensor *out);
/* Shares the memory of a NumPy array (from_numpy); negative strides and other dtypes raise. */
int fnn_tensor_from_numpy(PyObject *array, fnn_tensor *out);
PyObject *fnn_to_numpy(PyObject *tensor); /* shares memory; raises if it requires grad */
PyObject *fnn_item(const fnn_tensor *t);  /* one element as a Python number */
PyObject *fnn_tolist(const fnn_tensor *t);
/* Tensor(...) and its typed forms: legacy constructor, also used by subclasses. */
PyObject *fnn_tensor_construct(PyTypeObject *type, PyObject *args, PyObject *kwargs);
PyObject *fnn_size_new(int ndim, const int64_t *shape); /* torch.Size */

/* Copies a result into the tensor given as out= (call.c); a new reference to it. */
PyObject *fnn_store_out(PyObject *target, PyObject *value);

/* ---- parts of the module: each adds its types and functions; 0 or -1 ---- */
int fnn_init_types(PyObject *module);     /* dtype.c: dtype, Size, Generator */
int fnn_init_tensor(PyObject *module);    /* tensor_type.c */
int fnn_init_convert(PyObject *module);   /* convert.c */
int fnn_init_ops(PyObject *module);       /* call.c: op functions and methods */
int fnn_init_factories(PyObject *module); /* factory.c */
int fnn_init_random(PyObject *module);    /* random.c */
int fnn_init_autograd(PyObject *module);  /* autograd.c */
int fnn_init_optim(PyObject *module);     /* optim.c */
int fnn_init_nn_module(PyObject *module); /* nn_module.c */
int fnn_init_peak(PyObject *module);      /* peak.c */
/* Methods of Tensor that the parts contribute; collected by tensor_type.c. */
extern PyGetSetDef fnn_tensor_getset[];   /* attributes.c */
extern PyMethodDef fnn_tensor_methods[];  /* methods.c: size, dim, split, type conversions, ... */
extern PyMethodDef fnn_convert_methods[], fnn_autograd_methods[], fnn_random_methods[], fnn_factory_methods[];
/* Attributes of autograd (autograd.c), listed in attributes.c. */
PyObject *fnn_get_grad(PyObject *, void *), *fnn_get_requires_grad(PyObject *, void *), *fnn_get_grad_fn(PyObject *, void *);
PyObject *fnn_get_is_leaf(PyObject *, void *), *fnn_get_retains_grad(PyObject *, void *), *fnn_get_data(PyObject *, void *), *fnn_get_base(PyObject *, void *);
int fnn_set_grad(PyObject *, PyObject *, void *), fnn_set_requires_grad_attr(PyObject *, PyObject *, void *), fnn_set_data(PyObject *, PyObject *, void *);
/* split(size or sizes): a list may be longer than an op's (shape.c). */
PyObject *fnn_split_function(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fnn_split_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* Slots. */
PyObject *fnn_getitem(PyObject *self, PyObject *key);
int fnn_setitem(PyObject *self, PyObject *key, PyObject *value); /* index.c */
PyObject *fnn_richcompare(PyObject *a, PyObject *b, int op);     /* number.c */
int fnn_getbuffer(PyObject *self, Py_buffer *view, int flags);   /* convert.c */

#endif
