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

#include "kernels/attention_task.h"
#include "kernels/gemm_task.h"
#include "kernels/optim_numbers.h"
#include "kernels/recurrent_task.h"
#include "core/dtype.h"

/* An elementwise loop over n elements; contract in loops.def. ptr: outputs first; stride in bytes, one per pointer. */
typedef void (*fnn_loop)(char *const *ptr, const int64_t *stride, int64_t n);

/* FNN_U_exp, FNN_B_add, FNN_T_clamp, ...: rows of the loop tables. */
enum {
#define FNN_UNARY_WORD(name, expr) FNN_U_##name,
#define FNN_UNARY_R FNN_UNARY_WORD
#define FNN_UNARY_BITS FNN_UNARY_WORD
#define FNN_UNARY_TO_BOOL FNN_UNARY_WORD
#define FNN_UNARY_R_TO_BOOL FNN_UNARY_WORD
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
    FNN_U_COUNT
};
enum {
#define FNN_BINARY_WORD(name, expr) FNN_B_##name,
#define FNN_BINARY_R FNN_BINARY_WORD
#define FNN_BINARY_BITS FNN_BINARY_WORD
#define FNN_BINARY_TO_BOOL FNN_BINARY_WORD
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
    FNN_B_COUNT
};
enum {
#define FNN_TERNARY_RIU(name, expr) FNN_T_##name,
#define FNN_TERNARY_WORD FNN_TERNARY_RIU
#define FNN_WHERE FNN_TERNARY_RIU
#define FNN_QUATERNARY_WORD FNN_TERNARY_RIU
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
    FNN_T_COUNT
};

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
#define FNN_INT_KERNEL(name, args) void(*name) args;
#include "kernels/int_kernels.def"
#undef FNN_INT_KERNEL
    /* elementwise loops by the dtype of the input (of where: of its second); NULL where there is none */
    fnn_loop unary[FNN_U_COUNT][FNN_NDTYPES];
    fnn_loop binary[FNN_B_COUNT][FNN_NDTYPES];
    fnn_loop ternary[FNN_T_COUNT][FNN_NDTYPES]; /* and quaternary: addcmul, addcdiv */
    /* out = (to)in, as C and torch convert: floats to integers truncate, to bool is != 0. [from][to]; from == to copies, and
     * with stride 0 fills. An out-of-range float gives the smallest integer, as the x86 instruction does. */
    fnn_loop cast[FNN_NDTYPES][FNN_NDTYPES];
    /* y[i, j] = x[i, j] for elements of 2^k bytes (k = 0, 2, 3), strides in elements, in tiles: for transposes */
    void (*copy_2d[4])(char *y, const char *x, int64_t rows, int64_t cols, const int64_t y_stride[2], const int64_t x_stride[2]);
} fnn_kernels;

extern fnn_kernels fnn_k;
#endif
