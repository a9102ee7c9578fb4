/* torch.Size: the tuple that a tensor's shape is.
 *
 * Invariant: its items are exact Python ints. It compares and hashes as the tuple it is; slicing, adding and repeating give
 * a Size again. */
#include "args.h"

PyTypeObject *fnn_SizeType;

PyObject *fnn_size_new(int ndim, const int64_t *shape) {
    PyObject *size = fnn_SizeType->tp_alloc(fnn_SizeType, ndim);
    if (!size) return NULL;
    for (int d = 0; d < ndim; d++) {
        PyObject *item = PyLong_FromLongLong(shape[d]);
        if (!item) {
            Py_DECREF(size);
            return NULL;
        }
        PyTuple_SET_ITEM(size, d, item);
    }
    return size;
}

/* A Size with the items of a tuple (taken over); NULL passes through. */
static PyObject *size_from(PyObject *tuple) {
    if (!tuple || !PyTuple_CheckExact(tuple)) return tuple; /* an int, NotImplemented */
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    PyObject *size = fnn_SizeType->tp_alloc(fnn_SizeType, n);
    for (Py_ssize_t i = 0; size && i < n; i++) PyTuple_SET_ITEM(size, i, Py_NewRef(PyTuple_GET_ITEM(tuple, i)));
    Py_DECREF(tuple);
    return size;
}

static int check_items(PyObject *tuple) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        if (PyLong_Check(item)) continue;
        PyObject *number = PyIndex_Check(item) ? PyNumber_Index(item) : NULL;
        if (!number) {
            PyErr_Format(PyExc_TypeError, "torch.Size() takes an iterable of 'int' (item %zd is '%.100s')", i, Py_TYPE(item)->tp_name);
            return -1;
        }
        PyTuple_SET_ITEM(tuple, i, number);
        Py_DECREF(item);
    }
    return 0;
}

static PyObject *size_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *size = PyTuple_Type.tp_new(type, args, kwargs);
    if (size && check_items(size)) Py_CLEAR(size);
    return size;
}

static PyObject *size_repr(PyObject *self) {
    PyObject *list = PySequence_List(self);
    PyObject *text = list ? PyUnicode_FromFormat("torch.Size(%R)", list) : NULL;
    Py_XDECREF(list);
    return text;
}

static PyObject *size_subscript(PyObject *self, PyObject *key) { return size_from(PyTuple_Type.tp_as_mapping->mp_subscript(self, key)); }

/* Either side may be the Size; the other must be a tuple. The items of the result are checked again. */
static PyObject *size_add(PyObject *a, PyObject *b) {
    if (!PyTuple_Check(a) || !PyTuple_Check(b)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *sum = size_from(PySequence_Concat(a, b));
    if (sum && check_items(sum)) Py_CLEAR(sum);
    return sum;
}

static PyObject *size_concat(PyObject *a, PyObject *b) { return size_from(PyTuple_Type.tp_as_sequence->sq_concat(a, b)); }
static PyObject *size_repeat(PyObject *a, Py_ssize_t n) { return size_from(PyTuple_Type.tp_as_sequence->sq_repeat(a, n)); }

static PyObject *size_numel(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *product = PyLong_FromLong(1);
    for (Py_ssize_t i = 0; product && i < PyTuple_GET_SIZE(self); i++) {
        PyObject *next = PyNumber_Multiply(product, PyTuple_GET_ITEM(self, i));
        Py_DECREF(product);
        product = next;
    }
    return product;
}

static PyObject *size_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *tuple = PyTuple_GetSlice(self, 0, PyTuple_GET_SIZE(self)); /* may be self: a slice of all of a tuple */
    if (tuple && !PyTuple_CheckExact(tuple)) {
        PyObject *list = PySequence_List(tuple);
        Py_DECREF(tuple);
        tuple = list ? PyList_AsTuple(list) : NULL;
        Py_XDECREF(list);
    }
    return tuple ? Py_BuildValue("O(N)", fnn_SizeType, tuple) : NULL;
}

static PyMethodDef size_methods[] = {
    {"numel", size_numel, METH_NOARGS, "numel($self, /)\n--\n\nThe number of elements of a tensor of this size."},
    {"__reduce__", size_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot size_slots[] = {
    {Py_tp_new, size_tp_new},
    {Py_tp_repr, size_repr},
    {Py_tp_methods, size_methods},
    {Py_mp_subscript, size_subscript},
    {Py_nb_add, size_add},
    {Py_sq_concat, size_concat},
    {Py_sq_repeat, size_repeat},
    {Py_tp_doc, "The shape of a tensor: a tuple of ints."},
    {0, NULL},
};
static PyType_Spec size_spec = {.name = "fastnn.Size", .flags = Py_TPFLAGS_DEFAULT, .slots = size_slots};

int fnn_init_size(PyObject *module) {
    PyObject *bases = PyTuple_Pack(1, &PyTuple_Type);
    if (!bases) return -1;
    fnn_SizeType = (PyTypeObject *)PyType_FromSpecWithBases(&size_spec, bases);
    Py_DECREF(bases);
    return fnn_SizeType ? PyModule_AddType(module, fnn_SizeType) : -1;
}
