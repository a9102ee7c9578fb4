/* _peak_fma and _peak_copy: core/peak.h for the benchmarks. */
#include "core/peak.h"

#include "py.h"

/* _peak_fma(rounds): float operations done, all threads together. */
static PyObject *peak_fma(PyObject *module, PyObject *args) {
    (void)module;
    long long rounds;
    return PyArg_ParseTuple(args, "L", &rounds) ? PyLong_FromLongLong(fnn_peak_fma(rounds)) : NULL;
}

/* _peak_copy(bytes, rounds): bytes read and written, all threads together. */
static PyObject *peak_copy(PyObject *module, PyObject *args) {
    (void)module;
    long long bytes, rounds;
    if (!PyArg_ParseTuple(args, "LL", &bytes, &rounds)) return NULL;
    if (bytes < 1) return PyErr_Format(PyExc_ValueError, "_peak_copy: bytes is %lld, expected at least 1", bytes), NULL;
    int64_t moved = fnn_peak_copy(bytes, rounds);
    return moved < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(moved);
}

static PyMethodDef functions[] = {
    {"_peak_fma", peak_fma, METH_VARARGS, NULL},
    {"_peak_copy", peak_copy, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

int fnn_init_peak(PyObject *module) { return PyModule_AddFunctions(module, functions); }
