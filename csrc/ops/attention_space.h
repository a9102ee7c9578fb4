/* The operands of scaled_dot_product_attention in one space of heads: what they broadcast to, and each iteration's part of it as
 * attention_core.h wants it.
 *
 * Invariant: views, borrowed from the operands; strides decide no result. Does not: check dtypes and sizes (attention.c).
 * Read next: attention.c, attention_core.h. */
#ifndef FNN_OPS_ATTENTION_SPACE_H
#define FNN_OPS_ATTENTION_SPACE_H

#include "ops/attention_core.h"
#include "ops/op.h"

#define FNN_ATTENTION_NAME "scaled_dot_product_attention"
enum { Q, K, V, MASK, OPERANDS };

/* The operands as borrowed views, k and v with a dimension for the group under enable_gqa, and what they broadcast to. */
typedef struct fnn_space {
    fnn_tensor t[OPERANDS];
    bool has_mask;
    int n;                       /* leading dimensions */
    int64_t shape[FNN_MAX_DIMS]; /* their sizes */
    int64_t T, S, D, E;
    int64_t outer, B, H, heads;  /* all leading dimensions before B and H (and G); those; the product of all */
    int64_t group;               /* heads of q per head of k, then the last leading dimension, G; 0: not enable_gqa, G is 1 */
} fnn_space;
static inline int64_t fnn_space_group_size(const fnn_space *s) { return s->group ? s->shape[s->n - 1] : 1; }

fnn_status fnn_space_make(fnn_space *s, const fnn_tensor *q, const fnn_tensor *k, const fnn_tensor *v, const fnn_tensor *mask, bool gqa);
/* One leading dimension more: the heads h (third from the end) become (h / group, group). */
void fnn_space_split_heads(fnn_tensor *t, int64_t group);
/* Replaces operands whose last dimension is not contiguous by copies; those are to be released. */
fnn_status fnn_space_straighten(fnn_space *s, const fnn_tensor *const *in, fnn_tensor *copies);
/* A tensor of the space, for iteration i of the outer loop; zeroed where it has no memory. */
fnn_attention_array fnn_space_array(const fnn_space *s, const fnn_tensor *t, int64_t i);
/* Everything but outputs, gradients and saved tensors, for iteration i of the outer loop. */
fnn_attention fnn_space_describe(const fnn_space *s, const fnn_attrs *attrs, int64_t i);
/* Saved tensors: probabilities or lse in p, dropout's choice in keep; either may be NULL. */
void fnn_space_describe_saved(const fnn_space *s, const fnn_attrs *attrs, int64_t i, char *p, const uint8_t *keep, fnn_attention *a);

#endif
