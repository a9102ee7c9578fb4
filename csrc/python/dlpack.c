/* Tensors to and from other libraries through DLPack, without copies.
 *
 * Invariant: a capsule's deleter runs exactly once, by the consumer, or by the capsule when nobody consumed it. Both the
 * old form ("dltensor") and the versioned one, which can say that memory is read-only, are read and written.
 * The structures are those of the DLPack 1.0 ABI (dmlc.github.io/dlpack). CPU memory only. */
#include "args.h"

#include "core/pool.h"

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

enum { DEVICE_CPU = 1, CODE_INT = 0, CODE_UINT = 1, CODE_FLOAT = 2, CODE_BOOL = 6, FLAG_READONLY = 1, FLAG_COPIED = 2 };

typedef struct dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides; /* in elements; strides NULL: row-major */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor t;
    void *context;
    void (*deleter)(struct dl_managed *);
} dl_managed;

typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *);
    uint64_t flags;
    dl_tensor t;
} dl_versioned;

static const struct {
    uint8_t code, bits;
} codes[FNN_NDTYPES] = {{CODE_FLOAT, 32}, {CODE_FLOAT, 64}, {CODE_INT, 64}, {CODE_INT, 32}, {CODE_UINT, 8}, {CODE_BOOL, 8}};

/* ---- out ---- */

/* One exported view: the structure handed out and what it keeps alive. */
typedef struct export {
    union {
        dl_managed old;
        dl_versioned versioned;
    };
    fnn_tensor t;
} export;

static void free_export(export *e) {
    fnn_tensor_unref(&e->t);
    fnn_pool_free(e, sizeof *e);
}
static void delete_old(dl_managed *m) { free_export(m->context); }
static void delete_versioned(dl_versioned *m) { free_export(m->context); }

static void drop_capsule(PyObject *capsule) { /* only when nobody renamed it by consuming it */
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        dl_managed *m = PyCapsule_GetPointer(capsule, "dltensor");
        if (m->deleter) m->deleter(m);
    } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        dl_versioned *m = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (m->deleter) m->deleter(m);
    }
}

static void describe(dl_tensor *d, fnn_tensor *t) {
    *d = (dl_tensor){.data = t->data, .device_type = DEVICE_CPU, .ndim = t->ndim, .code = codes[t->dtype].code, .bits = codes[t->dtype].bits,
                     .lanes = 1, .shape = t->shape, .strides = t->stride};
}

static PyObject *export_tensor(const fnn_tensor *t, bool versioned, bool copied) {
    export *e = fnn_pool_alloc(sizeof *e);
    if (!e) return PyErr_NoMemory();
    fnn_tensor_ref_data(&e->t, t);
    if (versioned) {
        e->versioned = (dl_versioned){.major = 1, .minor = 0, .context = e, .deleter = delete_versioned};
        e->versioned.flags = (t->storage->readonly ? FLAG_READONLY : 0) | (copied ? FLAG_COPIED : 0);
        describe(&e->versioned.t, &e->t);
    } else {
        e->old = (dl_managed){.context = e, .deleter = delete_old};
        describe(&e->old.t, &e->t);
    }
    PyObject *capsule = PyCapsule_New(versioned ? (void *)&e->versioned : (void *)&e->old, versioned ? "dltensor_versioned" : "dltensor", drop_capsule);
    if (!capsule) free_export(e);
    return capsule;
}

/* max_version: None or a pair (major, minor). */
static int wants_versioned(PyObject *max_version, bool *versioned) {
    *versioned = false;
    if (!max_version || max_version == Py_None) return 0;
    int major, minor;
    if (!PyTuple_Check(max_version) || !PyArg_ParseTuple(max_version, "ii", &major, &minor)) {
        PyErr_SetString(PyExc_TypeError, "__dlpack__: max_version must be None or a pair of ints");
        return -1;
    }
    *versioned = major >= 1;
    return 0;
}

PyObject *fnn_dlpack_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"*", "stream", "max_version", "dl_device", "copy", NULL};
    PyObject *g[4];
    bool versioned, copy = false;
    if (fnn_sort_args("__dlpack__", names, args, n, kwnames, g) || wants_versioned(g[1], &versioned)) return NULL;
    if (fnn_opt_bool("__dlpack__", "copy", g[3], &copy)) return NULL;
    const fnn_tensor *t = TENSOR(self);
    if (fnn_wants_grad(t)) return PyErr_SetString(PyExc_BufferError, "Can't export tensors that require gradient, use tensor.detach()"), NULL;
    if (t->storage->readonly && !versioned && !copy)
        return PyErr_SetString(PyExc_BufferError, "__dlpack__: the tensor's memory is read-only, which only max_version=(1, 0) can express"), NULL;
    if (!copy) return export_tensor(t, versioned, false);
    fnn_tensor fresh;
    fnn_status status = fnn_empty(&fresh, t->dtype, t->ndim, t->shape);
    if (!status) status = fnn_copy_into(&fresh, t);
    if (status) return fnn_raise(status);
    PyObject *capsule = export_tensor(&fresh, versioned, true);
    fnn_tensor_unref(&fresh);
    return capsule;
}

PyObject *fnn_dlpack_device(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    return Py_BuildValue("ii", DEVICE_CPU, 0);
}

/* ---- in ---- */

static void release_old(void *owner) {
    dl_managed *m = owner;
    if (m->deleter && Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure(); /* the other side may need it */
        m->deleter(m);
        PyGILState_Release(state);
    }
}
static void release_versioned(void *owner) {
    dl_versioned *m = owner;
    if (m->deleter && Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure();
        m->deleter(m);
        PyGILState_Release(state);
    }
}

static int dtype_of(const dl_tensor *d) {
    for (int k = 0; k < FNN_NDTYPES; k++)
        if (codes[k].code == d->code && codes[k].bits == d->bits && d->lanes == 1) return k;
    return -1;
}

/* What is wrong with the description; NULL if nothing is. Sizes are checked so that neither the number of elements nor the
 * memory they span overflows; whether that memory is there only its owner knows. */
static const char *wrong_geometry(const dl_tensor *d, int dtype) {
    uint64_t numel = 1, last = 0, reach, size = (uint64_t)fnn_itemsize[dtype];
    if (d->ndim && !d->shape) return "a shape that is NULL";
    for (int k = 0; k < d->ndim; k++) {
        if (d->shape[k] < 0) return "a negative size";
        if (d->strides && d->strides[k] < 0 && d->shape[k] > 1) return "a negative stride, which tensors do not have";
        if (__builtin_mul_overflow(numel, (uint64_t)d->shape[k], &numel) || numel > INT64_MAX / size) return "more elements than can be counted";
    }
    for (int k = 0; d->strides && numel && k < d->ndim; k++)
        if (d->shape[k] > 1 && (__builtin_mul_overflow((uint64_t)d->strides[k], (uint64_t)d->shape[k] - 1, &reach) ||
                                __builtin_add_overflow(last, reach, &last) || last >= INT64_MAX / size))
            return "strides that span more than memory";
    if (numel && !d->data) return "data that is NULL";
    return ((uintptr_t)d->data + d->byte_offset) % size ? "data that is not aligned to its elements" : NULL;
}

/* Reads geometry and dtype; raises BufferError for what a tensor here cannot be. */
static int read_description(const dl_tensor *d, fnn_tensor *t) {
    int dtype = dtype_of(d);
    if (d->device_type != DEVICE_CPU) {
        PyErr_Format(PyExc_BufferError, "from_dlpack: found device type %d, wanted the CPU's (1)", (int)d->device_type);
    } else if (dtype < 0) {
        PyErr_Format(PyExc_BufferError, "from_dlpack: found elements of type code %d with %d bits x %d; wanted float32, float64, int64, int32, "
                     "uint8 or bool", d->code, d->bits, d->lanes);
    } else if (d->ndim < 0 || d->ndim > FNN_MAX_DIMS) {
        PyErr_Format(PyExc_BufferError, "from_dlpack: found %d dimensions, wanted at most %d", (int)d->ndim, FNN_MAX_DIMS);
    } else {
        const char *wrong = wrong_geometry(d, dtype);
        if (!wrong) {
            t->dtype = (uint8_t)dtype;
            t->data = (char *)((uintptr_t)d->data + d->byte_offset);
            int64_t stride[FNN_MAX_DIMS];
            for (int k = 0; d->strides && k < d->ndim; k++) stride[k] = d->strides[k] < 0 ? 0 : d->strides[k];
            fnn_tensor_set_geometry(t, d->ndim, d->shape, d->strides ? stride : NULL);
            if (t->numel >= 0) return 0;
            wrong = "more elements than can be counted";
        }
        PyErr_Format(PyExc_BufferError, "from_dlpack: found %s", wrong);
    }
    return -1;
}

static PyObject *import_capsule(PyObject *capsule) {
    fnn_tensor t = {0};
    bool versioned = PyCapsule_IsValid(capsule, "dltensor_versioned");
    if (!versioned && !PyCapsule_IsValid(capsule, "dltensor"))
        return PyErr_SetString(PyExc_RuntimeError, "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so "
                                                   "you might have already constructed a tensor from it once."), NULL;
    void *managed = PyCapsule_GetPointer(capsule, versioned ? "dltensor_versioned" : "dltensor");
    dl_versioned *v = managed;
    if (versioned && v->major != 1) return PyErr_Format(PyExc_BufferError, "from_dlpack: found DLPack version %u, wanted 1", v->major);
    if (read_description(versioned ? &v->t : &((dl_managed *)managed)->t, &t)) return NULL;
    const char *lo, *hi;
    fnn_tensor_extent(&t, &lo, &hi);
    t.storage = fnn_storage_wrap(t.data, (size_t)(hi - lo), versioned && (v->flags & FLAG_READONLY), versioned ? release_versioned : release_old, managed);
    if (!t.storage) return fnn_raise(FNN_ERR_MEMORY);
    t.version = &t.storage->version;
    PyCapsule_SetName(capsule, versioned ? "used_dltensor_versioned" : "used_dltensor");
    return fnn_wrap_leaf(&t, false);
}

static PyObject *ask_for_capsule(PyObject *o) {
    PyObject *method = PyObject_GetAttrString(o, "__dlpack__");
    if (!method && PyErr_ExceptionMatches(PyExc_AttributeError))
        return PyErr_Format(PyExc_RuntimeError, "from_dlpack: expected a capsule or an object with __dlpack__, found %.100s", Py_TYPE(o)->tp_name), NULL;
    PyObject *none = PyTuple_New(0), *options = Py_BuildValue("{s(ii)}", "max_version", 1, 0);
    PyObject *capsule = method && none && options ? PyObject_Call(method, none, options) : NULL;
    if (!capsule && method && PyErr_ExceptionMatches(PyExc_TypeError)) { /* a library older than version 1 */
        PyErr_Clear();
        capsule = PyObject_CallNoArgs(method);
    }
    Py_XDECREF(method);
    Py_XDECREF(none);
    Py_XDECREF(options);
    return capsule;
}

static PyObject *from_dlpack(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"ext_tensor", "*", "device", "copy", NULL};
    (void)module;
    PyObject *g[3];
    bool copy = false;
    if (fnn_sort_args("from_dlpack", names, args, n, kwnames, g) || fnn_as_device(g[1]) || fnn_opt_bool("from_dlpack", "copy", g[2], &copy)) return NULL;
    if (!g[0]) return fnn_missing_arg("from_dlpack", "ext_tensor"), NULL;
    PyObject *capsule = PyCapsule_CheckExact(g[0]) ? Py_NewRef(g[0]) : ask_for_capsule(g[0]);
    if (!capsule) return NULL;
    PyObject *shared = import_capsule(capsule);
    Py_DECREF(capsule);
    if (!shared || !copy) return shared;
    PyObject *fresh = PyObject_CallMethod(shared, "clone", NULL);
    Py_DECREF(shared);
    return fresh;
}

static PyObject *to_dlpack(PyObject *module, PyObject *tensor) {
    (void)module;
    return fnn_arg_tensor("to_dlpack", "tensor", tensor) ? fnn_dlpack_method(tensor, NULL, 0, NULL) : NULL;
}

static PyMethodDef functions[] = {
    {"from_dlpack", FAST(from_dlpack), "from_dlpack($module, ext_tensor, *, device=None, copy=None)\n--\n\n"
                                       "A tensor over the memory of another library's array, which the two share."},
    {"to_dlpack", to_dlpack, METH_O, "to_dlpack($module, tensor, /)\n--\n\nA DLPack capsule over the tensor's memory."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_dlpack(PyObject *module) { return PyModule_AddFunctions(module, functions); }
