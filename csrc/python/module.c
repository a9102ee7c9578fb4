/* fastnn._C: makes the module from its parts, maps status codes to exceptions, and the switches of the whole process. */
#include <string.h>

#include "core/blas.h"
#include "core/cpu.h"
#include "core/pool.h"
#include "core/threads.h"
#include "py.h"

void *fnn_raise(fnn_status status) {
    if (PyErr_Occurred()) return NULL; /* a hook's or a conversion's own exception says more */
    PyObject *const types[] = {[FNN_ERR_RUNTIME] = PyExc_RuntimeError, [FNN_ERR_VALUE] = PyExc_ValueError,   [FNN_ERR_TYPE] = PyExc_TypeError,
                               [FNN_ERR_INDEX] = PyExc_IndexError,     [FNN_ERR_MEMORY] = PyExc_MemoryError, [FNN_ERR_NOT_IMPLEMENTED] = PyExc_NotImplementedError};
    PyErr_SetString(types[status], fnn_error_message());
    return NULL;
}

/* ---- the GIL around long work ---- */

static void *release_gil(void) { return PyEval_SaveThread(); }
static void acquire_gil(void *state) { PyEval_RestoreThread(state); }

/* ---- switches ---- */

static PyObject *set_num_threads(PyObject *module, PyObject *o) {
    (void)module;
    if (!PyLong_Check(o)) return PyErr_Format(PyExc_TypeError, "set_num_threads expects an int, but got %s", Py_TYPE(o)->tp_name), NULL;
    long n = PyLong_AsLong(o);
    if (n == -1 && PyErr_Occurred()) return NULL;
    fnn_status status = fnn_set_num_threads(n > 0 ? (int)(n > 1024 ? 1024 : n) : 0);
    if (status) return fnn_raise(status);
    Py_RETURN_NONE;
}
static PyObject *get_num_threads(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(fnn_get_num_threads());
}
static PyObject *set_flush_denormal(PyObject *module, PyObject *o) {
    (void)module;
    int on = PyObject_IsTrue(o);
    return on < 0 ? NULL : PyBool_FromLong(fnn_set_flush_denormal(on));
}
static PyObject *select_isa(PyObject *module, PyObject *o) {
    (void)module;
    const char *name = PyUnicode_AsUTF8(o);
    fnn_status status = name ? fnn_kernels_select(name) : FNN_ERR_TYPE;
    if (status) return fnn_raise(status);
    Py_RETURN_NONE;
}
static PyObject *isa_name(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyUnicode_FromString(fnn_isa_name());
}
static PyObject *set_blas_path(PyObject *module, PyObject *o) {
    (void)module;
    const char *path = o == Py_None ? NULL : PyUnicode_AsUTF8(o);
    if (PyErr_Occurred()) return NULL;
    fnn_blas_set_path(path);
    Py_RETURN_NONE;
}
static PyObject *set_parallel_threshold(PyObject *module, PyObject *args) {
    (void)module;
    double awake, asleep;
    if (!PyArg_ParseTuple(args, "dd", &awake, &asleep)) return NULL;
    fnn_set_parallel_threshold(awake, asleep);
    Py_RETURN_NONE;
}
static PyObject *pool_fail_after(PyObject *module, PyObject *o) {
    (void)module;
    long n = PyLong_AsLong(o);
    return n == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(fnn_pool_fail_after(n));
}
static PyObject *pool_stats(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    fnn_pool_stats s;
    fnn_pool_get_stats(&s);
    return Py_BuildValue("{sLsLsLsLsLsL}", "bytes_in_use", (long long)s.bytes_in_use, "bytes_reserved", (long long)s.bytes_reserved, "peak", (long long)s.peak,
                         "system_allocs", (long long)s.system_allocs, "system_frees", (long long)s.system_frees, "requests", (long long)s.requests);
}
static PyObject *pool_trim(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromSize_t(fnn_pool_trim());
}
static PyObject *set_device(PyObject *module, PyObject *o) {
    (void)module;
    Py_XSETREF(fnn_device_cpu, Py_NewRef(o));
    Py_RETURN_NONE;
}
static PyObject *set_parameter_type(PyObject *module, PyObject *o) {
    (void)module;
    if (!PyType_Check(o)) return PyErr_SetString(PyExc_TypeError, "expected a class"), NULL;
    Py_XSETREF(fnn_ParameterType, (PyTypeObject *)Py_NewRef(o));
    Py_RETURN_NONE;
}
static PyObject *set_default_dtype(PyObject *module, PyObject *o) {
    (void)module;
    int code;
    if (fnn_as_dtype(o, &code)) return NULL;
    if (!fnn_dtype_is_float(code)) return PyErr_SetString(PyExc_TypeError, "set_default_dtype: only floating-point types are supported as the default type"), NULL;
    fnn_default_dtype = code;
    Py_RETURN_NONE;
}
static PyObject *get_default_dtype(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return Py_NewRef(fnn_dtype_objects[fnn_default_dtype]);
}
static PyObject *op_names(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    for (int i = 0; i < FNN_NOPS && list; i++) {
        PyObject *name = PyUnicode_FromString(fnn_op_name((fnn_op_id)i));
        if (!name || PyList_Append(list, name)) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
static PyObject *build_info(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *isas = PyList_New(0);
    for (int i = 0; isas && fnn_isa_available(i); i++) {
        PyObject *name = PyUnicode_FromString(fnn_isa_available(i));
        if (!name || PyList_Append(isas, name)) Py_CLEAR(isas);
        Py_XDECREF(name);
    }
    return isas ? Py_BuildValue("{sssssNsssiss}", "version", FNN_VERSION, "isa", fnn_isa_name(), "isas", isas, "blas", fnn_blas_describe(), "threads",
                                fnn_get_num_threads(), "compiler", COMPILER)
                : NULL;
}

static PyMethodDef functions[] = {
    {"split", (PyCFunction)(void (*)(void))fnn_split_function, METH_FASTCALL | METH_KEYWORDS, "split(tensor, split_size_or_sections, dim=0): views of consecutive pieces."},
    {"set_num_threads", set_num_threads, METH_O, "How many threads an op may use."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "How many threads an op may use."},
    {"set_flush_denormal", set_flush_denormal, METH_O, "Whether results below the normal range become zero; False if this machine cannot."},
    {"set_default_dtype", set_default_dtype, METH_O, "The dtype of floats made from Python numbers."},
    {"get_default_dtype", get_default_dtype, METH_NOARGS, "The dtype of floats made from Python numbers."},
    {"_select_isa", select_isa, METH_O, NULL},
    {"_isa", isa_name, METH_NOARGS, NULL},
    {"_set_blas_path", set_blas_path, METH_O, NULL},
    {"_set_parallel_threshold", set_parallel_threshold, METH_VARARGS, NULL},
    {"_pool_stats", pool_stats, METH_NOARGS, NULL},
    {"_pool_trim", pool_trim, METH_NOARGS, NULL},
    {"_pool_fail_after", pool_fail_after, METH_O, NULL},
    {"_set_device", set_device, METH_O, NULL},
    {"_set_parameter_type", set_parameter_type, METH_O, NULL},
    {"_op_names", op_names, METH_NOARGS, NULL},
    {"_build_info", build_info, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};

/* The library's state (types, tape, pool, threads) is one for the process: there is one module object, and loading it again gives
 * that same object. A second interpreter would share objects with the first under another lock, so it is refused. */
static PyObject *the_module;

static PyObject *create(PyObject *spec, struct PyModuleDef *def) {
    (void)def;
    if (PyInterpreterState_Get() != PyInterpreterState_Main())
        return PyErr_SetString(PyExc_ImportError, "fastnn._C: fastnn runs in the main interpreter only, and this is a sub-interpreter"), NULL;
    if (the_module) return Py_NewRef(the_module);
    PyObject *name = PyObject_GetAttrString(spec, "name");
    the_module = name ? PyModule_NewObject(name) : NULL;
    Py_XDECREF(name);
    return Py_XNewRef(the_module);
}

static int execute(PyObject *module) {
    static bool done;
    if (done) return 0;
    fnn_status status = fnn_kernels_init();
    if (status) return PyErr_SetString(PyExc_ImportError, fnn_error_message()), -1;
    fnn_host = (fnn_host_hooks){release_gil, acquire_gil};
    int (*const parts[])(PyObject *) = {fnn_init_types, fnn_init_tensor, fnn_init_convert, fnn_init_ops, fnn_init_factories, fnn_init_random, fnn_init_autograd, fnn_init_optim, fnn_init_nn_module,
                                       fnn_init_peak};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i](module)) return -1;
    done = true;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_create, (void *)create},
                                   {Py_mod_exec, (void *)execute},
#ifdef Py_mod_multiple_interpreters
                                   {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
                                   {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "fastnn._C", .m_doc = "The C core of fastnn.", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__C(void) { return PyModuleDef_Init(&definition); }
