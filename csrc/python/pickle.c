/* Copies that keep structure: pickle and copy.deepcopy.
 *
 * Invariants: a pickle names only fastnn: the function below, the tensor's class and its dtype. deepcopy copies storages,
 * not views, so tensors that share memory (tied weights) share it again afterwards. */
#include "args.h"

#include <string.h>

/* The elements of a dense tensor in memory order, else row-major; *dense says which. */
static PyObject *bytes_of(const fnn_tensor *t, bool dense) {
    fnn_tensor plain;
    fnn_status status = FNN_OK;
    if (dense)
        fnn_tensor_ref_data(&plain, t);
    else
        status = fnn_contiguous(&plain, t);
    if (status) return fnn_raise(status);
    PyObject *bytes = PyBytes_FromStringAndSize(plain.data, (Py_ssize_t)(plain.numel * fnn_itemsize[t->dtype]));
    fnn_tensor_unref(&plain);
    return bytes;
}

static PyObject *rebuild_function;

/* (_rebuild_tensor, (class, dtype, shape, strides, bytes, requires_grad), attributes) */
PyObject *fnn_reduce_ex(PyObject *self, PyObject *protocol) {
    (void)protocol;
    const fnn_tensor *t = TENSOR(self);
    bool dense = fnn_is_dense(t);
    fnn_tensor order = *t;
    if (!dense) fnn_tensor_set_geometry(&order, t->ndim, t->shape, NULL);
    PyObject *shape = fnn_size_new(t->ndim, t->shape), *stride = fnn_size_new(t->ndim, order.stride), *bytes = bytes_of(t, dense);
    PyObject *dict = ((TensorObject *)self)->dict, *result = NULL;
    PyObject *plain_shape = shape ? PySequence_List(shape) : NULL, *plain_stride = stride ? PySequence_List(stride) : NULL;
    if (plain_shape && plain_stride && bytes)
        result = Py_BuildValue("O(OOOOOO)O", rebuild_function, Py_TYPE(self), fnn_dtype_objects[t->dtype], plain_shape, plain_stride, bytes,
                               fnn_wants_grad(t) ? Py_True : Py_False, dict && PyDict_GET_SIZE(dict) ? dict : Py_None);
    Py_XDECREF(shape);
    Py_XDECREF(stride);
    Py_XDECREF(plain_shape);
    Py_XDECREF(plain_stride);
    Py_XDECREF(bytes);
    return result;
}

/* The geometry of a tensor whose elements are `bytes`; looked at before anything is allocated. */
static int read_geometry(fnn_tensor *t, const fnn_ints *shape, const fnn_ints *stride, PyObject *bytes) {
    bool fits = shape->n == stride->n;
    for (int d = 0; fits && d < shape->n; d++) fits = shape->v[d] >= 0 && stride->v[d] >= 0;
    if (fits) fnn_tensor_set_geometry(t, (int)shape->n, shape->v, stride->v);
    int64_t size = fnn_itemsize[t->dtype], given = PyBytes_GET_SIZE(bytes);
    if (!fits || given % size || t->numel != given / size) {
        PyErr_SetString(PyExc_ValueError, "_rebuild_tensor: the number of bytes or strides does not match the shape");
        return -1;
    }
    if (fnn_is_dense(t)) return 0;
    PyErr_SetString(PyExc_ValueError, "_rebuild_tensor: the strides leave gaps");
    return -1;
}

static PyObject *rebuild_tensor(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *type, *dtype, *shape_list, *stride_list, *bytes;
    int requires_grad, code;
    fnn_ints shape, stride;
    if (!PyArg_ParseTuple(args, "O!O!OOSp:_rebuild_tensor", &PyType_Type, &type, fnn_DtypeType, &dtype, &shape_list, &stride_list, &bytes, &requires_grad))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)type, fnn_TensorType)) return PyErr_Format(PyExc_TypeError, "_rebuild_tensor: %R is not a Tensor class", type);
    if (fnn_as_dtype(dtype, &code) || fnn_as_ints(shape_list, &shape) || fnn_as_ints(stride_list, &stride)) return NULL;
    fnn_tensor t = {.dtype = (uint8_t)code};
    if (read_geometry(&t, &shape, &stride, bytes)) return NULL;
    fnn_status status = fnn_tensor_alloc(&t);
    if (status) return fnn_raise(status);
    memcpy(t.data, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    if (requires_grad) status = fnn_set_requires_grad(&t, true);
    if (!status) return fnn_wrap_as((PyTypeObject *)type, &t);
    fnn_tensor_unref(&t);
    return fnn_raise(status);
}

/* ---- deepcopy ---- */

/* A copy of the whole storage as a 1-D uint8 tensor, remembered in memo under the storage's address. Beside it stands the
 * original, so that the address stays taken as long as memo lives. */
static PyObject *copied_storage(PyObject *self, PyObject *memo) {
    fnn_storage *storage = TENSOR(self)->storage;
    PyObject *key = PyLong_FromVoidPtr(storage);
    if (!key) return NULL;
    PyObject *pair = PyDict_GetItemWithError(memo, key), *copy = NULL;
    if (pair) {
        copy = Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    } else if (!PyErr_Occurred()) {
        fnn_tensor bytes;
        fnn_status status = fnn_from_data(&bytes, FNN_U8, 1, &(int64_t){(int64_t)storage->nbytes}, storage->data);
        copy = status ? fnn_raise(status) : fnn_wrap(&bytes);
        pair = copy ? PyTuple_Pack(2, copy, self) : NULL;
        if (!pair || PyDict_SetItem(memo, key, pair)) Py_CLEAR(copy);
        Py_XDECREF(pair);
    }
    Py_DECREF(key);
    return copy;
}

/* The same view over the copied storage. */
static PyObject *copy_view(PyObject *self, PyObject *memo) {
    PyObject *bytes = copied_storage(self, memo);
    if (!bytes) return NULL;
    const fnn_tensor *t = TENSOR(self);
    fnn_tensor view;
    fnn_tensor_ref_data(&view, TENSOR(bytes));
    Py_DECREF(bytes);
    view.data += t->data - t->storage->data;
    view.dtype = t->dtype;
    fnn_tensor_set_geometry(&view, t->ndim, t->shape, t->stride);
    fnn_status status = fnn_wants_grad(t) ? fnn_set_requires_grad(&view, true) : FNN_OK;
    if (!status) return fnn_wrap_as(Py_TYPE(self), &view);
    fnn_tensor_unref(&view);
    return fnn_raise(status);
}

/* Copies what hangs on the tensor: its gradient and its Python attributes. */
static int copy_attachments(PyObject *copy, PyObject *self, PyObject *memo) {
    PyObject *deepcopy = NULL, *module = NULL, *grad = PyObject_GetAttrString(self, "grad"), *dict = NULL, *value = NULL;
    int failed = !grad;
    if (!failed && grad != Py_None) {
        value = fnn_deepcopy(grad, memo);
        failed = !value || PyObject_SetAttrString(copy, "grad", value);
        Py_CLEAR(value);
    }
    if (!failed && ((TensorObject *)self)->dict && PyDict_GET_SIZE(((TensorObject *)self)->dict)) {
        module = PyImport_ImportModule("copy");
        deepcopy = module ? PyObject_GetAttrString(module, "deepcopy") : NULL;
        value = deepcopy ? PyObject_CallFunctionObjArgs(deepcopy, ((TensorObject *)self)->dict, memo, NULL) : NULL;
        dict = value ? PyObject_GetAttrString(copy, "__dict__") : NULL;
        failed = !dict || PyDict_Update(dict, value);
    }
    Py_XDECREF(module);
    Py_XDECREF(deepcopy);
    Py_XDECREF(value);
    Py_XDECREF(dict);
    Py_XDECREF(grad);
    return failed ? -1 : 0;
}

PyObject *fnn_deepcopy(PyObject *self, PyObject *memo) {
    if (!PyDict_Check(memo)) return PyErr_Format(PyExc_TypeError, "__deepcopy__: memo must be a dict, found %.100s", Py_TYPE(memo)->tp_name);
    PyObject *key = PyLong_FromVoidPtr(self); /* id(self) */
    if (!key) return NULL;
    PyObject *copy = PyDict_GetItemWithError(memo, key);
    Py_XINCREF(copy);
    if (!copy && !PyErr_Occurred()) {
        const fnn_tensor *t = TENSOR(self);
        fnn_node *node;
        fnn_status status = fnn_current_grad_fn(t, &node);
        if (status)
            fnn_raise(status);
        else if (node)
            PyErr_SetString(PyExc_RuntimeError, "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                                                "moment.  If you want the values only, use detach() first.");
        else
            copy = copy_view(self, memo);
        if (copy && (PyDict_SetItem(memo, key, copy) || copy_attachments(copy, self, memo))) Py_CLEAR(copy);
    }
    Py_DECREF(key);
    return copy;
}

/* copy.copy: another tensor over the same memory. */
PyObject *fnn_shallow_copy(PyObject *self, PyObject *unused) {
    (void)unused;
    const fnn_tensor *t = TENSOR(self);
    fnn_tensor view;
    fnn_tensor_ref_data(&view, t);
    fnn_status status = fnn_wants_grad(t) ? fnn_set_requires_grad(&view, true) : FNN_OK;
    if (status) {
        fnn_tensor_unref(&view);
        return fnn_raise(status);
    }
    PyObject *copy = fnn_wrap_as(Py_TYPE(self), &view), *dict = ((TensorObject *)self)->dict;
    if (!copy || !dict || !PyDict_GET_SIZE(dict)) return copy;
    PyObject *own = PyObject_GetAttrString(copy, "__dict__");
    if (!own || PyDict_Update(own, dict)) Py_CLEAR(copy);
    Py_XDECREF(own);
    return copy;
}

/* ---- what files are made of (serialization) ---- */

/* Equal for tensors that share memory, as long as one of them lives. */
static PyObject *storage_key(PyObject *module, PyObject *tensor) {
    (void)module;
    const fnn_tensor *t = fnn_arg_tensor("_storage_key", "tensor", tensor);
    return t ? PyLong_FromVoidPtr(t->storage) : NULL;
}

/* All the memory behind a tensor as a 1-D array of its dtype, shared. */
static PyObject *storage_numpy(PyObject *module, PyObject *tensor) {
    (void)module;
    const fnn_tensor *t = fnn_arg_tensor("_storage_numpy", "tensor", tensor);
    if (!t) return NULL;
    fnn_tensor all;
    fnn_tensor_ref_data(&all, t);
    if (t->storage) all.data = t->storage->data;
    fnn_tensor_set_geometry(&all, 1, &(int64_t){t->storage ? (int64_t)t->storage->nbytes / fnn_itemsize[t->dtype] : t->numel}, NULL);
    PyObject *flat = fnn_wrap(&all), *array = flat ? fnn_to_numpy(flat) : NULL;
    Py_XDECREF(flat);
    return array;
}

static PyMethodDef functions[] = {
    {"_storage_key", storage_key, METH_O, NULL},
    {"_storage_numpy", storage_numpy, METH_O, NULL},
    {"_rebuild_tensor", rebuild_tensor, METH_VARARGS, "_rebuild_tensor($module, cls, dtype, shape, stride, data, requires_grad, /)\n--\n\n"
                                                      "What a pickled Tensor calls to come back."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_pickle(PyObject *module) {
    if (PyModule_AddFunctions(module, functions)) return -1;
    rebuild_function = PyObject_GetAttrString(module, "_rebuild_tensor");
    return rebuild_function ? 0 : -1;
}
