/* The k largest of n, with PyTorch's choice among equal ones.
 *
 * torch.topk and torch.multinomial leave the order of equal elements to partial_sort, nth_element and sort of the GNU C++
 * library; a script prints that order, so we follow the same steps: same pivots, same heap moves.
 * Invariant: the result is a function of the keys' order alone. It does not: allocate, know about dtypes or strides.
 * Next: select.c; random_choice.c uses it. */
#ifndef FNN_CORE_SELECT_H
#define FNN_CORE_SELECT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct fnn_ranked {
    int64_t key;   /* larger goes first; see fnn_rank_f64. ~key turns the order round (the k smallest) */
    int64_t index; /* which element it is */
} fnn_ranked;

/* Brings the k largest of items[0..n) to the front, 1 <= k <= n; in decreasing order if `sorted`. The rest is garbage. */
void fnn_select_largest(fnn_ranked *items, int64_t n, int64_t k, bool sorted);

/* A key that orders as the number does: -0 equals 0, NaN is above everything. A float is widened first. */
static inline int64_t fnn_rank_f64(double x) {
    int64_t bits;
    if (x != x) {
        return INT64_MAX;
    }
    x += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >= 0 ? bits : INT64_MIN - bits; /* a negative number's bits grow as it falls */
}

#endif
