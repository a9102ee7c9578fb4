/* An allocator for Python's objects and buffers that counts what is live and can make one request fail.
 *
 * Put before the interpreter's own (install) for the domains `mem` and `obj`; a block is still the interpreter's, so blocks from
 * before may be freed through it and it stays for the life of the process. Invariant: live() is the number of blocks handed out
 * since install and not yet freed; only requests of the thread that armed it fail, once, at the n-th.
 * Does not: the domain `raw`, which the interpreter uses without its lock and whose failure it ends the process for.
 * Read next: tests/memory_walk.py. */
#define _GNU_SOURCE
#include <Python.h>

#include <dlfcn.h>
#include <execinfo.h>

static PyMemAllocatorEx below[2];
static long long live_blocks, left;
static unsigned long armed_by;
static int only_extension; /* count its requests, not the interpreter's own */
static int by_extension;   /* the request that failed last */

/* Whether a function of fastnn._C asked, with nothing but the C interface of Python in between. */
static int asked_by_extension(void) {
    void *at[32];
    const int n = backtrace(at, 32);
    for (int i = 0; i < n; i++) {
        Dl_info found;
        if (!dladdr(at[i], &found)) continue;
        if (found.dli_sname && !strcmp(found.dli_sname, "_PyEval_EvalFrameDefault")) return 0;
        if (found.dli_fname && strstr(found.dli_fname, "/_C.")) return 1;
    }
    return 0;
}

static int must_fail(void) {
    if (left <= 0 || PyThread_get_thread_ident() != armed_by || (only_extension && !asked_by_extension()) || --left > 0) return 0;
    by_extension = asked_by_extension();
    return 1;
}

static void *counted(void *block) {
    live_blocks += block != NULL;
    return block;
}
static void *take(void *ctx, size_t n) {
    PyMemAllocatorEx *a = ctx;
    return must_fail() ? NULL : counted(a->malloc(a->ctx, n));
}
static void *take_zeroed(void *ctx, size_t n, size_t size) {
    PyMemAllocatorEx *a = ctx;
    return must_fail() ? NULL : counted(a->calloc(a->ctx, n, size));
}
static void *resize(void *ctx, void *block, size_t n) {
    PyMemAllocatorEx *a = ctx;
    if (must_fail()) return NULL;
    void *moved = a->realloc(a->ctx, block, n);
    return block ? moved : counted(moved);
}
static void give(void *ctx, void *block) {
    PyMemAllocatorEx *a = ctx;
    live_blocks -= block != NULL;
    a->free(a->ctx, block);
}

static PyObject *install(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &below[i]);
        PyMemAllocatorEx above = {&below[i], take, take_zeroed, resize, give};
        PyMem_SetAllocator(domains[i], &above);
    }
    Py_RETURN_NONE;
}

static PyObject *live(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLongLong(live_blocks);
}

static PyObject *failed_by_extension(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyBool_FromLong(by_extension);
}

static PyObject *arm(PyObject *module, PyObject *args) {
    (void)module;
    long long n;
    if (!PyArg_ParseTuple(args, "Lp", &n, &only_extension)) return NULL;
    armed_by = PyThread_get_thread_ident();
    left = n;
    Py_RETURN_NONE;
}

static PyObject *disarm(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    const long long before = left;
    left = 0; /* first: making the result must not fail */
    return PyLong_FromLongLong(before);
}

static PyMethodDef functions[] = {{"install", install, METH_NOARGS, "Puts this allocator before the interpreter's; once."},
                                  {"live", live, METH_NOARGS, "Blocks handed out since install and not yet freed."},
                                  {"failed_by_extension", failed_by_extension, METH_NOARGS, "Whether fastnn._C made the request that failed last, not the interpreter."},
                                  {"arm", arm, METH_VARARGS, "arm(n, only): the n-th request from now on (1: the next) fails; only: count fastnn._C's requests alone."},
                                  {"disarm", disarm, METH_NOARGS, "No request fails any more; what was left to count, 0 if one has failed."},
                                  {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "failing_allocator", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit_failing_allocator(void) { return PyModule_Create(&definition); }
