/* RNN, LSTM and GRU over whole sequences, over raw memory: forward and backward by hand. A cell is a sequence of one step.
 *
 * Formulas, and for GRU the meaning of z: kernels/recurrent_task.h. Weights, G gates of H rows each:
 *   as nn.RNN, LSTM, GRU have them: w_ih (GH,I) and w_hh (GH,H), rows in the order of the gates; b_ih, b_hh (GH,).
 *   GRU before: one array w (3H, I+H), rows r, z, n, columns input then hidden (r, z see [x, h], n sees [x, r h]), b (3H,):
 *           wx = w, wh = w + I, both with row stride I+H; bx = b, bh = NULL.
 * Invariant: a result depends on values, shapes and type only; sums over batch and time run in the order of (b, t), whatever
 * the strides of x. Time strides may be negative (pointers at the last step then): that runs a sequence backwards.
 * Does not: check anything, allocate, know layers or directions. Read next: kernels/recurrent.h, recurrent.c (the ops). */
#ifndef FNN_OPS_RECURRENT_CORE_H
#define FNN_OPS_RECURRENT_CORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/recurrent_task.h"

typedef struct fnn_recurrent {
    fnn_recurrence kind;
    int64_t B, T, I, H;
    const void *x;           /* (B,T,I), strides x_b, x_t, 1 */
    int64_t x_b, x_t;
    const void *h0, *c0;     /* (B,H), strides h0_b, c0_b, 1; NULL: zeros. c0: LSTM only */
    int64_t h0_b, c0_b;
    const void *wx, *wh;     /* (GH,I), (GH,H), row strides below, 1 */
    int64_t wx_row, wh_row;
    const void *bx, *bh;     /* (GH,) or NULL */
    void *y;                 /* (B,T,H), strides y_b, y_t, 1: h after each step */
    int64_t y_b, y_t;
    void *cn;                /* (B,H) contiguous: the last c; LSTM only */
    void *saved;             /* (B,T,saved H) contiguous; NULL: no backward will follow. See recurrent_task.h */
    /* backward: gradients are overwritten; NULL means not wanted, except dh0 and dc0 */
    const void *dy;          /* (B,T,H), strides dy_b, dy_t, 1; NULL: zeros */
    int64_t dy_b, dy_t;
    const void *dhn, *dcn;   /* (B,H) contiguous: further gradients of the last h and c; NULL: zeros */
    void *dx;                /* (B,T,I), strides dx_b, dx_t, 1 */
    int64_t dx_b, dx_t;
    void *dh0, *dc0;         /* (B,H) contiguous, always given (dc0: LSTM only) */
    void *dwx, *dwh;         /* as wx, wh */
    int64_t dwx_row, dwh_row;
    void *dbx, *dbh;         /* (GH,) */
    int threads;             /* how many will work on it: gives scratch, not results */
} fnn_recurrent;

/* `size` is that of an element: float or double. */
size_t fnn_recurrent_forward_scratch(const fnn_recurrent *g, int64_t size);
size_t fnn_recurrent_backward_scratch(const fnn_recurrent *g, int64_t size);

/* scratch: 64-byte aligned. backward reads x, wx, wh and saved (not h0, c0, y or the biases). */
void fnn_recurrent_forward(const fnn_recurrent *g, int64_t size, void *scratch);
void fnn_recurrent_backward(const fnn_recurrent *g, int64_t size, void *scratch);

/* Estimated nanoseconds of forward on one thread. */
double fnn_recurrent_work(const fnn_recurrent *g, int64_t size);

#endif
