/* What the attention kernels are told: one head. One type for float and double: pointers to elements of the kernel's type.
 *
 * Invariant: plain data over memory that the caller owns; sizes and strides count elements; the last dimension of q, k, v, o
 * and their gradients is contiguous, the time strides are free.
 * Read next: kernels/attention.h, ops/attention_core.c (who fills it). */
#ifndef FNN_KERNELS_ATTENTION_TASK_H
#define FNN_KERNELS_ATTENTION_TASK_H
#include <stdint.h>

/* Queries are taken in blocks of 4 words (64 floats, 32 doubles): in both types a block's row has this many bytes. */
#define FNN_ATTENTION_ROW_BYTES 256

typedef struct fnn_attention_task {
    int64_t T, S, D, E;     /* queries, keys, size of a query and key, size of a value */
    double scale;           /* of q . k */
    int causal;             /* query i sees keys 0..i only */
    const void *q, *k, *v;  /* (T,D), (S,D), (S,E) */
    int64_t q_t, k_t, v_t;
    void *o;                /* (T,E); forward: output */
    int64_t o_t;
    const void *mask;       /* NULL or (T,S), added to the scaled scores */
    const uint8_t *allowed; /* NULL or (T,S): 0 adds -inf. Not together with mask */
    int64_t mask_t, mask_s; /* strides of whichever is given; may be 0 */
    const uint8_t *keep;    /* NULL or (T,S): dropout keeps what is not 0, times keep_scale */
    int64_t keep_t, keep_s;
    double keep_scale;
    void *p;                /* NULL or (S, p_row): probabilities before dropout, transposed; p_row >= T, a multiple of 16.
                               Written by forward where kept (rows that no query of a block sees stay unwritten), read
                               by backward, which needs it where T and S fit in a word, else computes it anew if NULL */
    int64_t p_row;
    void *lse;              /* NULL or (T,): log of the sum of exp of a query's scores; +inf where it sees no key.
                               Forward writes it, backward needs it where p is NULL */
    void *scratch;          /* 64-byte aligned. 2 max(S, 16) rows of FNN_ATTENTION_ROW_BYTES */
    /* backward */
    const void *d_o;        /* (T,E) */
    int64_t d_o_t;
    void *dq, *dk, *dv;     /* (T,D), (S,D), (S,E); NULL: not wanted. Overwritten, dk and dv unless `add` */
    int64_t dq_t, dk_t, dv_t;
    int add;                /* dk and dv are added to what is there */
    int64_t part, parts;    /* blocks of queries: number part, part + parts, part + 2 parts, ... A head in one word: 0 of 1 */
    void *dmask;            /* NULL or (T,S) contiguous: gradient of an added mask. Only without causal */
} fnn_attention_task;

#endif
