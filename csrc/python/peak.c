/* _peak_fma and _peak_copy: the machine's limits, for benchmarks to divide by.
 *
 * Invariant: each does its work once on every thread the pool may use and returns how much it was; the caller takes the
 * time, and the best of many, since a region now and then starts late. Nothing else calls this. */
#include <string.h>

#include "core/pool.h"
#include "core/threads.h"
#include "kernels/kernels.h"
#include "py.h"

#define ALWAYS_PARALLEL 1e9 /* a region's estimated ns: far above every threshold */

typedef struct peak_work {
    char *to, *from;
    int64_t rounds, bytes; /* bytes: of one chunk */
    int64_t flops;         /* of one chunk; every chunk writes the same number */
} peak_work;

static void fma_chunk(void *ctx, int64_t chunk) {
    (void)chunk;
    peak_work *w = ctx;
    float sum;
    int64_t flops = fnn_k.f32.peak_fma(&sum, w->rounds);
    __atomic_store_n(&w->flops, flops, __ATOMIC_RELAXED);
}

static void copy_chunk(void *ctx, int64_t chunk) {
    peak_work *w = ctx;
    for (int64_t r = 0; r < w->rounds; r++) {
        memcpy(w->to + chunk * w->bytes, w->from + chunk * w->bytes, (size_t)w->bytes);
        __asm__ volatile("" ::: "memory"); /* each round counts */
    }
}

/* _peak_fma(rounds): float operations done, all threads together. */
static PyObject *peak_fma(PyObject *module, PyObject *args) {
    (void)module;
    long long rounds;
    if (!PyArg_ParseTuple(args, "L", &rounds)) return NULL;
    peak_work w = {.rounds = rounds};
    int n = fnn_get_num_threads();
    fnn_parallel(n, ALWAYS_PARALLEL, fma_chunk, &w);
    return PyLong_FromLongLong(n * w.flops);
}

/* _peak_copy(bytes, rounds): bytes read and written, all threads together. */
static PyObject *peak_copy(PyObject *module, PyObject *args) {
    (void)module;
    long long bytes, rounds;
    if (!PyArg_ParseTuple(args, "LL", &bytes, &rounds)) return NULL;
    if (bytes < 1) return PyErr_Format(PyExc_ValueError, "_peak_copy: bytes is %lld, expected at least 1", bytes), NULL;
    int n = fnn_get_num_threads();
    /* whole cache lines for each thread */
    peak_work w = {.rounds = rounds, .bytes = (bytes / n + 63) / 64 * 64};
    size_t all = (size_t)(w.bytes * n);
    w.to = fnn_pool_alloc(all);
    w.from = fnn_pool_alloc(all);
    if (w.to && w.from) {
        memset(w.from, 1, all); /* pages nobody ever wrote would all be the one zero page */
        fnn_parallel(n, ALWAYS_PARALLEL, copy_chunk, &w);
    }
    bool failed = !w.to || !w.from;
    fnn_pool_free(w.to, all);
    fnn_pool_free(w.from, all);
    return failed ? PyErr_NoMemory() : PyLong_FromLongLong(2LL * w.rounds * (long long)all);
}

static PyMethodDef functions[] = {
    {"_peak_fma", peak_fma, METH_VARARGS, NULL},
    {"_peak_copy", peak_copy, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

int fnn_init_peak(PyObject *module) { return PyModule_AddFunctions(module, functions); }
