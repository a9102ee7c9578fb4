/* The dtype type and its instances; starts the other plain types of the module (size.c, generator.c).
 *
 * Invariant: there is one object per dtype, made at import and kept; comparing pointers is comparing dtypes. Names without
 * tensors here (float16, int8, complex64, ...) exist so that scripts can mention them; fnn_as_dtype refuses their use. */
#include "args.h"

PyTypeObject *fnn_DtypeType;
PyObject *fnn_dtype_objects[FNN_NDTYPES];

typedef struct dtype_row {
    const char *name, *alias; /* alias NULL: none */
    int code, itemsize;
    bool is_float, is_signed, is_complex;
} dtype_row;

static const dtype_row rows[] = {
    {"float32", "float", FNN_F32, 4, true, true, false},
    {"float64", "double", FNN_F64, 8, true, true, false},
    {"int64", "long", FNN_I64, 8, false, true, false},
    {"int32", "int", FNN_I32, 4, false, true, false},
    {"uint8", NULL, FNN_U8, 1, false, false, false},
    {"bool", NULL, FNN_BOOL, 1, false, false, false},
    {"float16", "half", -1, 2, true, true, false},
    {"bfloat16", NULL, -1, 2, true, true, false},
    {"float8_e4m3fn", NULL, -1, 1, true, true, false},
    {"float8_e5m2", NULL, -1, 1, true, true, false},
    {"int8", NULL, -1, 1, false, true, false},
    {"int16", "short", -1, 2, false, true, false},
    {"uint16", NULL, -1, 2, false, false, false},
    {"uint32", NULL, -1, 4, false, false, false},
    {"uint64", NULL, -1, 8, false, false, false},
    {"complex32", "chalf", -1, 4, false, true, true},
    {"complex64", "cfloat", -1, 8, false, true, true},
    {"complex128", "cdouble", -1, 16, false, true, true},
};

static PyObject *dtype_repr(PyObject *self) { return PyUnicode_FromFormat("torch.%s", ((DtypeObject *)self)->name); }

/* A string: pickle looks the name up in the module this type says it is from, fastnn. */
static PyObject *dtype_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyUnicode_FromString(((DtypeObject *)self)->name);
}

static PyObject *dtype_to_real(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!((DtypeObject *)self)->is_complex) return Py_NewRef(self);
    PyErr_Format(PyExc_NotImplementedError, "to_real: fastnn has no complex tensors, found dtype %R", self);
    return NULL;
}

static PyObject *dtype_itemsize(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(((DtypeObject *)self)->itemsize);
}
static PyObject *dtype_is_float(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((DtypeObject *)self)->is_float);
}
static PyObject *dtype_is_signed(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((DtypeObject *)self)->is_signed);
}
static PyObject *dtype_is_complex(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((DtypeObject *)self)->is_complex);
}

static PyMethodDef dtype_methods[] = {
    {"__reduce__", dtype_reduce, METH_NOARGS, NULL},
    {"to_real", dtype_to_real, METH_NOARGS, "to_real($self, /)\n--\n\nThe real dtype of the same precision."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef dtype_getset[] = {
    {"itemsize", dtype_itemsize, NULL, "Bytes of one element.", NULL},
    {"is_floating_point", dtype_is_float, NULL, "Whether elements are floating-point numbers.", NULL},
    {"is_signed", dtype_is_signed, NULL, "Whether elements can be negative.", NULL},
    {"is_complex", dtype_is_complex, NULL, "Whether elements are complex numbers.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot dtype_slots[] = {
    {Py_tp_repr, dtype_repr},
    {Py_tp_methods, dtype_methods},
    {Py_tp_getset, dtype_getset},
    {Py_tp_doc, "The type of a tensor's elements."},
    {0, NULL},
};
static PyType_Spec dtype_spec = {
    .name = "fastnn.dtype",
    .basicsize = sizeof(DtypeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = dtype_slots,
};

int fnn_as_dtype(PyObject *o, int *code) {
    *code = -1;
    if (o == Py_None) return 0;
    if (Py_IS_TYPE(o, fnn_DtypeType)) {
        *code = ((DtypeObject *)o)->code;
        if (*code >= 0) return 0;
        PyErr_Format(PyExc_NotImplementedError, "fastnn has no tensors of dtype %R; it has float32, float64, int64, int32, uint8 and bool", o);
        return -1;
    }
    if (o == (PyObject *)&PyFloat_Type)
        *code = FNN_F64;
    else if (o == (PyObject *)&PyLong_Type)
        *code = FNN_I64;
    else if (o == (PyObject *)&PyBool_Type)
        *code = FNN_BOOL;
    else {
        PyErr_Format(PyExc_TypeError, "argument 'dtype' must be torch.dtype, not %.100s", Py_TYPE(o)->tp_name);
        return -1;
    }
    return 0;
}

static int add_dtypes(PyObject *module) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const dtype_row *row = &rows[i];
        DtypeObject *d = PyObject_New(DtypeObject, fnn_DtypeType);
        if (!d) return -1;
        d->code = row->code;
        d->name = row->name;
        d->itemsize = row->itemsize;
        d->is_float = row->is_float;
        d->is_signed = row->is_signed;
        d->is_complex = row->is_complex;
        if (row->code >= 0) fnn_dtype_objects[row->code] = (PyObject *)d; /* kept alive by the module and this table */
        if (row->alias && PyModule_AddObjectRef(module, row->alias, (PyObject *)d)) return -1;
        if (PyModule_AddObject(module, row->name, (PyObject *)d)) return -1;
        if (row->code >= 0) Py_INCREF(d);
    }
    return 0;
}

int fnn_init_types(PyObject *module) {
    fnn_DtypeType = (PyTypeObject *)PyType_FromSpec(&dtype_spec);
    if (!fnn_DtypeType || PyModule_AddType(module, fnn_DtypeType) || add_dtypes(module)) return -1;
    return fnn_init_size(module) || fnn_init_generator(module) ? -1 : 0;
}
