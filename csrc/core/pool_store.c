/* The pool's shared store: free blocks of all classes behind one lock, and the only code that talks to the system.
 *
 * Blocks up to 2 MB are cut off the front of arenas (mappings of at least 4 MB, huge pages: a first touch then costs
 * 39 us per MB instead of 230); larger ones are mappings of their own. Arenas are never unmapped. A free block above
 * 64 KB that exceeds the limit goes back to the system: a mapping is unmapped, an arena block keeps its address and its
 * first page (with the list link) and is put on the class's cold list, to be used when no warm block is left.
 * Invariant: kept_bytes is the sum of all blocks on warm lists of large classes, at most kept_limit after each free.
 * Fork: the lock is taken across fork(), so the child finds the store whole; what other threads' caches held is lost to
 * the child, as those threads are.
 * Next: threads.h, the other half of what kernels stand on. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool_internal.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define FIRST_ARENA ((size_t)4 << 20)
#define LARGEST_ARENA ((size_t)64 << 20)

/* A stretch that blocks are cut from. Two of them, so that a large block does not end an arena of small ones early. */
typedef struct arena {
    char *next; /* start of what is left */
    size_t left;
    size_t size; /* of the last mapping: the next one is twice as long */
} arena;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static pool_block *warm[POOL_CLASSES]; /* free blocks with their pages; above MAPPED_CLASS also whole mappings */
static pool_block *cold[POOL_CLASSES]; /* free arena blocks whose pages but the first were given back */
static arena small_arena, large_arena;
static size_t kept_bytes, kept_limit;  /* kept_limit 0: not yet set */
static pool_cache *caches;             /* of all living threads */
static pool_cache *spare_caches;       /* of ended ones, for the next to come */
static fnn_pool_stats gone;            /* what ended threads counted; bytes_reserved and system_* count for all */

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&lock); }
static void after_fork_in_child(void) { pthread_mutex_init(&lock, NULL); }
static void register_fork_handlers(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static size_t default_limit(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 4 : (size_t)1 << 30;
}

static void *map_aligned(size_t nbytes) {
    const size_t whole = nbytes + HUGE_PAGE;
    char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    const size_t head = (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
    if (head > 0) {
        munmap(start, head);
    }
    munmap(start + head + nbytes, HUGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    madvise(start + head, nbytes, MADV_HUGEPAGE);
#endif
    gone.system_allocs++;
    return start + head;
}

static size_t give_to_system(unsigned c, pool_block *block) {
    const size_t size = pool_class_size(c);
    gone.system_frees++;
    if (c >= MAPPED_CLASS) {
        munmap(block, size);
        gone.bytes_reserved -= (int64_t)size;
        return size;
    }
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *from = (char *)(((uintptr_t)block + page) / page * page); /* behind the page with the link */
    char *to = (char *)(((uintptr_t)block + size) / page * page);
    madvise(from, (size_t)(to - from), MADV_DONTNEED);
    gone.bytes_reserved -= (int64_t)size;
    block->next = cold[c];
    cold[c] = block;
    return size;
}

static size_t drop_warm_blocks(void) {
    size_t dropped = 0;
    for (unsigned c = SMALL_CLASSES; c < POOL_CLASSES; c++) {
        while (warm[c] != NULL) {
            pool_block *block = warm[c];
            warm[c] = block->next;
            dropped += give_to_system(c, block);
        }
    }
    kept_bytes = 0;
    return dropped;
}

/* map_aligned, with a second try after giving back all that is free. */
static void *map_or_trim(size_t nbytes) {
    void *start = map_aligned(nbytes);
    return start != NULL || drop_warm_blocks() == 0 ? start : map_aligned(nbytes);
}

static void *cut_from_arena(arena *a, size_t size) {
    if (a->left < size) { /* what is left was never touched or lies in a page already there: not worth keeping */
        const size_t wanted = a->size == 0 ? FIRST_ARENA : a->size < LARGEST_ARENA ? 2 * a->size : LARGEST_ARENA;
        char *start = map_or_trim(wanted);
        if (start == NULL) {
            return NULL;
        }
        *a = (arena){start, wanted, wanted};
    }
    void *block = a->next;
    a->next += size;
    a->left -= size;
    gone.bytes_reserved += (int64_t)size;
    return block;
}

static void *take_locked(unsigned c) {
    const size_t size = pool_class_size(c);
    pool_block *block = warm[c];
    if (block != NULL) {
        warm[c] = block->next;
        kept_bytes -= c >= SMALL_CLASSES ? size : 0;
        return block;
    }
    block = cold[c];
    if (block != NULL) {
        cold[c] = block->next;
        gone.system_allocs++;
        gone.bytes_reserved += (int64_t)size;
        return block;
    }
    if (c < MAPPED_CLASS) {
        return cut_from_arena(c < SMALL_CLASSES ? &small_arena : &large_arena, size);
    }
    block = map_or_trim(size);
    gone.bytes_reserved += block != NULL ? (int64_t)size : 0;
    return block;
}

unsigned pool_store_take(unsigned c, unsigned wanted, pool_block **chain) {
    unsigned got = 0;
    *chain = NULL;
    pthread_mutex_lock(&lock);
    /* What is free is taken up to `wanted`; of fresh memory only what fits a page, lest one request reserve much. */
    const unsigned fresh = 4096 / (unsigned)pool_class_size(c);
    while (got < wanted && (got == 0 || got < fresh || warm[c] != NULL)) {
        pool_block *block = take_locked(c);
        if (block == NULL) {
            break;
        }
        block->next = *chain;
        *chain = block;
        got++;
    }
    pthread_mutex_unlock(&lock);
    return got;
}

void pool_store_give(unsigned c, pool_block *first, pool_block *last) {
    pthread_mutex_lock(&lock);
    last->next = warm[c];
    warm[c] = first;
    pthread_mutex_unlock(&lock);
}

void *pool_store_take_large(unsigned c) {
    pthread_mutex_lock(&lock);
    void *block = take_locked(c);
    pthread_mutex_unlock(&lock);
    return block;
}

void pool_store_give_large(unsigned c, void *p) {
    const size_t size = pool_class_size(c);
    pool_block *block = p;
    pthread_mutex_lock(&lock);
    if (kept_limit == 0) {
        kept_limit = default_limit();
    }
    if (kept_bytes + size > kept_limit) {
        give_to_system(c, block);
    } else {
        block->next = warm[c];
        warm[c] = block;
        kept_bytes += size;
    }
    pthread_mutex_unlock(&lock);
}

size_t pool_store_trim(void) {
    pthread_mutex_lock(&lock);
    const size_t dropped = drop_warm_blocks();
    pthread_mutex_unlock(&lock);
    return dropped;
}

pool_cache *pool_store_new_cache(void) {
    pthread_once(&fork_once, register_fork_handlers);
    pthread_mutex_lock(&lock);
    pool_cache *cache = spare_caches;
    if (cache != NULL) {
        spare_caches = cache->next;
    } else {
        cache = cut_from_arena(&small_arena, pool_class_size(pool_class_of(sizeof *cache)));
    }
    if (cache != NULL) {
        memset(cache, 0, sizeof *cache);
        cache->next = caches;
        caches = cache;
    }
    pthread_mutex_unlock(&lock);
    return cache;
}

static int64_t read_counter(const _Atomic int64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_counts(fnn_pool_stats *to, const pool_cache *cache) {
    to->requests += read_counter(&cache->requests);
    to->bytes_in_use += read_counter(&cache->in_use);
    to->peak += read_counter(&cache->peak);
}

void pool_store_retire_cache(pool_cache *cache) {
    pthread_mutex_lock(&lock);
    add_counts(&gone, cache);
    pool_cache **link = &caches;
    while (*link != cache) {
        link = &(*link)->next;
    }
    *link = cache->next;
    cache->next = spare_caches;
    spare_caches = cache;
    pthread_mutex_unlock(&lock);
}

void fnn_pool_get_stats(fnn_pool_stats *out) {
    pthread_mutex_lock(&lock);
    *out = gone;
    for (const pool_cache *cache = caches; cache != NULL; cache = cache->next) {
        add_counts(out, cache);
    }
    pthread_mutex_unlock(&lock);
}
