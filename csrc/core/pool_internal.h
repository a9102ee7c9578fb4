/* What pool.c (fast path, one cache per thread) and pool_store.c (shared store behind one lock) agree on.
 *
 * Size classes: multiples of 64 bytes up to 1024, then eight to each doubling, so at most 1/8 of a block is slack.
 * A free block's first word links it to the next free block of its class. Nobody else includes this file. */
#ifndef FNN_CORE_POOL_INTERNAL_H
#define FNN_CORE_POOL_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool.h"

enum {
    SMALL_CLASSES = 64,                  /* classes 0..63 reach 64 KB: kept in thread caches, never given back */
    POOL_CLASSES = 16 + 8 * (40 - 10),   /* the last one is 1 TB; a larger request is refused */
    MAPPED_CLASS = 16 + 8 * (21 - 10)    /* from here on (above 2 MB) each block is a mapping of its own */
};

typedef struct pool_block {
    struct pool_block *next;
} pool_block;

/* One thread's cache. Lists are the owner's alone; counters are written by the owner and read by anybody, hence atomic
 * (relaxed: plain moves on x86). */
typedef struct pool_cache {
    pool_block *free[SMALL_CLASSES];
    uint32_t count[SMALL_CLASSES]; /* length of free[c] */
    _Atomic int64_t requests;      /* granted here */
    _Atomic int64_t in_use;        /* bytes granted here less bytes freed here: negative in a thread that only frees */
    _Atomic int64_t peak;          /* highest in_use */
    struct pool_cache *next;       /* list of all caches, under the store's lock */
} pool_cache;

/* Smallest class that holds n bytes (n >= 1); POOL_CLASSES or more if none does. */
static inline unsigned pool_class_of(size_t n) {
    if (n <= 1024) {
        return (unsigned)((n + 63) / 64) - 1;
    }
    const unsigned top = 63 - (unsigned)__builtin_clzll((unsigned long long)(n - 1)); /* 2^top < n <= 2^(top+1) */
    return 16 + 8 * (top - 10) + (unsigned)((n - 1) >> (top - 3)) - 8;
}

static inline size_t pool_class_size(unsigned c) {
    if (c < 16) {
        return (size_t)(c + 1) * 64;
    }
    const unsigned octave = (c - 16) / 8, step = (c - 16) % 8;
    return (size_t)(9 + step) << (octave + 7);
}

/* The store; each call takes its lock. */
pool_cache *pool_store_new_cache(void);                               /* NULL: no memory */
void pool_store_retire_cache(pool_cache *cache);                      /* the thread ends: keep its blocks and counts */
unsigned pool_store_take(unsigned c, unsigned wanted, pool_block **chain); /* up to `wanted` linked blocks; their number */
void pool_store_give(unsigned c, pool_block *first, pool_block *last); /* a linked chain */
void *pool_store_take_large(unsigned c);
void pool_store_give_large(unsigned c, void *block);
size_t pool_store_trim(void);

#endif
