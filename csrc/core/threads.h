/* The thread pool: runs the chunks of one op on several cores.
 *
 * Invariants: the caller fixes number and bounds of chunks from shapes alone, every chunk runs exactly once, and
 * fnn_parallel returns after the last one; so results cannot depend on the number of threads or on which thread ran
 * what. Workers compute in the caller's floating-point mode (rounding, denormals). A region is never nested: a call from
 * inside a chunk, or while another thread's region runs, does its chunks serially in the calling thread.
 * It does not: merge partial results (the caller does, in chunk order), allocate in steady state, or touch Python.
 * Next: threads.c. */
#ifndef FNN_CORE_THREADS_H
#define FNN_CORE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

typedef void (*fnn_chunk_fn)(void *ctx, int64_t chunk);

/* Runs fn(ctx, 0) ... fn(ctx, chunks - 1). `work_ns` is the estimated time of all of them on one thread: below about
 * 5 us (workers awake) or 100 us (workers asleep) other threads do not pay and the caller runs them in order. Regions
 * that stayed serial because the workers slept count together: after 100 us of them the next one wakes the workers. */
void fnn_parallel(int64_t chunks, double work_ns, fnn_chunk_fn fn, void *ctx);

/* How many threads a region may use, the caller included. At the start FASTNN_NUM_THREADS, else OMP_NUM_THREADS, else
 * the number of CPUs this process may run on. May exceed the number of cores. n < 1 is refused. */
fnn_status fnn_set_num_threads(int n);
int fnn_get_num_threads(void);

/* Whether tiny results become zero in the calling thread, and in workers during its regions. False: not possible here. */
bool fnn_set_flush_denormal(bool on);

/* For tests and benchmarks: the work, in ns, from which a region opens with workers awake and wakes sleepers (0 = always);
 * a negative number restores the default. */
void fnn_set_parallel_threshold(double awake_ns, double asleep_ns);

#endif
