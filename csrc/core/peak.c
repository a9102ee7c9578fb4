/* See peak.h.
 *
 * Invariant: each does its work once on every thread and returns how much it was; the caller takes the time, and the best
 * of many, since a region now and then starts late. Only benchmarks call this. */
#include "peak.h"

#include <string.h>

#include "kernels/kernels.h"
#include "pool.h"
#include "threads.h"

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

int64_t fnn_peak_fma(int64_t rounds) {
    peak_work w = {.rounds = rounds};
    int n = fnn_get_num_threads();
    fnn_parallel(n, ALWAYS_PARALLEL, fma_chunk, &w);
    return n * w.flops;
}

int64_t fnn_peak_copy(int64_t bytes, int64_t rounds) {
    int n = fnn_get_num_threads();
    /* whole cache lines for each thread */
    peak_work w = {.rounds = rounds, .bytes = (bytes / n + 63) / 64 * 64};
    size_t all = (size_t)(w.bytes * n);
    w.to = fnn_pool_alloc(all);
    w.from = fnn_pool_alloc(all);
    bool ready = w.to && w.from;
    if (ready) {
        memset(w.from, 1, all); /* pages nobody ever wrote would all be the one zero page */
        fnn_parallel(n, ALWAYS_PARALLEL, copy_chunk, &w);
    }
    fnn_pool_free(w.to, all);
    fnn_pool_free(w.from, all);
    return ready ? 2 * w.rounds * (int64_t)all : -1;
}
