/* What the GRU kernels are told. One type for float and double: pointers to elements of the kernel's type.
 *
 * The recurrence, per batch row (source: Cho et al. 2014, arXiv 1406.1078, and PyTorch's page of nn.GRU):
 *     r = sigmoid(Wr x + Ur h + br)     z = sigmoid(Wz x + Uz h + bz)
 *   before (reset before the recurrent product, Cho):  n = tanh(Wn x + Un (r h) + bn)           h' = h + z (n - h)
 *   after  (reset after it, nn.GRU, cuDNN):            n = tanh(Wn x + bn + r (Un h + cn))      h' = n + z (h - n)
 * Note that z means the opposite in the two.
 *
 * Invariant: plain data over memory that the caller owns; sizes and strides count elements; last dimensions are contiguous.
 * Read next: kernels/gru.h, ops/gru_core.c (who fills it). */
#ifndef FNN_KERNELS_GRU_TASK_H
#define FNN_KERNELS_GRU_TASK_H
#include <stdint.h>

typedef struct fnn_gru_task {
    int64_t B, T, I, H;       /* rows of the whole batch, steps, input size, hidden size */
    int before;
    int64_t row, rows;        /* the rows of this task: row .. row+rows-1 */
    int64_t hoist;            /* steps whose input products are done together: at least 1 */
    const void *x;            /* (B,T,I) */
    int64_t x_b, x_t;
    const void *h0;           /* (B,H); NULL: zeros */
    int64_t h0_b;
    const void *wx;           /* (I,3H) packed by gemm_pack: columns r, z, n */
    const void *wh;           /* after: (H,3H) packed: r, z, n. before: (H,2H) packed: r, z */
    const void *wn;           /* before: (H,H) packed: n */
    const void *bx, *bh;      /* (3H,) or NULL: added to the input products; to the recurrent ones (after only) */
    void *y;                  /* (B,T,H): h after each step. Read by the next step */
    int64_t y_b, y_t;
    void *saved;              /* (B,T,5H) contiguous or NULL: r, z, n, u, h before the step; u = r h (before), Un h + cn (after) */
    void *scratch;            /* forward: (3 hoist + 5) rows H; backward: 3 rows H */
    /* backward */
    const void *dy;           /* (B,T,H) or NULL: zeros */
    int64_t dy_b, dy_t;
    const void *dhn;          /* (B,H) contiguous or NULL: gradient of the last h */
    const void *uh;           /* (3H,H) rows r, z, n, row stride uh_row: the recurrent weights as they lie */
    int64_t uh_row;
    void *dgates;             /* (B,T,4H) contiguous: gradients before the nonlinearities: n, r, z, and r n (after; unwritten else) */
    void *db;                 /* (4H,): this task's sums of dgates over its rows and all steps */
    void *dh0;                /* (B,H) contiguous: gradient of h0; its rows are where dh is carried through time */
} fnn_gru_task;

#endif
