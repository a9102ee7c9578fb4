/* Matrix products over raw memory: the driver that plans, packs, splits into chunks and calls the kernels.
 *
 *     C[i] = A[i] B[i] (+ bias)      for every index i of up to FNN_PRODUCT_BATCH_DIMS batch dimensions
 *
 * Invariant: a result depends on values, shapes and type only, never on strides, threads or instruction set. Every element of
 * C is a sum of blocks, in order, each one chain of fma over 256 consecutive k that starts from 0 (kernels/gemm.h; up to K = 256
 * that is a single chain), with exceptions that are functions of (M, N, K) alone:
 *   - M = N = 1 is an inner product: 64 lanes (float) or 32 (double), then a fixed tree (kernels/dot.h);
 *   - without batch dimensions, M = 1 with K >= 32: 16 lanes (float) or 8 (double), then the same tree;
 *   - without batch dimensions, a K that is long for a small C (weight gradients) is cut into equal pieces whose sums are added
 *     in order (fnn_product_splits; product_plan.c may cut others between their blocks, which changes nothing);
 *   - without batch dimensions, where M, N and K are all large, OpenBLAS adds up in its own order (product_large.h).
 * What follows a finished sum (fnn_product_finish: activation, residual) is applied block by block while the block is in the
 * cache, with the loops of the elementwise ops: the same bits as those ops give one after the other.
 * Does not: check anything (the op has), allocate (scratch is handed in), know tensors.
 * Read next: product_plan.h, product.c, kernels/gemm.h. */
#ifndef FNN_OPS_PRODUCT_H
#define FNN_OPS_PRODUCT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FNN_PRODUCT_BATCH_DIMS 6

/* C = activation(finished sum + bias) + residual. The matrices here lie as C does, batch dimensions included. */
typedef struct fnn_product_finish {
    int activation;       /* FNN_U_relu, FNN_U_gelu_erf, ...: a row of the loops (kernels/kernels.h); -1: none */
    void *sums;           /* NULL, or where sum + bias stay for backward */
    const void *residual; /* or NULL */
} fnn_product_finish;

/* Shapes and strides in elements. Strides may be 0 (broadcast) or negative, except that C's columns are contiguous and C does
 * not overlap itself, A or B. */
typedef struct fnn_product {
    int64_t M, N, K;
    int64_t a_row, a_col; /* A (M,K) */
    int64_t b_row, b_col; /* B (K,N) */
    int64_t c_row;        /* C (M,N), column stride 1 */
    int batch_ndim;       /* 0: one product */
    int64_t batch[FNN_PRODUCT_BATCH_DIMS];
    int64_t a_batch[FNN_PRODUCT_BATCH_DIMS], b_batch[FNN_PRODUCT_BATCH_DIMS], c_batch[FNN_PRODUCT_BATCH_DIMS];
    bool has_bias;                    /* C = finished sum + bias (N,), contiguous */
    const fnn_product_finish *finish; /* NULL: the sum (with bias) is the result */
} fnn_product;

/* Bytes of scratch (64-byte aligned) the product needs; often 0. */
size_t fnn_product_scratch_f32(const fnn_product *p);
size_t fnn_product_scratch_f64(const fnn_product *p);

/* `bias` and `scratch` may be NULL where they are not needed. */
void fnn_product_f32(const fnn_product *p, float *c, const float *a, const float *b, const float *bias, void *scratch);
void fnn_product_f64(const fnn_product *p, double *c, const double *a, const double *b, const double *bias, void *scratch);

/* Two products, independent of each other, without bias and finish: the bits of two calls, the time of less. They share one
 * parallel region, in which what both read of the same rows (dX = dY W, dW = dY^T X) is still in the cache for the second. */
typedef struct fnn_product_run {
    const fnn_product *p;
    void *c;
    const void *a, *b;
    void *scratch; /* of the size that p alone needs */
} fnn_product_run;
void fnn_product_two_f32(const fnn_product_run run[2]);
void fnn_product_two_f64(const fnn_product_run run[2]);

/* Into how many pieces the sum over K is cut: part of the numerical contract, so a function of these three alone. */
int64_t fnn_product_splits(int64_t M, int64_t N, int64_t K);

#endif
