/* GRU over whole sequences, over raw memory: forward and backward by hand, both variants. A cell is a sequence of one step.
 *
 * Formulas and the meaning of z: kernels/gru_task.h. Weights:
 *   after   as nn.GRU has them: w_ih (3H,I) and w_hh (3H,H), rows r, z, n; b_ih, b_hh (3H,).
 *   before  one array w (3H, I+H), rows r, z, n, columns input then hidden (r, z see [x, h], n sees [x, r h]), b (3H,):
 *           wx = w, wh = w + I, both with row stride I+H; bx = b, bh = NULL.
 * Invariant: a result depends on values, shapes and type only; sums over batch and time run in the order of (b, t), whatever
 * the strides of x. Time strides may be negative (pointers at the last step then): that runs a sequence backwards.
 * Does not: check anything, allocate, know layers or directions. Read next: kernels/gru.h, gru.c (the op). */
#ifndef FNN_OPS_GRU_CORE_H
#define FNN_OPS_GRU_CORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fnn_gru {
    int64_t B, T, I, H;
    bool before;
    const void *x;           /* (B,T,I), strides x_b, x_t, 1 */
    int64_t x_b, x_t;
    const void *h0;          /* (B,H), stride h0_b, 1; NULL: zeros */
    int64_t h0_b;
    const void *wx, *wh;     /* (3H,I), (3H,H), row strides below, 1 */
    int64_t wx_row, wh_row;
    const void *bx, *bh;     /* (3H,) or NULL; bh belongs to `after` only */
    void *y;                 /* (B,T,H), strides y_b, y_t, 1: h after each step */
    int64_t y_b, y_t;
    void *saved;             /* (B,T,5H) contiguous; NULL: no backward will follow. See gru_task.h */
    /* backward: gradients are overwritten; NULL means not wanted, except dh0 */
    const void *dy;          /* (B,T,H), strides dy_b, dy_t, 1; NULL: zeros */
    int64_t dy_b, dy_t;
    const void *dhn;         /* (B,H) contiguous: further gradient of the last step's h; NULL: zeros */
    void *dx;                /* (B,T,I), strides dx_b, dx_t, 1 */
    int64_t dx_b, dx_t;
    void *dh0;               /* (B,H) contiguous, always given */
    void *dwx, *dwh;         /* as wx, wh */
    int64_t dwx_row, dwh_row;
    void *dbx, *dbh;         /* (3H,) */
} fnn_gru;

/* Elements of `saved` per (batch row, step) and per hidden unit. */
#define FNN_GRU_SAVED 5

size_t fnn_gru_forward_scratch_f32(const fnn_gru *g);
size_t fnn_gru_forward_scratch_f64(const fnn_gru *g);
size_t fnn_gru_backward_scratch_f32(const fnn_gru *g);
size_t fnn_gru_backward_scratch_f64(const fnn_gru *g);

/* scratch: 64-byte aligned. backward reads x, wx, wh and saved (not h0, y or the biases). */
void fnn_gru_forward_f32(const fnn_gru *g, void *scratch);
void fnn_gru_forward_f64(const fnn_gru *g, void *scratch);
void fnn_gru_backward_f32(const fnn_gru *g, void *scratch);
void fnn_gru_backward_f64(const fnn_gru *g, void *scratch);

#endif
