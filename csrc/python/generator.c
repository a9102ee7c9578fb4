/* torch.Generator over core/random.h.
 *
 * Invariant: the default generator's object exists for the life of the module and never owns its stream. A state is the
 * 5056 bytes that PyTorch writes, so states may travel between the two. Drawing is random.c. */
#include "args.h"

#include "core/pool.h"

PyTypeObject *fnn_GeneratorType;
PyObject *fnn_default_generator_object;

static fnn_generator *stream(PyObject *self) { return ((GeneratorObject *)self)->gen; }

static PyObject *generator_new_object(PyTypeObject *type) {
    GeneratorObject *o = (GeneratorObject *)type->tp_alloc(type, 0);
    if (!o) return NULL;
    o->gen = fnn_pool_alloc(sizeof *o->gen);
    if (!o->gen) {
        Py_DECREF(o);
        return PyErr_NoMemory();
    }
    o->owned = true;
    fnn_generator_init(o->gen, FNN_RNG_DEFAULT_SEED);
    return (PyObject *)o;
}

static PyObject *generator_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"device", NULL};
    PyObject *device = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Generator", names, &device) || fnn_as_device(device)) return NULL;
    return generator_new_object(type);
}

static void generator_dealloc(PyObject *self) {
    GeneratorObject *o = (GeneratorObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (o->owned) {
        fnn_generator_destroy(o->gen);
        fnn_pool_free(o->gen, sizeof *o->gen);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* A Python int in [-2^63, 2^64); negative ones wrap around. */
static int as_seed(const char *function, PyObject *o, uint64_t *seed) {
    PyObject *number = PyFloat_Check(o) ? NULL : PyNumber_Index(o);
    if (!number) {
        PyErr_Clear();
        PyErr_Format(PyExc_RuntimeError, "%s expected a long, but got %.100s", function, Py_TYPE(o)->tp_name);
        return -1;
    }
    int overflow;
    int64_t low = PyLong_AsLongLongAndOverflow(number, &overflow);
    *seed = overflow > 0 ? PyLong_AsUnsignedLongLong(number) : (uint64_t)low;
    Py_DECREF(number);
    if (overflow >= 0 && !PyErr_Occurred()) return 0;
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s: Overflow when unpacking long long", function);
    return -1;
}

static PyObject *manual_seed(PyObject *self, PyObject *value) {
    uint64_t seed;
    if (as_seed("manual_seed", value, &seed)) return NULL;
    fnn_generator_manual_seed(stream(self), seed);
    return Py_NewRef(self);
}

static PyObject *seed(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(fnn_generator_seed(stream(self)));
}

static PyObject *initial_seed(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(fnn_generator_initial_seed(stream(self)));
}

static PyObject *get_state(PyObject *self, PyObject *unused) {
    (void)unused;
    fnn_tensor t;
    fnn_status status = fnn_empty(&t, FNN_U8, 1, &(int64_t){FNN_RNG_STATE_SIZE});
    if (status) return fnn_raise(status);
    fnn_generator_get_state(stream(self), (uint8_t *)t.data);
    return fnn_wrap(&t);
}

static PyObject *set_state(PyObject *self, PyObject *state) {
    if (!fnn_is_tensor(state) || TENSOR(state)->dtype != FNN_U8) {
        PyErr_Format(PyExc_TypeError, "expected the RNG state to be a torch.ByteTensor, found %.100s", Py_TYPE(state)->tp_name);
        return NULL;
    }
    fnn_tensor flat;
    fnn_status status = fnn_contiguous(&flat, TENSOR(state));
    if (status) return fnn_raise(status);
    status = fnn_generator_set_state(stream(self), (const uint8_t *)flat.data, (size_t)flat.numel);
    fnn_tensor_unref(&flat);
    return status ? fnn_raise(status) : Py_NewRef(self);
}

static PyObject *clone_state(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *copy = generator_new_object(fnn_GeneratorType);
    if (!copy) return NULL;
    uint8_t state[FNN_RNG_STATE_SIZE];
    fnn_generator_get_state(stream(self), state);
    fnn_status status = fnn_generator_set_state(stream(copy), state, sizeof state);
    if (!status) return copy;
    Py_DECREF(copy);
    return fnn_raise(status);
}

/* _generator_swap(a, b): exchanges two streams without copying a state through Python: for the workers of a DataLoader. */
static PyObject *swap(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *a, *b;
    if (!PyArg_ParseTuple(args, "O!O!:_generator_swap", fnn_GeneratorType, &a, fnn_GeneratorType, &b)) return NULL;
    if (stream(a) != stream(b)) fnn_generator_swap(stream(a), stream(b));
    Py_RETURN_NONE;
}
static PyMethodDef functions[] = {{"_generator_swap", swap, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyObject *device(PyObject *self, void *unused) {
    (void)self, (void)unused;
    return Py_NewRef(fnn_device_cpu ? fnn_device_cpu : Py_None);
}

static PyObject *reduce(PyObject *self, PyObject *unused) {
    PyObject *state = get_state(self, unused);
    return state ? Py_BuildValue("O()N", fnn_GeneratorType, state) : NULL;
}

static PyObject *restore(PyObject *self, PyObject *state) {
    PyObject *done = set_state(self, state);
    if (!done) return NULL;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"manual_seed", manual_seed, METH_O, "manual_seed($self, seed, /)\n--\n\nRestarts the stream from a 64-bit seed; gives the generator."},
    {"seed", seed, METH_NOARGS, "seed($self, /)\n--\n\nRestarts the stream from a seed of the system; gives that seed."},
    {"initial_seed", initial_seed, METH_NOARGS, "initial_seed($self, /)\n--\n\nThe seed the stream was last started from."},
    {"get_state", get_state, METH_NOARGS, "get_state($self, /)\n--\n\nThe stream's whole state as a uint8 tensor of 5056 elements."},
    {"set_state", set_state, METH_O, "set_state($self, new_state, /)\n--\n\nContinues from a state that get_state gave."},
    {"clone_state", clone_state, METH_NOARGS, "clone_state($self, /)\n--\n\nAnother generator in the same state."},
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {"__setstate__", restore, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef getset[] = {{"device", device, NULL, "The device the stream draws on.", NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot slots[] = {
    {Py_tp_new, generator_new}, {Py_tp_dealloc, generator_dealloc}, {Py_tp_methods, methods}, {Py_tp_getset, getset},
    {Py_tp_doc, "Generator(device='cpu')\n--\n\nA stream of random numbers."}, {0, NULL},
};
static PyType_Spec spec = {"fastnn.Generator", sizeof(GeneratorObject), 0, Py_TPFLAGS_DEFAULT, slots};

int fnn_init_generator(PyObject *module) {
    fnn_GeneratorType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!fnn_GeneratorType || PyModule_AddType(module, fnn_GeneratorType) || PyModule_AddFunctions(module, functions)) return -1;
    GeneratorObject *o = (GeneratorObject *)fnn_GeneratorType->tp_alloc(fnn_GeneratorType, 0);
    if (!o) return -1;
    o->gen = fnn_default_generator();
    o->owned = false;
    fnn_default_generator_object = (PyObject *)o;
    return PyModule_AddObjectRef(module, "default_generator", fnn_default_generator_object);
}
