/* The table of kernels: its type, and the one chosen at import.
 *
 * Invariant: after fnn_kernels_init() succeeded, fnn_k is a copy of the table of one instruction set and changes only by
 * fnn_kernels_select(), which tests call while no op runs. Every table gives the same bits. No kernel knows tensors, threads
 * or Python. Read next: kernels.def (the list with contracts), loops.def (elementwise loops), core/cpu.c (the choice). */
#ifndef FNN_KERNELS_H
#define FNN_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/gemm_task.h"

#define real float
typedef struct fnn_kernels_f32 {
#define FNN_KERNEL(ret, name, args) ret(*name) args;
#include "kernels/kernels.def"
} fnn_kernels_f32;
#undef real

#define real double
typedef struct fnn_kernels_f64 {
#include "kernels/kernels.def"
#undef FNN_KERNEL
} fnn_kernels_f64;
#undef real

typedef struct fnn_kernels {
    const char *isa; /* "scalar", "avx2", "avx512" or "neon" */
    fnn_kernels_f32 f32;
    fnn_kernels_f64 f64;
} fnn_kernels;

extern fnn_kernels fnn_k;
#endif
