/* The memory pool: where tensor data and the small C objects (nodes, autograd metadata, views) live.
 *
 * Why not malloc: a training step allocates and frees the same sizes over and over, and fresh pages cost 250-370 us per
 * MB, more than most kernels. The pool keeps what was freed, so that a steady loop asks the system for nothing.
 * Invariants: every block is 64-byte aligned; a block is freed with the size it was requested with (there are no
 * headers); any thread may free what another allocated; the contents of a fresh block are undefined.
 * It does not: zero memory, split or merge blocks, or touch the host process's malloc.
 * Next: pool.c (size classes, thread caches, counters), then pool_store.c (the shared store and the system). */
#ifndef FNN_CORE_POOL_H
#define FNN_CORE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define FNN_POOL_ALIGNMENT 64

/* Counters over the life of the process. Each thread counts by itself; reading adds the threads up, so a read while
 * other threads work is a moment's picture, and exact when they rest. Sizes are those of the size classes. */
typedef struct fnn_pool_stats {
    int64_t bytes_in_use;   /* in blocks now held by callers */
    int64_t bytes_reserved; /* in blocks carved so far: in use, cached or kept in the store; less what went back */
    int64_t peak;           /* highest bytes_in_use; with several allocating threads the sum of each one's highest */
    int64_t system_allocs;  /* how often memory was asked from the system; constant in the steady state */
    int64_t system_frees;   /* how often memory was given back */
    int64_t requests;       /* calls of fnn_pool_alloc that returned a block */
} fnn_pool_stats;

/* A block of at least `nbytes` bytes, or NULL when the system has no memory left. 0 gives a valid block too. */
void *fnn_pool_alloc(size_t nbytes);

/* Takes back a block; `nbytes` must be what fnn_pool_alloc was given. NULL is ignored. */
void fnn_pool_free(void *p, size_t nbytes);

void fnn_pool_get_stats(fnn_pool_stats *out);

/* Gives unused large blocks back to the system: Returns their bytes. */
size_t fnn_pool_trim(void);

/* For tests: the n-th request from now on (1 = the next one, by any thread) returns NULL once; 0 turns it off.
 * Returns what was left of the former setting, 0 if that failure has happened or none was set. */
int64_t fnn_pool_fail_after(int64_t n);

#endif
