/* The machine's limits, for benchmarks to divide by. Read next: peak.c. */
#ifndef FNN_CORE_PEAK_H
#define FNN_CORE_PEAK_H

#include <stdint.h>

/* `rounds` of fma in registers on every thread the pool may use; gives the float operations done by all together. */
int64_t fnn_peak_fma(int64_t rounds);
/* `bytes` (at least 1) copied `rounds` times, a part by each thread; gives the bytes read and written, -1 without memory. */
int64_t fnn_peak_copy(int64_t bytes, int64_t rounds);

#endif
