/* Tensors from Python data: tensor, as_tensor, asarray, frombuffer, Tensor(...). The data itself is convert.c's work.
 *
 * Invariant: tensor() always copies, as_tensor() and asarray() share memory where dtype and layout allow it. A tensor made
 * under inference mode is an inference tensor. */
#include "args.h"

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

PyObject *fnn_wrap_leaf(fnn_tensor *t, bool requires_grad) {
    if (fnn_mode.inference) {
        t->flags |= FNN_T_INFERENCE;
        t->version = NULL;
    }
    fnn_status status = requires_grad ? fnn_set_requires_grad(t, true) : FNN_OK;
    if (!status) return fnn_wrap(t);
    fnn_tensor_unref(t);
    return fnn_raise(status);
}

static int warn_about_copy(PyObject *data) {
    if (!fnn_is_tensor(data)) return 0;
    return PyErr_WarnEx(PyExc_UserWarning,
                        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                        "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                        1);
}

static PyObject *tensor(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"data", "*", "dtype", "device", "requires_grad", "pin_memory", NULL};
    (void)module;
    PyObject *g[5];
    fnn_options options;
    if (fnn_sort_args("tensor", names, args, n, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("tensor", "data"), NULL;
    if (fnn_read_options("tensor", g[1], g[2], NULL, g[4], g[3], NULL, &options) || warn_about_copy(g[0])) return NULL;
    fnn_tensor t;
    return fnn_tensor_from_object(g[0], options.dtype, &t) ? NULL : fnn_wrap_leaf(&t, options.requires_grad);
}

/* A tensor over data's own memory where that is possible (copy: never, then), else a copy. */
static PyObject *share_or_copy(PyObject *data, int dtype, bool copy) {
    fnn_tensor t;
    if (fnn_is_tensor(data)) {
        if (copy) return PyObject_CallMethod(data, "clone", NULL);
        if (dtype < 0 || dtype == TENSOR(data)->dtype) return Py_NewRef(data);
        return PyObject_CallMethod(data, "to", "O", fnn_dtype_objects[dtype]);
    }
    bool shares = !copy && fnn_is_ndarray(data) && (dtype < 0 || dtype == fnn_ndarray_dtype(data));
    if (shares ? fnn_tensor_from_numpy(data, &t) : fnn_tensor_from_object(data, dtype, &t)) return NULL;
    return fnn_wrap_leaf(&t, false);
}

static PyObject *as_tensor(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"data", "dtype", "device", NULL};
    (void)module;
    PyObject *g[3];
    fnn_options options;
    if (fnn_sort_args("as_tensor", names, args, n, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("as_tensor", "data"), NULL;
    if (fnn_read_options("as_tensor", g[1], g[2], NULL, NULL, NULL, NULL, &options)) return NULL;
    return share_or_copy(g[0], options.dtype, false);
}

static bool shares_memory(PyObject *data, int dtype) {
    if (fnn_is_tensor(data)) return dtype < 0 || dtype == TENSOR(data)->dtype;
    return fnn_is_ndarray(data) && (dtype < 0 || dtype == fnn_ndarray_dtype(data));
}

static PyObject *asarray(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"obj", "*", "dtype", "device", "copy", "requires_grad", NULL};
    (void)module;
    PyObject *g[5];
    fnn_options options;
    bool copy = false;
    if (fnn_sort_args("asarray", names, args, n, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("asarray", "obj"), NULL;
    if (fnn_read_options("asarray", g[1], g[2], NULL, NULL, g[4], NULL, &options) || fnn_opt_bool("asarray", "copy", g[3], &copy)) return NULL;
    if (g[3] == Py_False && !shares_memory(g[0], options.dtype)) {
        PyErr_SetString(PyExc_ValueError, "asarray: can't alias arbitrary sequence into a tensor with copy=False");
        return NULL;
    }
    PyObject *result = share_or_copy(g[0], options.dtype, copy && shares_memory(g[0], options.dtype));
    if (!result || fnn_wants_grad(TENSOR(result)) == options.requires_grad) return result;
    PyObject *plain = PyObject_CallMethod(result, "detach", NULL);
    Py_DECREF(result);
    if (plain && options.requires_grad) {
        fnn_status status = fnn_set_requires_grad(TENSOR(plain), true);
        if (status) {
            Py_DECREF(plain);
            return fnn_raise(status);
        }
    }
    return plain;
}

/* ---- memory of any object with the buffer protocol ---- */

/* The number of elements, or -1: count and offset must lie inside the buffer. */
static int64_t count_elements(int64_t length, int64_t itemsize, int64_t count, int64_t offset) {
    const char *what = NULL;
    if (length <= 0 || count == 0)
        what = "both buffer length (%lld) and count (%lld) must not be 0";
    if (what) {
        PyErr_Format(PyExc_ValueError, what, (long long)length, (long long)count);
    } else if (offset < 0 || offset >= length) {
        PyErr_Format(PyExc_ValueError, "offset (%lld bytes) must be non-negative and no greater than buffer length (%lld bytes) minus 1",
                     (long long)offset, (long long)length);
    } else if (count > 0) {
        if (count <= (length - offset) / itemsize) return count;
        PyErr_Format(PyExc_ValueError, "requested buffer length (%lld * %lld bytes) after offset (%lld bytes) must not be greater than actual "
                     "buffer length (%lld bytes)", (long long)count, (long long)itemsize, (long long)offset, (long long)length);
    } else {
        if ((length - offset) % itemsize == 0) return (length - offset) / itemsize;
        PyErr_Format(PyExc_ValueError, "buffer length (%lld bytes) after offset (%lld bytes) must be a multiple of element size (%lld)",
                     (long long)(length - offset), (long long)offset, (long long)itemsize);
    }
    return -1;
}

static PyObject *frombuffer(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"buffer", "*", "dtype", "count", "offset", "requires_grad", NULL};
    (void)module;
    PyObject *g[5];
    fnn_options options;
    int64_t count = -1, offset = 0;
    if (fnn_sort_args("frombuffer", names, args, n, kwnames, g)) return NULL;
    if (!g[0] || !g[1]) return fnn_missing_arg("frombuffer", g[0] ? "dtype" : "buffer"), NULL;
    if (fnn_read_options("frombuffer", g[1], NULL, NULL, NULL, g[4], NULL, &options)) return NULL;
    if ((g[2] && fnn_as_int(g[2], &count)) || (g[3] && fnn_as_int(g[3], &offset))) return NULL;
    if (options.dtype < 0) options.dtype = fnn_default_dtype;
    if (!PyObject_CheckBuffer(g[0])) return PyErr_SetString(PyExc_ValueError, "object does not implement Python buffer protocol."), NULL;
    PyObject *view = PyMemoryView_FromObject(g[0]);
    if (!view) return NULL;
    const Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    int64_t elements = -1, itemsize = fnn_itemsize[options.dtype];
    if (!PyBuffer_IsContiguous(buffer, 'C'))
        PyErr_SetString(PyExc_ValueError, "frombuffer: found a buffer with gaps, wanted a contiguous one");
    else
        elements = count_elements(buffer->len, itemsize, count, offset);
    if (elements >= 0 && ((uintptr_t)buffer->buf + (uintptr_t)offset) % (uintptr_t)itemsize) {
        PyErr_Format(PyExc_ValueError, "frombuffer: offset %lld is not aligned to elements of %lld bytes", (long long)offset, (long long)itemsize);
        elements = -1;
    }
    fnn_tensor t = {.dtype = (uint8_t)options.dtype};
    if (elements >= 0) t.storage = fnn_storage_wrap((char *)buffer->buf + offset, (size_t)(elements * itemsize), buffer->readonly, fnn_release_object, view);
    if (!t.storage) {
        Py_DECREF(view);
        return elements >= 0 ? fnn_raise(FNN_ERR_MEMORY) : NULL;
    }
    t.data = t.storage->data;
    t.version = &t.storage->version;
    fnn_tensor_set_geometry(&t, 1, &elements, NULL);
    return fnn_wrap_leaf(&t, options.requires_grad);
}

/* ---- Tensor(...) and its typed forms ---- */

static int construct_sizes(int dtype, const fnn_ints *sizes, fnn_tensor *t) {
    fnn_status status = fnn_empty(t, (fnn_dtype)dtype, (int)sizes->n, sizes->v);
    return status ? fnn_raise(status), -1 : 0;
}

/* Tensor(other): the same memory, in the graph where other is. */
static int construct_alias(PyObject *other, fnn_tensor *t) {
    PyObject *view = PyObject_CallMethod(other, "view_as", "O", other);
    if (!view) return -1;
    fnn_tensor_ref(t, TENSOR(view));
    Py_DECREF(view);
    return 0;
}

static int construct_from(PyObject *data, int dtype, bool any_dtype, fnn_tensor *t) {
    if (fnn_is_tensor(data)) {
        if (any_dtype || TENSOR(data)->dtype == dtype) return construct_alias(data, t);
        PyErr_Format(PyExc_TypeError, "new(): expected a tensor of dtype %s (got %s)", fnn_dtype_name((fnn_dtype)dtype), fnn_dtype_name(TENSOR(data)->dtype));
        return -1;
    }
    if (fnn_is_ndarray(data)) return fnn_copy_ndarray(data, dtype, t);
    if (!PySequence_Check(data)) {
        PyErr_Format(PyExc_TypeError, "new(): data must be a sequence (got %.100s)", Py_TYPE(data)->tp_name);
        return -1;
    }
    if (PyUnicode_Check(data) || PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "new(): invalid data type '%.100s'", Py_TYPE(data)->tp_name);
        return -1;
    }
    return fnn_tensor_from_object(data, dtype, t);
}

/* Tensor() is empty, Tensor(2, 3) and Tensor(Size) are shapes, Tensor([2, 3]) is data. */
static int construct(int dtype, bool any_dtype, PyObject *args, fnn_tensor *t) {
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject *first = n ? PyTuple_GET_ITEM(args, 0) : NULL;
    fnn_ints sizes = {.n = 1};
    if (!n) return construct_sizes(dtype, &sizes, t);
    if (n == 1 && Py_IS_TYPE(first, fnn_SizeType)) return fnn_as_ints(first, &sizes) || construct_sizes(dtype, &sizes, t) ? -1 : 0;
    if (n == 1 && (!PyLong_Check(first) || PyBool_Check(first))) return construct_from(first, dtype, any_dtype, t);
    return fnn_as_ints(args, &sizes) || construct_sizes(dtype, &sizes, t) ? -1 : 0;
}

PyObject *fnn_tensor_construct(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (kwargs) {
        PyObject *name, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(kwargs, &at, &name, &value)) {
            if (PyUnicode_CompareWithASCIIString(name, "device") == 0) {
                if (fnn_as_device(value)) return NULL;
            } else if (type == fnn_TensorType) { /* a subclass may pass its own keywords on to __init__ */
                return PyErr_Format(PyExc_TypeError, "new() got an unexpected keyword argument '%U'", name);
            }
        }
    }
    fnn_tensor t;
    return construct(fnn_default_dtype, true, args, &t) ? NULL : fnn_wrap_as(type, &t);
}

/* _legacy_tensor(dtype, *args): what LongTensor(...) and its kind are made of. */
static PyObject *legacy_tensor(PyObject *module, PyObject *args) {
    (void)module;
    int dtype;
    if (PyTuple_GET_SIZE(args) < 1) return fnn_missing_arg("_legacy_tensor", "dtype"), NULL;
    if (fnn_as_dtype(PyTuple_GET_ITEM(args, 0), &dtype)) return NULL;
    PyObject *rest = PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args));
    fnn_tensor t;
    int failed = !rest || construct(dtype < 0 ? fnn_default_dtype : dtype, false, rest, &t);
    Py_XDECREF(rest);
    return failed ? NULL : fnn_wrap_leaf(&t, false);
}

static PyObject *is_tensor(PyObject *module, PyObject *o) {
    (void)module;
    return PyBool_FromLong(fnn_is_tensor(o));
}

/* ---- subclasses ---- */

/* _make_subclass(cls, data, require_grad=False): data's memory, outside any graph, as an object of cls. */
PyObject *fnn_make_subclass(PyObject *unused, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"cls", "data", "require_grad", NULL};
    (void)unused;
    PyObject *g[3];
    bool requires_grad = false;
    if (fnn_sort_args("_make_subclass", names, args, n, kwnames, g)) return NULL;
    if (!g[0] || !PyType_Check(g[0]) || !PyType_IsSubtype((PyTypeObject *)g[0], fnn_TensorType))
        return PyErr_SetString(PyExc_TypeError, "_make_subclass: cls must be a subclass of Tensor"), NULL;
    if (!fnn_arg_tensor("_make_subclass", "data", g[1]) || fnn_opt_bool("_make_subclass", "require_grad", g[2], &requires_grad)) return NULL;
    fnn_tensor t;
    fnn_tensor_ref_data(&t, TENSOR(g[1]));
    t.flags &= (uint8_t)~FNN_T_VIEW;
    fnn_status status = requires_grad ? fnn_set_requires_grad(&t, true) : FNN_OK;
    if (!status) return fnn_wrap_as((PyTypeObject *)g[0], &t);
    fnn_tensor_unref(&t);
    return fnn_raise(status);
}

PyObject *fnn_as_subclass(PyObject *self, PyObject *type) {
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, fnn_TensorType))
        return PyErr_Format(PyExc_TypeError, "as_subclass: cls must be a subclass of Tensor, found %R", type);
    fnn_tensor t;
    return construct_alias(self, &t) ? NULL : fnn_wrap_as((PyTypeObject *)type, &t);
}

static PyMethodDef functions[] = {
    {"tensor", FAST(tensor), "tensor($module, data, *, dtype=None, device=None, requires_grad=False, pin_memory=False)\n--\n\n"
                             "A tensor with a copy of the data: numbers, nested sequences, arrays. Ints give int64, floats the default dtype."},
    {"as_tensor", FAST(as_tensor), "as_tensor($module, data, dtype=None, device=None)\n--\n\nLike tensor(), sharing memory where it can."},
    {"asarray", FAST(asarray), "asarray($module, obj, *, dtype=None, device=None, copy=None, requires_grad=False)\n--\n\n"
                               "A tensor of obj, sharing memory unless copy=True asks not to."},
    {"frombuffer", FAST(frombuffer), "frombuffer($module, buffer, *, dtype, count=-1, offset=0, requires_grad=False)\n--\n\n"
                                     "A 1-D tensor over the memory of an object with the buffer protocol."},
    {"is_tensor", is_tensor, METH_O, "is_tensor($module, obj, /)\n--\n\nWhether obj is a Tensor."},
    {"_legacy_tensor", legacy_tensor, METH_VARARGS, "_legacy_tensor($module, dtype, /, *args)\n--\n\nTensor(*args) of a given dtype."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_construct(PyObject *module) { return PyModule_AddFunctions(module, functions); }
