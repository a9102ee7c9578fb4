/* What a matrix product kernel is told. One type for float and double: pointers to elements of the kernel's type.
 *
 * Invariant: a task is plain data over memory that the caller owns. Strides and sizes count elements.
 * Read next: kernels/gemm.h (what is done with it), ops/product.c (who fills it). */
#ifndef FNN_KERNELS_GEMM_TASK_H
#define FNN_KERNELS_GEMM_TASK_H
#include <stdint.h>

/* How B lies. */
enum {
    FNN_GEMM_PLAIN,  /* (K,N), column stride 1: read in place */
    FNN_GEMM_PACKED, /* as gemm_pack writes it */
    FNN_GEMM_COPIED  /* (K,N), any strides: each panel is packed on the stack when its turn comes; for one pass over B */
};

typedef struct fnn_gemm_task {
    int64_t M, N, K;
    const void *a;           /* (M,K), any strides */
    int64_t a_row, a_col;
    const void *b;
    int b_form;              /* one of the above */
    int64_t b_row, b_col;    /* unused when packed; b_col unused when plain */
    int64_t b_columns;       /* copied only: how many of the N columns exist, the others are 0; here 0 means all N */
    void *c;                 /* (M,N), column stride 1; overwritten, never read before it is written */
    int64_t c_row;
    const void *add;         /* NULL, or (M,N) with column stride 1: C = finished sum + add. May be C itself */
    int64_t add_row;         /* 0: the same row for all, a bias */
} fnn_gemm_task;

#endif
