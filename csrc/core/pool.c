/* The pool's front: size classes, one cache per thread, counters. See pool.h for what it promises.
 *
 * A request of at most 64 KB is a pop from the thread's own list of that class (no lock, no atomic read-modify-write);
 * larger blocks go through the shared store, where an uncontended lock (20 ns) is nothing beside the work done on 64 KB.
 * Why large blocks are not cached per thread: what one thread kept, the others would have to ask the system for.
 * Invariant: free[c] holds count[c] blocks of class c, at most cache_room(c).
 * Next: pool_store.c. */
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "pool_internal.h"
#ifdef FNN_DEBUG
#include "pool_debug.h"
#endif

#if defined(__GNUC__)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define UNLIKELY(x) (x)
#endif

/* Why not the initial-exec model, one instruction instead of a call: it would put all of the library's thread-local data
 * (messages, modes) into the room that glibc keeps for libraries loaded late, about 500 bytes for all of them together. */
static _Thread_local pool_cache *own_cache;

static _Atomic int64_t fail_countdown; /* 0: off; see fnn_pool_fail_after */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key; /* its destructor returns an ending thread's cache */
static bool exit_key_exists;

static inline int64_t read_counter(const _Atomic int64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* For the owner only: a load and a store, not a locked add. */
static inline int64_t add_to_own(_Atomic int64_t *counter, int64_t amount) {
    const int64_t sum = read_counter(counter) + amount;
    atomic_store_explicit(counter, sum, memory_order_relaxed);
    return sum;
}

/* Moves blocks to the store until `keep` are left. */
static void flush_class(pool_cache *cache, unsigned c, unsigned keep) {
    const unsigned moving = cache->count[c] - keep;
    if (moving == 0) {
        return;
    }
    pool_block *first = cache->free[c], *last = first;
    for (unsigned i = 1; i < moving; i++) {
        last = last->next;
    }
    cache->free[c] = last->next;
    cache->count[c] = keep;
    pool_store_give(c, first, last);
}

static void flush_cache(pool_cache *cache) {
    for (unsigned c = 0; c < SMALL_CLASSES; c++) {
        flush_class(cache, c, 0);
    }
}

static void on_thread_exit(void *cache) {
    own_cache = NULL;
    flush_cache(cache);
    pool_store_retire_cache(cache);
}

static void make_exit_key(void) { exit_key_exists = pthread_key_create(&exit_key, on_thread_exit) == 0; }

static pool_cache *make_own_cache(void) {
    pthread_once(&key_once, make_exit_key);
    pool_cache *cache = pool_store_new_cache();
    if (cache != NULL && exit_key_exists) {
        pthread_setspecific(exit_key, cache);
    }
    own_cache = cache;
    return cache;
}

static inline void count_request(pool_cache *cache, unsigned c) {
    add_to_own(&cache->requests, 1);
    const int64_t in_use = add_to_own(&cache->in_use, (int64_t)pool_class_size(c));
    if (in_use > read_counter(&cache->peak)) {
        atomic_store_explicit(&cache->peak, in_use, memory_order_relaxed);
    }
}

static bool must_fail_now(void) {
    int64_t left = read_counter(&fail_countdown);
    while (left > 0 && !atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
    }
    return left == 1;
}

#ifdef FNN_POOL_MALLOC
/* The sanitizer build: same counters, but each block is malloc's, so that the sanitizer stands around it, keeps it closed
 * long after it was freed, knows who allocated and who freed it, and finds it if it is lost. */
static inline void *allocate(size_t nbytes) {
    const unsigned c = pool_class_of(nbytes + (nbytes == 0));
    pool_cache *cache = own_cache != NULL ? own_cache : make_own_cache();
    void *block;
    if (must_fail_now() || cache == NULL || c >= POOL_CLASSES) {
        return NULL;
    }
    if (posix_memalign(&block, FNN_POOL_ALIGNMENT, nbytes) != 0) {
        return NULL;
    }
    count_request(cache, c);
    return block;
}

static inline void release(void *p, size_t nbytes) {
    pool_cache *cache = own_cache != NULL ? own_cache : make_own_cache();
    if (cache != NULL) {
        add_to_own(&cache->in_use, -(int64_t)pool_class_size(pool_class_of(nbytes + (nbytes == 0))));
    }
    free(p);
}
#else
/* Blocks a cache may hold of a class: 256 KB worth, but 16 to 2048 blocks, so that a step's nodes come and go inside. */
static inline unsigned cache_room(unsigned c) {
    const size_t fit = ((size_t)256 << 10) / pool_class_size(c);
    return fit > 2048 ? 2048 : fit < 16 ? 16 : (unsigned)fit;
}

/* The rest of a request that the thread's own list cannot answer. */
static void *allocate_slowly(unsigned c) {
    pool_cache *cache = own_cache != NULL ? own_cache : make_own_cache();
    if (cache == NULL || c >= POOL_CLASSES) {
        return NULL;
    }
    void *block;
    if (c >= SMALL_CLASSES) {
        block = pool_store_take_large(c);
    } else {
        pool_block *chain;
        const unsigned got = pool_store_take(c, cache_room(c) / 16, &chain);
        if (got > 0) {
            cache->free[c] = chain->next;
            cache->count[c] = got - 1;
        }
        block = got > 0 ? chain : NULL;
    }
    if (block != NULL) {
        count_request(cache, c);
    }
    return block;
}

static inline void *allocate(size_t nbytes) {
    const unsigned c = pool_class_of(nbytes + (nbytes == 0));
    pool_cache *cache = own_cache;
    if (UNLIKELY(read_counter(&fail_countdown) != 0) && must_fail_now()) {
        return NULL;
    }
    if (UNLIKELY(cache == NULL || c >= SMALL_CLASSES || cache->free[c] == NULL)) {
        return allocate_slowly(c);
    }
    pool_block *block = cache->free[c];
    cache->free[c] = block->next;
    cache->count[c]--;
    count_request(cache, c);
    return block;
}

static inline void release(void *p, size_t nbytes) {
    const unsigned c = pool_class_of(nbytes + (nbytes == 0));
    pool_cache *cache = own_cache;
    if (UNLIKELY(cache == NULL) && (cache = make_own_cache()) == NULL) {
        return; /* no memory for a cache of this thread: the block is lost, which nothing depends on */
    }
    add_to_own(&cache->in_use, -(int64_t)pool_class_size(c));
    if (c >= SMALL_CLASSES) {
        pool_store_give_large(c, p);
        return;
    }
    pool_block *block = p;
    block->next = cache->free[c];
    cache->free[c] = block;
    if (UNLIKELY(++cache->count[c] >= cache_room(c))) {
        flush_class(cache, c, cache_room(c) / 2);
    }
}
#endif

#ifdef FNN_DEBUG
void *fnn_pool_alloc(size_t nbytes) {
    void *base = allocate(debug_size(nbytes));
    return base == NULL ? NULL : debug_dress(base, nbytes);
}

void fnn_pool_free(void *p, size_t nbytes) {
    if (p != NULL) {
        release(debug_undress(p, nbytes), debug_size(nbytes));
    }
}
#else
void *fnn_pool_alloc(size_t nbytes) { return allocate(nbytes); }

void fnn_pool_free(void *p, size_t nbytes) {
    if (p != NULL) {
        release(p, nbytes);
    }
}
#endif

size_t fnn_pool_trim(void) {
    if (own_cache != NULL) {
        flush_cache(own_cache);
    }
    return pool_store_trim();
}

int64_t fnn_pool_fail_after(int64_t n) { return atomic_exchange(&fail_countdown, n > 0 ? n : 0); }
