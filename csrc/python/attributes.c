/* Attributes of Tensor and the methods that only look: shape, dtype, grad, size(), stride(), to(), ... */
#include <string.h>

#include "args.h"
#include "signature.h"

static PyObject *get_shape(PyObject *self, void *unused) {
    (void)unused;
    return fnn_size_new(TENSOR(self)->ndim, TENSOR(self)->shape);
}
static PyObject *get_dtype(PyObject *self, void *unused) {
    (void)unused;
    return Py_NewRef(fnn_dtype_objects[TENSOR(self)->dtype]);
}
static PyObject *get_device(PyObject *self, void *unused) {
    (void)self, (void)unused;
    return fnn_device_cpu ? Py_NewRef(fnn_device_cpu) : Py_NewRef(Py_None);
}
static PyObject *get_ndim(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(TENSOR(self)->ndim);
}
static PyObject *get_itemsize(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(fnn_itemsize[TENSOR(self)->dtype]);
}
static PyObject *get_nbytes(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLongLong(TENSOR(self)->numel * fnn_itemsize[TENSOR(self)->dtype]);
}
static PyObject *get_false(PyObject *self, void *unused) {
    (void)self, (void)unused;
    Py_RETURN_FALSE;
}
static PyObject *get_version(PyObject *self, void *unused) {
    (void)unused;
    if (TENSOR(self)->version) return PyLong_FromUnsignedLong(fnn_tensor_version(TENSOR(self)));
    return PyErr_SetString(PyExc_RuntimeError, "Inference tensors do not track version counter."), NULL;
}

static PyObject *get_output_nr(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(TENSOR(self)->meta ? TENSOR(self)->meta->output_nr : 0);
}

/* ---- transposes ---- */

static PyObject *swap(const fnn_op *op, PyObject *self, int64_t a, int64_t b) {
    const fnn_tensor *in = TENSOR(self);
    fnn_attrs attrs = {.v = {{.i = a}, {.i = b}}};
    fnn_tensor out;
    fnn_status status = fnn_apply_op(op, &out, 1, &in, 1, &attrs);
    return status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(&self, 1), &out);
}
static PyObject *get_T(PyObject *self, void *unused) {
    (void)unused;
    const fnn_tensor *in = TENSOR(self);
    fnn_attrs attrs = {.list[0].n = in->ndim};
    for (int d = 0; d < in->ndim; d++) attrs.list[0].v[d] = in->ndim - 1 - d;
    fnn_tensor out;
    fnn_status status = fnn_apply_op(&fnn_op_PERMUTE, &out, 1, &in, 1, &attrs);
    return status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(&self, 1), &out);
}
static PyObject *get_mT(PyObject *self, void *unused) {
    (void)unused;
    if (!TENSOR(self)->ndim) return Py_NewRef(self);
    if (TENSOR(self)->ndim < 2)
        return PyErr_Format(PyExc_RuntimeError, "tensor.mT is only supported on matrices or batches of matrices. Got %d-D tensor.", TENSOR(self)->ndim), NULL;
    return swap(&fnn_op_TRANSPOSE, self, -2, -1);
}
static PyObject *method_t(PyObject *self, PyObject *unused) {
    (void)unused;
    if (TENSOR(self)->ndim > 2) return PyErr_Format(PyExc_RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is %dD", TENSOR(self)->ndim), NULL;
    return swap(&fnn_op_T, self, 0, TENSOR(self)->ndim == 2 ? 1 : 0);
}

/* ---- looking ---- */

static const char *const dim_name[] = {"dim", NULL};
static const char *const format_name[] = {"*", "memory_format", NULL};

/* The arguments of a method that takes memory_format= at most. 0 or -1. */
static int only_format(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    PyObject *format;
    bool rows;
    if (fnn_sort_args(function, format_name, args, n, kwnames, &format)) return -1;
    return format && format != Py_None ? fnn_as_memory_format(function, format, &rows) : 0;
}

static PyObject *method_size(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    const fnn_tensor *t = TENSOR(self);
    PyObject *given = n == 1 ? args[0] : NULL; /* the common case */
    if ((n > 1 || kwnames) && fnn_sort_args("size", dim_name, args, n, kwnames, &given)) return NULL;
    if (!given || given == Py_None) return fnn_size_new(t->ndim, t->shape);
    int64_t dim;
    if (fnn_as_int(given, &dim)) return NULL;
    fnn_status status = fnn_wrap_dim("size", &dim, t->ndim);
    if (!status && !t->ndim) status = fnn_fail(FNN_ERR_INDEX, "size: Dimension specified as %lld but tensor has no dimensions", (long long)dim);
    return status ? fnn_raise(status) : PyLong_FromLongLong(t->shape[dim]);
}
static PyObject *method_stride(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    const fnn_tensor *t = TENSOR(self);
    PyObject *given;
    if (fnn_sort_args("stride", dim_name, args, n, kwnames, &given)) return NULL;
    if (given && given != Py_None) {
        int64_t dim;
        if (fnn_as_int(given, &dim)) return NULL;
        fnn_status status = fnn_wrap_dim("stride", &dim, t->ndim);
        return status ? fnn_raise(status) : PyLong_FromLongLong(t->stride[dim]);
    }
    PyObject *tuple = PyTuple_New(t->ndim);
    for (int d = 0; d < t->ndim && tuple; d++) PyTuple_SET_ITEM(tuple, d, PyLong_FromLongLong(t->stride[d]));
    return tuple;
}
static PyObject *method_dim(PyObject *self, PyObject *unused) { return get_ndim(self, unused); }
static PyObject *method_numel(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLongLong(TENSOR(self)->numel);
}
static PyObject *method_storage_offset(PyObject *self, PyObject *unused) {
    (void)unused;
    const fnn_tensor *t = TENSOR(self);
    return PyLong_FromLongLong(t->storage ? (t->data - t->storage->data) / fnn_itemsize[t->dtype] : 0);
}
static PyObject *method_is_contiguous(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    if ((n || kwnames) && only_format("is_contiguous", args, n, kwnames)) return NULL;
    return PyBool_FromLong(TENSOR(self)->contiguous);
}
static PyObject *method_is_floating_point(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(fnn_dtype_is_float(TENSOR(self)->dtype));
}
static PyObject *method_is_complex(PyObject *self, PyObject *unused) { return get_false(self, unused); }
static PyObject *method_cpu(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) { /* it is there */
    return only_format("cpu", args, n, kwnames) ? NULL : Py_NewRef(self);
}
/* Nothing copies to another device, so any memory will do. */
static PyObject *method_pin_memory(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"device", NULL};
    PyObject *device;
    return fnn_sort_args("pin_memory", names, args, n, kwnames, &device) || fnn_as_device(device) ? NULL : Py_NewRef(self);
}
static PyObject *method_share_memory_(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}
static PyObject *method_is_inference(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(TENSOR(self)->flags & FNN_T_INFERENCE);
}

/* ---- conversions of dtype ---- */

static PyObject *to_dtype(PyObject *self, int dtype, bool copy) {
    const fnn_tensor *in = TENSOR(self);
    if ((dtype < 0 || dtype == in->dtype) && !copy) return Py_NewRef(self);
    fnn_attrs attrs = {.v[0].i = dtype < 0 ? in->dtype : dtype};
    fnn_tensor out;
    const fnn_op *op = dtype < 0 || dtype == in->dtype ? &fnn_op_CLONE : &fnn_op_TO;
    fnn_status status = fnn_apply_op(op, &out, 1, &in, 1, op == &fnn_op_TO ? &attrs : NULL);
    return status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(&self, 1), &out);
}

#define TO_METHOD(name, dtype)                                                                                        \
    static PyObject *method_##name(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {          \
        return (n || kwnames) && only_format(#name, args, n, kwnames) ? NULL : to_dtype(self, dtype, false);          \
    }
TO_METHOD(float, FNN_F32)
TO_METHOD(double, FNN_F64)
TO_METHOD(long, FNN_I64)
TO_METHOD(int, FNN_I32)
TO_METHOD(byte, FNN_U8)
TO_METHOD(bool, FNN_BOOL)

/* One argument of to(): a dtype, a device, or another tensor; everything else is an error. */
static int to_argument(PyObject *o, int *dtype) {
    if (o == Py_None) return 0;
    if (fnn_is_tensor(o)) {
        *dtype = TENSOR(o)->dtype;
        return 0;
    }
    if (Py_TYPE(o) == fnn_DtypeType || PyType_Check(o)) return fnn_as_dtype(o, dtype);
    return fnn_as_device(o);
}

static PyObject *method_to(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    int dtype = -1;
    bool copy = false;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyBool_Check(args[i])) {
            if (i + 1 == n && n == 4) copy = args[i] == Py_True; /* to(device, dtype, non_blocking, copy) */
            continue;
        }
        if (to_argument(args[i], &dtype)) return NULL;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(kwnames, i));
        PyObject *value = args[n + i];
        if (!name) return NULL;
        if (!strcmp(name, "copy"))
            copy = PyObject_IsTrue(value) == 1;
        else if (!strcmp(name, "dtype")) {
            if (fnn_as_dtype(value, &dtype)) return NULL;
        } else if (!strcmp(name, "device") || !strcmp(name, "other")) {
            if (to_argument(value, &dtype)) return NULL;
        } else if (strcmp(name, "non_blocking") && strcmp(name, "memory_format"))
            return PyErr_Format(PyExc_TypeError, "to() got an unexpected keyword argument '%s'", name), NULL;
    }
    return to_dtype(self, dtype, copy);
}

static PyObject *method_type_as(PyObject *self, PyObject *other) {
    if (!fnn_is_tensor(other)) return PyErr_Format(PyExc_TypeError, "type_as(): argument 'other' must be Tensor, not %s", Py_TYPE(other)->tp_name), NULL;
    return to_dtype(self, TENSOR(other)->dtype, false);
}

/* torch.FloatTensor and so on: the names type() speaks. */
static const char *const type_names[FNN_NDTYPES] = {"torch.FloatTensor", "torch.DoubleTensor", "torch.LongTensor", "torch.IntTensor", "torch.ByteTensor", "torch.BoolTensor"};
static PyObject *method_type(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    if (n + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) == 0 || args[0] == Py_None) return PyUnicode_FromString(type_names[TENSOR(self)->dtype]);
    int dtype = -1;
    if (PyUnicode_Check(args[0])) {
        for (int i = 0; i < FNN_NDTYPES; i++)
            if (!PyUnicode_CompareWithASCIIString(args[0], type_names[i])) dtype = i;
        if (dtype < 0) return PyErr_Format(PyExc_ValueError, "type: invalid type: %R", args[0]), NULL;
    } else if (fnn_as_dtype(args[0], &dtype)) {
        return NULL;
    }
    return to_dtype(self, dtype, false);
}

static PyObject *method_cuda(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"device", "non_blocking", "*", "memory_format", NULL};
    (void)self;
    PyObject *g[3];
    int64_t number;
    bool flag;
    if (fnn_sort_args("cuda", names, args, n, kwnames, g) || fnn_opt_bool("cuda", "non_blocking", g[1], &flag)) return NULL;
    if (g[0] && (PyLong_Check(g[0]) ? fnn_as_int(g[0], &number) : fnn_as_device(g[0]))) return NULL;
    return PyErr_SetString(PyExc_AssertionError, "cuda: Torch not compiled with CUDA enabled; fastnn computes on the CPU"), NULL;
}

#define FAST(name) {#name, (PyCFunction)(void (*)(void))method_##name, METH_FASTCALL | METH_KEYWORDS, NULL}
#define NOARGS(name) {#name, method_##name, METH_NOARGS, NULL}
PyMethodDef fnn_tensor_methods[] = {
    FAST(size), FAST(stride), FAST(to), FAST(type), NOARGS(dim), NOARGS(numel), NOARGS(storage_offset), NOARGS(t), FAST(is_contiguous),
    NOARGS(is_floating_point), NOARGS(is_complex), NOARGS(is_inference), FAST(float), FAST(double), FAST(long), FAST(int), FAST(byte), FAST(bool), FAST(cuda),
    FAST(cpu), FAST(pin_memory), NOARGS(share_memory_),
    {"split", (PyCFunction)(void (*)(void))fnn_split_method, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"type_as", method_type_as, METH_O, NULL},
    {"nelement", method_numel, METH_NOARGS, NULL},
    {"ndimension", method_dim, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};

#define RO(name) {#name, get_##name, NULL, NULL, NULL}
#define NO(name) {#name, get_false, NULL, NULL, NULL}
/* What is put into the dict may lead back to the tensor. */
static PyObject *get_dict(PyObject *self, void *closure) {
    fnn_track(self);
    return PyObject_GenericGetDict(self, closure);
}

static PyObject *get_layout(PyObject *self, void *closure) {
    (void)self, (void)closure;
    PyObject *module = PyImport_ImportModule("fastnn._layout"), *strided = module ? PyObject_GetAttrString(module, "strided") : NULL;
    Py_XDECREF(module);
    return strided;
}

PyGetSetDef fnn_tensor_getset[] = {
    {"layout", get_layout, NULL, NULL, NULL},
    {"__dict__", get_dict, PyObject_GenericSetDict, NULL, NULL},
    RO(shape), RO(dtype), RO(device), RO(ndim), RO(itemsize), RO(nbytes), RO(T), RO(mT),
    RO(output_nr),
    {"_version", get_version, NULL, NULL, NULL},
    {"mH", get_mT, NULL, NULL, NULL},
    {"H", get_T, NULL, NULL, NULL},
    {"grad", fnn_get_grad, fnn_set_grad, NULL, NULL},
    {"requires_grad", fnn_get_requires_grad, fnn_set_requires_grad_attr, NULL, NULL},
    {"grad_fn", fnn_get_grad_fn, NULL, NULL, NULL},
    {"is_leaf", fnn_get_is_leaf, NULL, NULL, NULL},
    {"retains_grad", fnn_get_retains_grad, NULL, NULL, NULL},
    {"data", fnn_get_data, fnn_set_data, NULL, NULL},
    {"_base", fnn_get_base, NULL, NULL, NULL},
    NO(is_cuda), NO(is_sparse), NO(is_quantized), NO(is_meta), NO(is_mps), NO(is_nested), NO(is_mkldnn),
    {NULL, NULL, NULL, NULL, NULL}};
