/* Attention over raw memory: heads and batches around the kernels of one head.
 *
 *     o[b,h] = dropout(softmax(scale q[b,h] k[b,h]^T + mask[b,h])) v[b,h]
 *
 * Invariant: a result depends on values, shapes, type and the kind of the arguments only. Short sequences keep their
 * probabilities for backward, long ones the logarithm of their sum and compute them again: decided by shape
 * (fnn_attention_keeps), and the forward values are the same bits whether anything is kept or not.
 * Does not: check anything (the op has), allocate, draw dropout's random numbers.
 * Read next: kernels/attention.h, attention.c (the op). */
#ifndef FNN_OPS_ATTENTION_CORE_H
#define FNN_OPS_ATTENTION_CORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A (B,H,G,length,size) array: element strides of the first four dimensions, the last is contiguous. */
typedef struct fnn_attention_array {
    void *data; /* read only where the array is an input; NULL: absent */
    int64_t b, h, g, t;
} fnn_attention_array;

typedef struct fnn_attention {
    int64_t B, H, G;          /* heads are counted b, h, g; the G heads of a group share their gradients dk and dv */
    int64_t T, S, D, E;       /* T queries, S keys, D size of q and k, E size of v */
    double scale;
    bool causal;              /* query i sees keys 0..i */
    fnn_attention_array q, k, v, o;
    /* (B,H,G,T,S) with free strides; at most one of mask (added) and allowed (0 forbids) */
    const void *mask;
    const uint8_t *allowed;
    int64_t mask_b, mask_h, mask_g, mask_t, mask_s;
    const uint8_t *keep;      /* NULL or (B,H,G,T,S) contiguous: dropout keeps what is not 0 ... */
    double keep_scale;        /* ... times this */
    void *p;                  /* kept probabilities: fnn_attention_p_row(T) per key, (B,H,G,S,row); NULL: not kept */
    void *lse;                /* (B,H,G,T); NULL: not wanted */
    /* backward; the gradients of inputs are overwritten, absent ones not computed */
    fnn_attention_array d_o, dq, dk, dv;
    void *dmask;              /* NULL or (B,H,G,T,S) contiguous, not summed over what the mask was broadcast to; not with causal */
} fnn_attention;

/* Whether backward finds the probabilities kept (p) rather than lse. */
bool fnn_attention_keeps(int64_t T, int64_t S);
/* Length of a row of p, for both types: T in whole vector words. */
int64_t fnn_attention_p_row(int64_t T);

/* Bytes of scratch (64-byte aligned), for elements of `size` bytes. */
size_t fnn_attention_forward_scratch(const fnn_attention *a);
size_t fnn_attention_backward_scratch(const fnn_attention *a, int size);

void fnn_attention_forward_f32(const fnn_attention *a, void *scratch);
void fnn_attention_forward_f64(const fnn_attention *a, void *scratch);
void fnn_attention_backward_f32(const fnn_attention *a, void *scratch);
void fnn_attention_backward_f64(const fnn_attention *a, void *scratch);

#endif
