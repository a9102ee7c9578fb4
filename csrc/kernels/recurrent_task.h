/* What the recurrent kernels are told. One type for float and double: pointers to elements of the kernel's type.
 *
 * The recurrences, per batch row, with a = Wx x + bx and p = Wh h + bh (rows of the weights in the order of the gates):
 *   RNN   h' = tanh(a + p) or relu(a + p)
 *   LSTM  i, f, o = sigmoid(a + p), n = tanh(a + p), gates i f n o;  c' = f c + i n,  h' = o tanh(c')
 *   GRU   r, z = sigmoid(a + p), gates r z n
 *         before (reset before the recurrent product, Cho):  n = tanh(a + Un (r h))     h' = h + z (n - h)
 *         after  (reset after it, nn.GRU, cuDNN):            n = tanh(a + r p)          h' = n + z (h - n)
 *         Note that z means the opposite in the two.
 * Sources: Elman 1990; Hochreiter and Schmidhuber 1997; Cho et al. 2014, arXiv 1406.1078; PyTorch's pages of nn.RNN, LSTM, GRU.
 *
 * Invariant: plain data over memory that the caller owns; sizes and strides count elements; last dimensions are contiguous.
 * Read next: kernels/recurrent.h, ops/recurrent_core.c (who fills it). */
#ifndef FNN_KERNELS_RECURRENT_TASK_H
#define FNN_KERNELS_RECURRENT_TASK_H
#include <stdint.h>

typedef enum fnn_recurrence { FNN_RNN_TANH, FNN_RNN_RELU, FNN_LSTM, FNN_GRU_AFTER, FNN_GRU_BEFORE } fnn_recurrence;

/* A run of gates in the rows of a weight matrix, and where their gradients and the other factor lie. */
typedef struct fnn_gate_run {
    int row, gates; /* gates row .. row+gates-1 of the weights */
    int d;          /* are gates d .. of dgates */
    int saved;      /* recurrent weights: what they are multiplied with is vector `saved` of saved */
} fnn_gate_run;

/* Sizes and layouts of one kind of recurrence, counted in vectors of H numbers per batch row and step. */
typedef struct fnn_recurrence_shape {
    int gates, saved, grads; /* rows of the weights; what forward saves; what backward leaves in dgates */
    int x_runs, h_runs;
    fnn_gate_run x[2], h[2];
} fnn_recurrence_shape;

/* saved   RNN: h', h.  LSTM: i f n o, c, tanh c', h.  GRU: r z n, u, h, where u = r h (before) or p of n (after).
 * dgates  RNN, LSTM: the gates.  GRU: n, r, z, and n's times r (after; unwritten else): what Wx and what Wh need lies together.
 * All h and c are those before the step. */
static const fnn_recurrence_shape FNN_RECURRENCE[] = {
    [FNN_RNN_TANH] = {1, 2, 1, 1, 1, {{0, 1, 0, 0}}, {{0, 1, 0, 1}}},
    [FNN_RNN_RELU] = {1, 2, 1, 1, 1, {{0, 1, 0, 0}}, {{0, 1, 0, 1}}},
    [FNN_LSTM] = {4, 7, 4, 1, 1, {{0, 4, 0, 0}}, {{0, 4, 0, 6}}},
    [FNN_GRU_AFTER] = {3, 5, 4, 2, 1, {{0, 2, 1, 0}, {2, 1, 0, 0}}, {{0, 3, 1, 4}}},
    [FNN_GRU_BEFORE] = {3, 5, 4, 2, 2, {{0, 2, 1, 0}, {2, 1, 0, 0}}, {{0, 2, 1, 4}, {2, 1, 0, 3}}},
};

/* G, S, D: gates, saved, grads of the kind. */
typedef struct fnn_recurrent_task {
    int64_t B, T, I, H;       /* rows of the whole batch, steps, input size, hidden size */
    fnn_recurrence kind;
    int64_t row, rows;        /* the rows of this task: row .. row+rows-1 */
    int64_t hoist;            /* steps whose input products are done together: at least 1 */
    const void *x;            /* (B,T,I) */
    int64_t x_b, x_t;
    const void *h0, *c0;      /* (B,H); NULL: zeros. c0: LSTM */
    int64_t h0_b, c0_b;
    const void *px;           /* (I,GH) packed by gemm_pack */
    const void *ph;           /* (H,GH) packed; GRU before: (H,2H), r and z */
    const void *pn;           /* GRU before: (H,H) packed, n */
    const void *bx, *bh;      /* (GH,) or NULL: added to the input products; to the recurrent ones (GRU after only) */
    void *y;                  /* (B,T,H): h after each step. Read by the next step */
    int64_t y_b, y_t;
    void *cn;                 /* (B,H) contiguous, LSTM: the last c; c is carried here */
    void *saved;              /* (B,T,SH) contiguous or NULL */
    void *scratch;            /* forward: ((hoist + 1) G + 2) rows H; backward: rows H + DH, and rows T I where x does not fold */
    /* backward */
    const void *dy;           /* (B,T,H) or NULL: zeros */
    int64_t dy_b, dy_t;
    const void *dhn, *dcn;    /* (B,H) contiguous or NULL: gradients of the last h and c */
    const void *wx, *wh;      /* (GH,I), (GH,H): the weights as they lie */
    int64_t wx_row, wh_row;
    void *dgates;             /* (rows,T,DH): gradients before the nonlinearities, of this task's rows */
    int64_t d_row;            /* from one step of dgates to the next */
    void *dh0, *dc0;          /* (B,H) contiguous: gradients of h0 and c0; where dh and dc are carried through time */
    void *dx;                 /* (B,T,I) or NULL */
    int64_t dx_b, dx_t;
    void *db;                 /* (DH): this task's sums of dgates over its rows and all steps */
    void *dwx, *dwh;          /* (GH,I), (GH,H) contiguous or NULL: this task's shares */
} fnn_recurrent_task;

#endif
