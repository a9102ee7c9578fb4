/* What debug builds (FNN_DEBUG) put around each pool block: a header with the requested size before it and a
 * canary behind it, both checked on free; fresh and freed payloads are filled with 0xFF bytes, which read as NaN.
 * Under the address sanitizer header, canary and freed payloads are also poisoned, so a stray access stops at once.
 * A damaged block ends the process with a line on stderr: there is nothing sane to return to. Used by pool.c alone. */
#ifndef FNN_CORE_POOL_DEBUG_H
#define FNN_CORE_POOL_DEBUG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asan.h"
#include "pool.h"

enum { DEBUG_HEADER = FNN_POOL_ALIGNMENT, DEBUG_CANARY = 64 };
#define DEBUG_MAGIC UINT64_C(0x666e6e2d6c697665) /* a live block */

typedef struct debug_header {
    uint64_t magic;
    uint64_t nbytes;
} debug_header;

/* The size to ask of the pool for a payload of nbytes; saturates, so that an absurd request stays absurd. */
static inline size_t debug_size(size_t nbytes) {
    return nbytes > SIZE_MAX - DEBUG_HEADER - DEBUG_CANARY ? nbytes : nbytes + DEBUG_HEADER + DEBUG_CANARY;
}

static inline void *debug_dress(void *base, size_t nbytes) {
    char *payload = (char *)base + DEBUG_HEADER;
    FNN_OPEN_MEMORY(base, debug_size(nbytes));
    *(debug_header *)base = (debug_header){DEBUG_MAGIC, nbytes};
    memset(payload, 0xFF, nbytes);
    memset(payload + nbytes, 0xC5, DEBUG_CANARY);
    FNN_CLOSE_MEMORY(base, DEBUG_HEADER);
    FNN_CLOSE_MEMORY(payload + nbytes, DEBUG_CANARY);
    return payload;
}

static inline void debug_stop(const void *payload, size_t nbytes, const char *what) {
    fprintf(stderr, "fastnn pool: block %p of %zu bytes: %s\n", payload, nbytes, what);
    abort();
}

static inline void *debug_undress(void *payload, size_t nbytes) {
    char *base = (char *)payload - DEBUG_HEADER;
    const unsigned char *canary = (const unsigned char *)payload + nbytes;
    FNN_OPEN_MEMORY(base, debug_size(nbytes));
    debug_header *header = (debug_header *)base;
    if (header->magic != DEBUG_MAGIC) {
        debug_stop(payload, nbytes, "freed twice, not from the pool, or written in front of its start");
    }
    if (header->nbytes != nbytes) {
        debug_stop(payload, nbytes, "freed with another size than it was requested with");
    }
    for (int i = 0; i < DEBUG_CANARY; i++) {
        if (canary[i] != 0xC5) {
            debug_stop(payload, nbytes, "written behind its end");
        }
    }
    header->magic = 0;
    memset(payload, 0xFF, nbytes);
    if (nbytes < (size_t)1 << 20) { /* a larger block may be unmapped, and its addresses become somebody else's */
        FNN_CLOSE_MEMORY(payload, nbytes + DEBUG_CANARY);
    }
    return base;
}

#endif
