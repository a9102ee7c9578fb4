/* What a matrix product kernel is told. One type for float and double: pointers to elements of the kernel's type.
 *
 * Invariant: a task is plain data over memory that the caller owns. Strides and sizes count elements.
 * Read next: kernels/gemm.h (what is done with it), ops/product.c (who fills it). */
#ifndef FNN_KERNELS_GEMM_TASK_H
#define FNN_KERNELS_GEMM_TASK_H
#include <stdint.h>

typedef struct fnn_gemm_task {
    int64_t M, N, K;
    const void *a;           /* (M,K), any strides */
    int64_t a_row, a_col;
    const void *b;           /* (K,N), column stride 1; or, when b_packed, panels as gemm_pack writes them */
    int64_t b_row;           /* unused when b_packed */
    int b_packed;
    void *c;                 /* (M,N), column stride 1; overwritten, never read before it is written */
    int64_t c_row;
    const void *add;         /* NULL, or (M,N) with column stride 1: C = finished sum + add. May be C itself */
    int64_t add_row;         /* 0: the same row for all, a bias */
} fnn_gemm_task;

#endif
