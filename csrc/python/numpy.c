/* NumPy arrays in and out: the one file that knows NumPy's C API.
 *
 * Invariants: the API is fetched on first need, so a program without arrays does not import NumPy; an object can only be an
 * array when somebody has imported NumPy before, so asking "is this an array?" never imports it. Memory is shared in both
 * directions: an array made here holds the storage through a capsule, a storage made here holds the array.
 * It does not: take arrays of other dtypes apart (float16, strings): those are named and refused. */
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include "args.h"

#include <numpy/arrayobject.h>

static bool ready;

/* The API is at hand; imports NumPy. */
static bool load(void) {
    if (!ready) ready = PyArray_ImportNumPyAPI() == 0;
    return ready;
}

/* NumPy is in the process (loaded by anyone) and its API is at hand. */
static bool present(void) {
    if (ready) return true;
    PyObject *modules = PyImport_GetModuleDict();
    if (!modules || !PyDict_GetItemString(modules, "numpy._core._multiarray_umath")) return false;
    if (load()) return true;
    PyErr_Clear(); /* in the middle of its own import */
    return false;
}

static const int type_nums[FNN_NDTYPES] = {NPY_FLOAT32, NPY_FLOAT64, NPY_INT64, NPY_INT32, NPY_UINT8, NPY_BOOL};

/* The dtype of a NumPy type number, or -1. Two numbers may mean the same type: long and long long. */
static int dtype_of(int type_num) {
    for (int d = 0; d < FNN_NDTYPES; d++)
        if (type_nums[d] == type_num) return d;
    if (type_num == NPY_LONGLONG && sizeof(long long) == 8) return FNN_I64;
    if (type_num == NPY_LONG) return sizeof(long) == 8 ? FNN_I64 : FNN_I32;
    return -1;
}

bool fnn_is_ndarray(PyObject *o) { return present() && PyArray_Check(o); }

bool fnn_is_numpy_scalar(PyObject *o, int *dtype) {
    if (!present() || !PyArray_IsScalar(o, Generic)) return false;
    PyArray_Descr *descr = PyArray_DescrFromScalar(o);
    *dtype = descr ? dtype_of(descr->type_num) : -1;
    Py_XDECREF(descr);
    return true;
}

int fnn_ndarray_dtype(PyObject *array) { return dtype_of(PyArray_TYPE((PyArrayObject *)array)); }

int fnn_ndarray_shape(PyObject *array, int64_t *shape) {
    PyArrayObject *a = (PyArrayObject *)array;
    if (PyArray_NDIM(a) > FNN_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "found an np.ndarray of %d dimensions, wanted at most %d", PyArray_NDIM(a), FNN_MAX_DIMS);
        return -1;
    }
    for (int d = 0; d < PyArray_NDIM(a); d++) shape[d] = PyArray_DIM(a, d);
    return PyArray_NDIM(a);
}

int fnn_numpy_number(PyObject *o, fnn_number_slot *slot) {
    if (!present() || !PyArray_IsScalar(o, Generic)) return 0;
    if (PyArray_IsScalar(o, Bool)) { /* counts as a float, as in PyTorch */
        slot->t.dtype = FNN_F64;
        slot->value.f = PyObject_IsTrue(o) == 1;
    } else if (PyArray_IsScalar(o, Integer)) {
        PyObject *number = PyNumber_Index(o);
        slot->t.dtype = FNN_I64;
        slot->value.i = number ? PyLong_AsLongLong(number) : -1;
        Py_XDECREF(number);
    } else if (PyArray_IsScalar(o, Floating)) {
        slot->t.dtype = FNN_F64;
        slot->value.f = PyFloat_AsDouble(o);
    } else {
        return 0;
    }
    if (!PyErr_Occurred()) return 1;
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) return -1;
    PyErr_Clear();
    return 0;
}

/* ---- array -> tensor ---- */

static int refuse_dtype(PyArrayObject *a) {
    PyObject *type = (PyObject *)PyArray_DESCR(a)->typeobj;
    PyErr_Format(PyExc_TypeError, "can't convert np.ndarray of type numpy.%s. The only supported types are: float64, float32, int64, int32, uint8, and bool.",
                 strncmp(((PyTypeObject *)type)->tp_name, "numpy.", 6) ? ((PyTypeObject *)type)->tp_name : ((PyTypeObject *)type)->tp_name + 6);
    return -1;
}

static int refuse(const char *message) {
    PyErr_SetString(PyExc_ValueError, message);
    return -1;
}

/* Geometry of an array in elements; refuses what a tensor cannot express. */
static int read_geometry(PyArrayObject *a, fnn_tensor *t) {
    int64_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS], size = PyArray_ITEMSIZE(a);
    if (fnn_ndarray_shape((PyObject *)a, shape) < 0) return -1;
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        stride[d] = PyArray_STRIDE(a, d);
        if (shape[d] <= 1 || PyArray_SIZE(a) == 0) { /* any stride is right where nothing is stepped over */
            if (stride[d] < 0 || stride[d] % size) stride[d] = size;
        }
        if (stride[d] % size)
            return refuse("given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.");
        if (stride[d] < 0)
            return refuse("At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
                          "supported. (You can probably work around this by making a copy of your array  with array.copy().) ");
        stride[d] /= size;
    }
    if (PyArray_ISBYTESWAPPED(a))
        return refuse("given numpy array has byte order different from the native byte order. Conversion between byte orders is currently "
                      "not supported.");
    if ((uintptr_t)PyArray_DATA(a) % (uintptr_t)size)
        return refuse("given numpy array is not aligned to its element size. Copy the numpy array to reallocate the memory.");
    fnn_tensor_set_geometry(t, PyArray_NDIM(a), shape, stride);
    return 0;
}

int fnn_tensor_from_numpy(PyObject *array, fnn_tensor *out) {
    if (!fnn_is_ndarray(array)) {
        PyErr_Format(PyExc_TypeError, "from_numpy: expected np.ndarray (got %.100s)", Py_TYPE(array)->tp_name);
        return -1;
    }
    PyArrayObject *a = (PyArrayObject *)array;
    int dtype = dtype_of(PyArray_TYPE(a));
    if (dtype < 0) return refuse_dtype(a);
    fnn_tensor t = {.dtype = (uint8_t)dtype, .data = PyArray_DATA(a)};
    if (read_geometry(a, &t)) return -1;
    const char *lo, *hi;
    fnn_tensor_extent(&t, &lo, &hi);
    t.storage = fnn_storage_wrap(t.data, (size_t)(hi - lo), !PyArray_ISWRITEABLE(a), fnn_release_object, array);
    if (!t.storage) return fnn_raise(FNN_ERR_MEMORY), -1;
    Py_INCREF(array);
    t.version = &t.storage->version;
    *out = t;
    return 0;
}

PyObject *fnn_plain_array(PyObject *o) {
    if (!fnn_is_ndarray(o)) return Py_NewRef(o);
    PyArrayObject *a = (PyArrayObject *)o;
    bool plain = PyArray_ISALIGNED(a) && PyArray_ISNOTSWAPPED(a);
    for (int d = 0; d < PyArray_NDIM(a); d++) plain &= PyArray_STRIDE(a, d) >= 0 && PyArray_STRIDE(a, d) % PyArray_ITEMSIZE(a) == 0;
    if (plain) return Py_NewRef(o);
    PyArray_Descr *native = PyArray_DescrFromType(PyArray_TYPE(a));
    return native ? PyArray_FromAny(o, native, 0, 0, NPY_ARRAY_CARRAY | NPY_ARRAY_ENSURECOPY, NULL) : NULL; /* takes native */
}

/* ---- arrays as tensors on the caller's stack ---- */

static void never(void *owner) { (void)owner; } /* marks a borrowed storage; its count starts too high to end */
bool fnn_is_borrowed(const fnn_storage *s) { return s->release == never; }
#define MANY (1 << 30)

void fnn_borrow_memory(fnn_borrowed *b, void *data, size_t nbytes, bool readonly) {
    b->t.data = data;
    b->storage.readonly = readonly;
    b->storage.data = data;
    b->storage.nbytes = nbytes;
    b->storage.release = never;
    b->storage.owner = NULL;
    atomic_init(&b->storage.refs, MANY);
    atomic_init(&b->storage.version.refs, FNN_VERSION_EMBEDDED);
    b->t.storage = &b->storage;
    b->t.version = &b->storage.version;
}

static void lay_over(fnn_borrowed *b, PyArrayObject *a) {
    fnn_borrow_memory(b, PyArray_DATA(a), (size_t)PyArray_NBYTES(a), !PyArray_ISWRITEABLE(a));
}

int fnn_borrow_array(PyObject *array, fnn_borrowed *b) {
    b->array = NULL;
    int dtype = dtype_of(PyArray_TYPE((PyArrayObject *)array));
    if (dtype < 0) return refuse_dtype((PyArrayObject *)array);
    fnn_tensor_clear(&b->t);
    b->t.dtype = (uint8_t)dtype;
    PyArrayObject *a = (PyArrayObject *)array;
    if (PyArray_ISCARRAY_RO(a) && PyArray_NDIM(a) <= FNN_MAX_DIMS) { /* the usual case, without a look at the strides */
        int64_t shape[FNN_MAX_DIMS];
        for (int d = 0; d < PyArray_NDIM(a); d++) shape[d] = PyArray_DIM(a, d);
        fnn_tensor_set_geometry(&b->t, PyArray_NDIM(a), shape, NULL);
        lay_over(b, a);
        b->array = Py_NewRef(array);
        return 0;
    }
    PyObject *plain = fnn_plain_array(array);
    if (!plain) return -1;
    if (read_geometry((PyArrayObject *)plain, &b->t)) {
        Py_DECREF(plain);
        return -1;
    }
    lay_over(b, (PyArrayObject *)plain);
    b->array = plain;
    return 0;
}

bool fnn_array_is_writable(PyObject *array) { return PyArray_ISWRITEABLE((PyArrayObject *)array); }

void fnn_array_extent(PyObject *array, const char **lo, const char **hi) {
    PyArrayObject *a = (PyArrayObject *)array;
    *lo = PyArray_BYTES(a);
    *hi = *lo + PyArray_ITEMSIZE(a);
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        npy_intp reach = (PyArray_DIM(a, d) - 1) * PyArray_STRIDE(a, d);
        *(reach < 0 ? lo : hi) += reach;
    }
}

int fnn_new_array(const fnn_tensor *like, fnn_borrowed *b) {
    b->array = NULL;
    b->t = *like;
    if (!load()) return -1;
    if (like->numel * fnn_itemsize[like->dtype] > FNN_SMALL_ARRAY) {
        fnn_status status = fnn_tensor_alloc(&b->t);
        if (status) return fnn_raise(status), -1;
        b->array = fnn_share_array(&b->t);
        fnn_storage_unref(b->t.storage);
    } else {
        npy_intp shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
        for (int d = 0; d < like->ndim; d++) {
            shape[d] = (npy_intp)like->shape[d];
            stride[d] = (npy_intp)(like->stride[d] * fnn_itemsize[like->dtype]);
        }
        b->array = PyArray_New(&PyArray_Type, like->ndim, shape, type_nums[like->dtype], stride, NULL, 0, 0, NULL);
    }
    if (b->array) lay_over(b, (PyArrayObject *)b->array);
    return b->array ? 0 : -1;
}

int fnn_copy_array(PyObject *dst, PyObject *src) { return PyArray_CopyInto((PyArrayObject *)dst, (PyArrayObject *)src); }

bool fnn_arrays_share(PyObject *a, PyObject *b) {
    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *answer = numpy ? PyObject_CallMethod(numpy, "shares_memory", "OOi", a, b, 1000) : NULL;
    bool share = answer != Py_False;
    PyErr_Clear(); /* too hard */
    Py_XDECREF(answer);
    Py_XDECREF(numpy);
    return share;
}

int fnn_copy_ndarray(PyObject *array, int dtype, fnn_tensor *out) {
    PyArrayObject *a = (PyArrayObject *)array;
    if (dtype < 0) dtype = dtype_of(PyArray_TYPE(a));
    if (dtype < 0 || !(PyArray_ISNUMBER(a) || PyArray_ISBOOL(a))) return refuse_dtype(a);
    int64_t shape[FNN_MAX_DIMS];
    int ndim = fnn_ndarray_shape(array, shape);
    if (ndim < 0) return -1;
    PyObject *plain = PyArray_FromAny(array, PyArray_DescrFromType(type_nums[dtype]), 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST, NULL);
    if (!plain) return -1;
    fnn_status status = fnn_from_data(out, (fnn_dtype)dtype, ndim, shape, PyArray_DATA((PyArrayObject *)plain));
    Py_DECREF(plain);
    return status ? fnn_raise(status), -1 : 0;
}

static PyObject *from_numpy(PyObject *module, PyObject *array) {
    (void)module;
    fnn_tensor t;
    return fnn_tensor_from_numpy(array, &t) ? NULL : fnn_wrap(&t);
}

/* ---- tensor -> array ---- */

static void release_storage(PyObject *capsule) { fnn_storage_unref(PyCapsule_GetPointer(capsule, "fastnn.storage")); }

/* The array holds the storage, not the Tensor, whose data may be exchanged. */
PyObject *fnn_share_array(const fnn_tensor *t) {
    if (!load()) return NULL;
    npy_intp shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
    for (int d = 0; d < t->ndim; d++) {
        shape[d] = (npy_intp)t->shape[d];
        stride[d] = (npy_intp)(t->stride[d] * fnn_itemsize[t->dtype]);
    }
    PyObject *capsule = PyCapsule_New(t->storage, "fastnn.storage", release_storage);
    if (!capsule) return NULL;
    fnn_storage_ref(t->storage);
    int flags = NPY_ARRAY_ALIGNED | (t->storage->readonly ? 0 : NPY_ARRAY_WRITEABLE);
    PyObject *array = PyArray_New(&PyArray_Type, t->ndim, shape, type_nums[t->dtype], stride, t->data, 0, flags, NULL);
    if (!array) {
        Py_DECREF(capsule);
    } else if (PyArray_SetBaseObject((PyArrayObject *)array, capsule)) {
        Py_CLEAR(array);
    }
    return array;
}

PyObject *fnn_to_numpy(PyObject *tensor) {
    if (fnn_mode.grad && fnn_wants_grad(TENSOR(tensor))) {
        PyErr_SetString(PyExc_RuntimeError, "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
        return NULL;
    }
    return fnn_share_array(TENSOR(tensor));
}

PyObject *fnn_numpy_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"*", "force", NULL};
    PyObject *given[1];
    bool force = false;
    if (fnn_sort_args("numpy", names, args, n, kwnames, given) || fnn_opt_bool("numpy", "force", given[0], &force)) return NULL;
    return force ? fnn_share_array(TENSOR(self)) : fnn_to_numpy(self);
}

/* copy: None as needed, True always, False never. */
PyObject *fnn_array_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"dtype", "*", "copy", NULL};
    PyObject *given[2];
    if (fnn_sort_args("__array__", names, args, n, kwnames, given)) return NULL;
    PyObject *array = fnn_to_numpy(self);
    if (!array) return NULL;
    bool must = given[1] == Py_True, never = given[1] == Py_False;
    PyArray_Descr *descr = NULL;
    if (given[0] && given[0] != Py_None && !PyArray_DescrConverter(given[0], &descr)) {
        Py_DECREF(array);
        return NULL;
    }
    bool same = !descr || PyArray_EquivTypes(descr, PyArray_DESCR((PyArrayObject *)array));
    if (same && !must) {
        Py_XDECREF(descr);
        return array;
    }
    PyObject *copy = NULL;
    if (never && !same) {
        Py_XDECREF(descr);
        PyErr_SetString(PyExc_ValueError, "__array__: the asked dtype differs from the tensor's, so a copy cannot be avoided");
    } else {
        if (!descr) Py_INCREF(descr = PyArray_DESCR((PyArrayObject *)array));
        copy = PyArray_FromAny(array, descr, 0, 0, NPY_ARRAY_ENSURECOPY | NPY_ARRAY_FORCECAST, NULL); /* takes descr */
    }
    Py_DECREF(array);
    return copy;
}

/* The result of a NumPy function on a Tensor becomes a Tensor; truth values become uint8, as in PyTorch. */
PyObject *fnn_array_wrap(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *array, *context = NULL, *scalar = NULL;
    if (!PyArg_ParseTuple(args, "O|OO:__array_wrap__", &array, &context, &scalar)) return NULL;
    if (!fnn_is_ndarray(array)) return Py_NewRef(array);
    if (PyArray_ISBOOL((PyArrayObject *)array))
        array = PyArray_Cast((PyArrayObject *)array, NPY_UINT8);
    else
        Py_INCREF(array);
    PyObject *result = array ? from_numpy(NULL, array) : NULL;
    Py_XDECREF(array);
    return result;
}

static PyMethodDef functions[] = {
    {"from_numpy", from_numpy, METH_O, "from_numpy($module, ndarray, /)\n--\n\nA tensor over the array's memory, which the two share."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_numpy(PyObject *module) { return PyModule_AddFunctions(module, functions); }
