/* Data in and out of tensors: numbers, nested lists, buffers. NumPy is numpy.c, DLPack dlpack.c, pickling pickle.c.
 *
 * Invariants: what comes in is copied (fnn_tensor_from_object), with torch's inference of the dtype: ints give int64, floats
 * the default dtype, arrays and tensors keep theirs. What goes out as a buffer shares memory and holds the storage.
 * Read next: construct.c, the functions of the module over this. */
#include "args.h"

#include <string.h>

#include "core/pool.h"

/* ---- out: one element, nested lists ---- */

static PyObject *element(int dtype, const char *p) {
    switch (dtype) {
    case FNN_F32: return PyFloat_FromDouble(*(const float *)p);
    case FNN_F64: return PyFloat_FromDouble(*(const double *)p);
    case FNN_I64: return PyLong_FromLongLong(*(const int64_t *)p);
    case FNN_I32: return PyLong_FromLong(*(const int32_t *)p);
    case FNN_U8: return PyLong_FromLong(*(const uint8_t *)p);
    default: return PyBool_FromLong(*(const uint8_t *)p != 0);
    }
}

PyObject *fnn_item(const fnn_tensor *t) {
    if (t->numel == 1) return element(t->dtype, t->data);
    PyErr_Format(PyExc_RuntimeError, "item: a Tensor with %lld elements cannot be converted to Scalar", (long long)t->numel);
    return NULL;
}

static PyObject *list_of(const fnn_tensor *t, int dim, const char *p) {
    if (dim == t->ndim) return element(t->dtype, p);
    int64_t n = t->shape[dim], step = t->stride[dim] * fnn_itemsize[t->dtype];
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (int64_t i = 0; list && i < n; i++) {
        PyObject *item = list_of(t, dim + 1, p + i * step);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

PyObject *fnn_tolist(const fnn_tensor *t) { return list_of(t, 0, t->data); }

/* ---- in: the shape and dtype of nested sequences ---- */

static bool is_text(PyObject *o) { return PyUnicode_Check(o) || PyBytes_Check(o); }
/* Arrays and tensors inside a list are copied whole. */
static bool is_block(PyObject *o) { return fnn_is_tensor(o) || fnn_is_ndarray(o); }

static int add_dim(fnn_tensor *shape, int64_t size, PyObject *o) {
    if (shape->ndim == FNN_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "tensor: too many dimensions '%.100s'", Py_TYPE(o)->tp_name);
        return -1;
    }
    shape->shape[shape->ndim++] = size;
    return 0;
}

static int block_tensor(PyObject *o, int dtype, fnn_tensor *t) {
    if (!fnn_is_tensor(o)) return fnn_copy_ndarray(o, dtype, t);
    fnn_tensor_ref_data(t, TENSOR(o));
    return 0;
}

/* The shape, judged by the first item of each level as torch does. */
static int measure(PyObject *o, fnn_tensor *shape) {
    if (fnn_is_tensor(o)) {
        for (int d = 0; d < TENSOR(o)->ndim; d++)
            if (add_dim(shape, TENSOR(o)->shape[d], o)) return -1;
        return 0;
    }
    if (fnn_is_ndarray(o)) {
        int64_t sizes[FNN_MAX_DIMS];
        int ndim = fnn_ndarray_shape(o, sizes);
        for (int d = 0; d < ndim; d++)
            if (add_dim(shape, sizes[d], o)) return -1;
        return ndim < 0 ? -1 : 0;
    }
    if (!PySequence_Check(o) || fnn_is_numpy_scalar(o, &(int){0})) return 0;
    Py_ssize_t n = PySequence_Size(o);
    if (n < 0 || add_dim(shape, n, o)) return -1;
    PyObject *first = n ? PySequence_GetItem(o, 0) : NULL;
    int failed = n && (!first || measure(first, shape)); /* no deeper than FNN_MAX_DIMS: add_dim stops it */
    Py_XDECREF(first);
    return failed ? -1 : 0;
}

/* bool < uint8 < int32 < int64 < float32 < float64; the rank of a dtype */
static const int8_t rank[FNN_NDTYPES] = {[FNN_BOOL] = 0, [FNN_U8] = 1, [FNN_I32] = 2, [FNN_I64] = 3, [FNN_F32] = 4, [FNN_F64] = 5};

static int refuse_type(PyObject *o) {
    if (is_text(o))
        PyErr_Format(PyExc_TypeError, "new(): invalid data type '%.100s'", Py_TYPE(o)->tp_name);
    else if (PyComplex_Check(o))
        PyErr_SetString(PyExc_NotImplementedError, "tensor: found a complex number, and fastnn has no complex tensors");
    else
        PyErr_Format(PyExc_RuntimeError, "Could not infer dtype of %.100s", Py_TYPE(o)->tp_name);
    return -1;
}

/* Raises *dtype (-1 at first) to hold o as well. */
static int infer(PyObject *o, int *dtype, int depth) {
    int own;
    if (PyLong_CheckExact(o))
        own = FNN_I64;
    else if (PyFloat_CheckExact(o))
        own = fnn_default_dtype;
    else if (PyBool_Check(o))
        own = FNN_BOOL;
    else if (fnn_is_tensor(o))
        own = TENSOR(o)->dtype;
    else if (fnn_is_ndarray(o) || fnn_is_numpy_scalar(o, &own)) {
        if (fnn_is_ndarray(o)) own = fnn_ndarray_dtype(o);
        if (own < 0) {
            PyErr_Format(PyExc_TypeError, "tensor: found a value of type %.100s; wanted float64, float32, int64, int32, uint8 or bool", Py_TYPE(o)->tp_name);
            return -1;
        }
    } else if (PyFloat_Check(o))
        own = fnn_default_dtype;
    else if (PyLong_Check(o))
        own = FNN_I64;
    else if (depth && PyUnicode_Check(o) && *dtype < 0) { /* first in its list: torch looks for dimensions in it */
        PyErr_SetString(PyExc_ValueError, "tensor: too many dimensions 'str'");
        return -1;
    } else if (is_text(o) || PyComplex_Check(o) || !PySequence_Check(o))
        return refuse_type(o);
    else {
        if (depth > FNN_MAX_DIMS) {
            PyErr_Format(PyExc_ValueError, "tensor: too many dimensions '%.100s'", Py_TYPE(o)->tp_name);
            return -1;
        }
        PyObject *items = PySequence_Fast(o, "tensor: expected a number or a sequence");
        int failed = !items;
        for (Py_ssize_t i = 0; !failed && i < PySequence_Fast_GET_SIZE(items); i++) failed = infer(PySequence_Fast_GET_ITEM(items, i), dtype, depth + 1);
        if (!failed && *dtype < 0 && !PySequence_Fast_GET_SIZE(items)) *dtype = fnn_default_dtype;
        Py_XDECREF(items);
        return failed ? -1 : 0;
    }
    if (*dtype < 0 || rank[own] > rank[*dtype]) *dtype = own;
    return 0;
}

/* ---- in: the values ---- */

static int overflow(int dtype) {
    PyErr_Format(PyExc_RuntimeError, "value cannot be converted to type %s without overflow", fnn_dtype_name((fnn_dtype)dtype));
    return -1;
}

/* An integer from an int or, cut towards zero, from a float. */
static int integer_of(PyObject *o, int dtype, int64_t *value) {
    if (PyFloat_Check(o)) {
        double f = PyFloat_AS_DOUBLE(o);
        if (!(f >= -9223372036854775808.0 && f < 9223372036854775808.0)) return overflow(dtype);
        *value = (int64_t)f;
        return 0;
    }
    PyObject *number = PyIndex_Check(o) ? PyNumber_Index(o) : PyNumber_Long(o);
    if (!number) return -1;
    int too_big;
    *value = PyLong_AsLongLongAndOverflow(number, &too_big);
    Py_DECREF(number);
    if (!too_big) return 0;
    PyErr_SetString(PyExc_ValueError, "Overflow when unpacking long long");
    return -1;
}

static int store_number(char *p, int dtype, PyObject *o) {
    int64_t i = 0;
    double f;
    int truth;
    switch (dtype) {
    case FNN_F32:
    case FNN_F64:
        f = PyFloat_AsDouble(o);
        if (f == -1.0 && PyErr_Occurred()) return -1;
        if (dtype == FNN_F64)
            *(double *)p = f;
        else
            *(float *)p = (float)f;
        return 0;
    case FNN_BOOL:
        truth = PyObject_IsTrue(o);
        *(uint8_t *)p = truth == 1;
        return truth < 0 ? -1 : 0;
    }
    if (integer_of(o, dtype, &i)) return -1;
    if (dtype == FNN_I64)
        *(int64_t *)p = i;
    else if (dtype == FNN_I32 && i >= INT32_MIN && i <= INT32_MAX)
        *(int32_t *)p = (int32_t)i;
    else if (dtype == FNN_U8 && i >= -255 && i <= 255) /* negative ones wrap around, as in torch */
        *(uint8_t *)p = (uint8_t)i;
    else
        return overflow(dtype);
    return 0;
}

static int store_leaf(char *p, int dtype, PyObject *o) {
    if (!is_block(o)) return is_text(o) ? refuse_type(o) : store_number(p, dtype, o);
    fnn_tensor t;
    if (block_tensor(o, dtype, &t)) return -1;
    PyObject *number = fnn_item(&t);
    fnn_tensor_unref(&t);
    int failed = !number || store_number(p, dtype, number);
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* Copies an array or tensor that stands for all levels from `dim` on. */
static int store_block(const fnn_tensor *out, int dim, char *p, PyObject *o) {
    fnn_tensor block, place = *out;
    if (block_tensor(o, out->dtype, &block)) return -1;
    fnn_tensor_set_geometry(&place, out->ndim - dim, out->shape + dim, out->stride + dim);
    place.data = p;
    fnn_status status = FNN_OK;
    if (!fnn_same_shape(&place, &block))
        status = fnn_fail(FNN_ERR_VALUE, "tensor: expected shape %s at dim %d (got %s)", fnn_shape_of(&place), dim, fnn_shape_of(&block));
    if (!status) status = fnn_copy_into(&place, &block);
    fnn_tensor_unref(&block);
    return status ? fnn_raise(status), -1 : 0;
}

static int store(const fnn_tensor *out, int dim, char *p, PyObject *o) {
    if (dim == out->ndim) return store_leaf(p, out->dtype, o);
    if (is_block(o)) return store_block(out, dim, p, o);
    PyObject *items = PySequence_Fast(o, "tensor: expected a number or a sequence");
    if (!items) return -1;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    int64_t step = out->stride[dim] * fnn_itemsize[out->dtype];
    int failed = n != out->shape[dim];
    if (failed)
        PyErr_Format(PyExc_ValueError, "expected sequence of length %lld at dim %d (got %zd)", (long long)out->shape[dim], dim, n);
    bool plain_ints = dim + 1 == out->ndim && out->dtype == FNN_I64;
    for (Py_ssize_t i = 0; !failed && i < n && i < PySequence_Fast_GET_SIZE(items); i++, p += step) {
        PyObject *item = PySequence_Fast_GET_ITEM(items, i);
        int too_big = 1;
        if (plain_ints && PyLong_CheckExact(item)) *(int64_t *)p = PyLong_AsLongLongAndOverflow(item, &too_big); /* the common case */
        if (too_big) {
            Py_INCREF(item); /* conversions may run Python code that changes the list */
            failed = store(out, dim + 1, p, item);
            Py_DECREF(item);
        }
    }
    Py_DECREF(items);
    return failed ? -1 : 0;
}

static int copy_of_tensor(const fnn_tensor *t, int dtype, fnn_tensor *out) {
    fnn_tensor copy = {.dtype = (uint8_t)(dtype < 0 ? t->dtype : dtype)};
    fnn_tensor_set_geometry(&copy, t->ndim, t->shape, fnn_is_dense(t) ? t->stride : NULL);
    fnn_status status = fnn_tensor_alloc(&copy);
    if (status) return fnn_raise(status), -1;
    status = fnn_copy_into(&copy, t);
    if (!status) {
        *out = copy;
        return 0;
    }
    fnn_tensor_unref(&copy);
    return fnn_raise(status), -1;
}

int fnn_tensor_from_object(PyObject *data, int dtype, fnn_tensor *out) {
    if (fnn_is_tensor(data)) return copy_of_tensor(TENSOR(data), dtype, out);
    if (fnn_is_ndarray(data)) return fnn_copy_ndarray(data, dtype, out);
    fnn_tensor shape = {0}, t;
    if (dtype < 0 && infer(data, &dtype, 0)) return -1;
    if (measure(data, &shape)) return -1;
    fnn_status status = fnn_empty(&t, (fnn_dtype)dtype, shape.ndim, shape.shape);
    if (status) return fnn_raise(status), -1;
    if (store(&t, 0, t.data, data)) {
        fnn_tensor_unref(&t);
        return -1;
    }
    *out = t;
    return 0;
}

/* ---- the buffer protocol ---- */

/* Lives as long as one exported buffer: holds the storage, because the Tensor's own data may be exchanged meanwhile. */
typedef struct export {
    fnn_storage *storage;
    Py_ssize_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
} export;

static void release_export(PyObject *capsule) {
    export *e = PyCapsule_GetPointer(capsule, NULL);
    fnn_storage_unref(e->storage);
    fnn_pool_free(e, sizeof *e);
}

static const char *refuse_buffer(const fnn_tensor *t, int flags) {
    if (fnn_wants_grad(t)) return "the tensor requires grad: use tensor.detach()";
    if ((flags & PyBUF_WRITABLE) && t->storage->readonly) return "the tensor's memory is read-only";
    bool needs_rows = (flags & PyBUF_STRIDES) != PyBUF_STRIDES || (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS;
    return needs_rows && !t->contiguous ? "the tensor is not contiguous" : NULL;
}

int fnn_getbuffer(PyObject *self, Py_buffer *view, int flags) {
    static char *const formats[FNN_NDTYPES] = {"f", "d", sizeof(long) == 8 ? "l" : "q", "i", "B", "?"};
    const fnn_tensor *t = TENSOR(self);
    const char *reason = refuse_buffer(t, flags);
    view->obj = NULL;
    if (reason) {
        PyErr_SetString(PyExc_BufferError, reason);
        return -1;
    }
    export *e = fnn_pool_alloc(sizeof *e);
    PyObject *capsule = e ? PyCapsule_New(e, NULL, release_export) : PyErr_NoMemory();
    if (!capsule) {
        fnn_pool_free(e, sizeof *e);
        return -1;
    }
    e->storage = t->storage;
    fnn_storage_ref(e->storage);
    int64_t itemsize = fnn_itemsize[t->dtype];
    for (int d = 0; d < t->ndim; d++) {
        e->shape[d] = (Py_ssize_t)t->shape[d];
        e->stride[d] = (Py_ssize_t)(t->stride[d] * itemsize);
    }
    *view = (Py_buffer){.buf = t->data, .obj = capsule, .len = (Py_ssize_t)(t->numel * itemsize), .itemsize = (Py_ssize_t)itemsize,
                        .readonly = t->storage->readonly, .ndim = t->ndim};
    if (flags & PyBUF_FORMAT) view->format = formats[t->dtype];
    if (flags & PyBUF_ND) view->shape = e->shape;
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) view->strides = e->stride;
    return 0;
}

void fnn_release_object(void *object) {
    if (!Py_IsInitialized()) return; /* the interpreter took its memory with it */
    PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF((PyObject *)object);
    PyGILState_Release(state);
}

/* ---- methods ---- */

static PyObject *item(PyObject *self, PyObject *unused) {
    (void)unused;
    return fnn_item(TENSOR(self));
}
static PyObject *tolist(PyObject *self, PyObject *unused) {
    (void)unused;
    return fnn_tolist(TENSOR(self));
}
static PyObject *data_ptr(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromVoidPtr(TENSOR(self)->numel ? TENSOR(self)->data : NULL);
}
static PyObject *element_size(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(fnn_itemsize[TENSOR(self)->dtype]);
}

static PyObject *complex_of(PyObject *self, PyObject *unused) {
    PyObject *number = PyObject_CallMethod(self, "__float__", NULL);
    (void)unused;
    if (!number) return NULL;
    PyObject *result = PyComplex_FromDoubles(PyFloat_AsDouble(number), 0);
    Py_DECREF(number);
    return result;
}

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

PyMethodDef fnn_convert_methods[] = {
    {"item", item, METH_NOARGS, "item($self, /)\n--\n\nThe value of a tensor of one element as a Python number."},
    {"tolist", tolist, METH_NOARGS, "tolist($self, /)\n--\n\nThe values as nested lists; a number for a 0-d tensor."},
    {"data_ptr", data_ptr, METH_NOARGS, "data_ptr($self, /)\n--\n\nThe address of the first element."},
    {"element_size", element_size, METH_NOARGS, "element_size($self, /)\n--\n\nBytes of one element."},
    {"numpy", FAST(fnn_numpy_method), "numpy($self, *, force=False)\n--\n\nThe NumPy array that shares this tensor's memory."},
    {"__array__", FAST(fnn_array_method), "__array__($self, dtype=None, *, copy=None)\n--\n\n"},
    {"__array_wrap__", fnn_array_wrap, METH_VARARGS, "__array_wrap__($self, array, context=None, return_scalar=False, /)\n--\n\n"},
    {"__dlpack__", FAST(fnn_dlpack_method), "__dlpack__($self, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"},
    {"__dlpack_device__", fnn_dlpack_device, METH_NOARGS, "__dlpack_device__($self, /)\n--\n\n"},
    {"__reduce_ex__", fnn_reduce_ex, METH_O, "__reduce_ex__($self, protocol, /)\n--\n\n"},
    {"__copy__", fnn_shallow_copy, METH_NOARGS, "__copy__($self, /)\n--\n\n"},
    {"__deepcopy__", fnn_deepcopy, METH_O, "__deepcopy__($self, memo, /)\n--\n\n"},
    {"__complex__", complex_of, METH_NOARGS, "__complex__($self, /)\n--\n\n"},
    {"as_subclass", fnn_as_subclass, METH_O, "as_subclass($self, cls, /)\n--\n\nThis tensor as an object of a subclass of Tensor."},
    {"_make_subclass", (PyCFunction)(void (*)(void))fnn_make_subclass, METH_FASTCALL | METH_KEYWORDS | METH_STATIC,
     "_make_subclass(cls, data, require_grad=False)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_convert(PyObject *module) {
    PyObject *priority = PyLong_FromLong(1000); /* as torch: mixed expressions go to the Tensor */
    int failed = !priority || PyObject_SetAttrString((PyObject *)fnn_TensorType, "__array_priority__", priority);
    Py_XDECREF(priority);
    return failed || fnn_init_numpy(module) || fnn_init_kernels(module) || fnn_init_dlpack(module) || fnn_init_pickle(module) || fnn_init_construct(module) ? -1 : 0;
}
