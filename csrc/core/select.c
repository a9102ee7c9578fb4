/* See select.h. Heap selection for few of many, else quickselect and quicksort with median-of-three pivots that fall back
 * to the heap when they go too deep (introselect, introsort: Musser 1997). Ranges are half-open; `before` is the order.
 * Invariant: every step moves equal elements exactly as the GNU C++ library does, so none of them may be "improved". */
#include "core/select.h"

static inline bool before(fnn_ranked a, fnn_ranked b) { return a.key > b.key; }

static inline void swap(fnn_ranked *a, fnn_ranked *b) {
    const fnn_ranked t = *a;
    *a = *b;
    *b = t;
}

/* ---- heap: the root is the one that would go last ------------------------------------------------------------- */

/* The hole first sinks to a leaf, always towards the later child, then `value` rises from there. */
static void refill(fnn_ranked *heap, int64_t n, int64_t hole, fnn_ranked value) {
    const int64_t top = hole;
    int64_t child = hole;
    while (child < (n - 1) / 2) {
        child = 2 * child + 2;
        if (before(heap[child], heap[child - 1])) {
            child--;
        }
        heap[hole] = heap[child];
        hole = child;
    }
    if (n % 2 == 0 && child == (n - 2) / 2) { /* a last inner node with one child */
        heap[hole] = heap[2 * child + 1];
        hole = 2 * child + 1;
    }
    while (hole > top && before(heap[(hole - 1) / 2], value)) {
        heap[hole] = heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    heap[hole] = value;
}

/* The k first ones of n to the front, as a heap. */
static void heap_select(fnn_ranked *a, int64_t k, int64_t n) {
    for (int64_t parent = (k - 2) / 2; k >= 2 && parent >= 0; parent--) {
        refill(a, k, parent, a[parent]);
    }
    for (int64_t i = k; i < n; i++) {
        if (before(a[i], a[0])) {
            const fnn_ranked value = a[i];
            a[i] = a[0];
            refill(a, k, 0, value);
        }
    }
}

static void heap_unwind(fnn_ranked *a, int64_t n) {
    for (int64_t last = n - 1; last > 0; last--) {
        const fnn_ranked value = a[last];
        a[last] = a[0];
        refill(a, last, 0, value);
    }
}

/* ---- partition ------------------------------------------------------------------------------------------------ */

static void insertion_sort(fnn_ranked *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const fnn_ranked value = a[i];
        int64_t hole = i;
        for (; hole > 0 && before(value, a[hole - 1]); hole--) {
            a[hole] = a[hole - 1];
        }
        a[hole] = value;
    }
}

/* The median of a[1], the middle and the last goes to a[0]; the rest is split around it. Returns the first index of the
 * right part; elements equal to the pivot stop both scans. The median bounds them, so neither runs off the range. */
static int64_t partition(fnn_ranked *a, int64_t n) {
    fnn_ranked *p = &a[1], *q = &a[n / 2], *r = &a[n - 1];
    if (before(*p, *q)) {
        swap(a, before(*q, *r) ? q : before(*p, *r) ? r : p);
    } else {
        swap(a, before(*p, *r) ? p : before(*q, *r) ? r : q);
    }
    int64_t left = 1, right = n;
    for (;; left++) {
        while (before(a[left], a[0])) {
            left++;
        }
        right--;
        while (before(a[0], a[right])) {
            right--;
        }
        if (left >= right) {
            return left;
        }
        swap(&a[left], &a[right]);
    }
}

static int depth_limit(int64_t n) { return n > 0 ? 2 * (63 - __builtin_clzll((unsigned long long)n)) : 0; }

/* a[nth] becomes what it would be in sorted order, with nothing later before it. */
static void quick_select(fnn_ranked *a, int64_t nth, int64_t n) {
    for (int depth = depth_limit(n); n > 3; depth--) {
        if (depth == 0) {
            heap_select(a, nth + 1, n);
            swap(a, a + nth);
            return;
        }
        const int64_t cut = partition(a, n);
        if (cut <= nth) {
            a += cut;
            nth -= cut;
            n -= cut;
        } else {
            n = cut;
        }
    }
    insertion_sort(a, n);
}

/* Leaves stretches of at most 16 unsorted, each in its place. Recurses into the right part: at most `depth` deep. */
static void quick_sort_roughly(fnn_ranked *a, int64_t n, int depth) {
    for (; n > 16; depth--) {
        if (depth == 0) {
            heap_select(a, n, n);
            heap_unwind(a, n);
            return;
        }
        const int64_t cut = partition(a, n);
        quick_sort_roughly(a + cut, n - cut, depth - 1);
        n = cut;
    }
}

void fnn_select_largest(fnn_ranked *items, int64_t n, int64_t k, bool sorted) {
    if (k <= n / 64) {
        heap_select(items, k, n);
        heap_unwind(items, k);
        return;
    }
    quick_select(items, k - 1, n);
    if (sorted) { /* the k-th is in its place already */
        quick_sort_roughly(items, k - 1, depth_limit(k - 1));
        insertion_sort(items, k - 1);
    }
}
