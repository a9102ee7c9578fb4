/* The Mersenne twister (Matsumoto and Nishimura 1998, mt19937), its seeding, and its saved form. See random.h.
 *
 * The saved form is PyTorch's: 5056 little-endian bytes, interchangeable with torch.Generator.get_state() in both
 * directions. There `left` counts one more than the words remaining.
 * Invariant: next + remaining <= 624, kept also against hostile saved states.
 * Next: random_fill.c. */
#include "core/random.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/random_internal.h"

static void set_seed(fnn_generator *g, uint64_t seed) {
    g->seed = seed;
    g->words[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < FNN_RNG_WORDS; i++) {
        const uint32_t before = g->words[i - 1];
        g->words[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    g->next = 0;
    g->remaining = 0;
    g->has_cached_normal = g->has_cached_float = false;
    g->cached_normal = 0;
    g->cached_float = 0;
}

/* A fork while another thread draws must leave the child neither with a lock that nobody will open nor with a torn stream: it waits
 * for every generator. Order of locks: the list's, then generators'; who holds a generator's takes no other but in swap. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static fnn_generator *living;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&list_lock);
    for (fnn_generator *g = living; g; g = g->next_living) fnn_generator_lock(g);
}
static void after_fork_in_parent(void) {
    for (fnn_generator *g = living; g; g = g->next_living) fnn_generator_unlock(g);
    pthread_mutex_unlock(&list_lock);
}
static void after_fork_in_child(void) {
    for (fnn_generator *g = living; g; g = g->next_living) pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&list_lock, NULL);
}
static void register_fork_handlers(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

void fnn_generator_init(fnn_generator *g, uint64_t seed) {
    pthread_once(&fork_once, register_fork_handlers);
    pthread_mutex_init(&g->lock, NULL);
    set_seed(g, seed);
    pthread_mutex_lock(&list_lock);
    g->next_living = living;
    g->link = &living;
    if (living) living->link = &g->next_living;
    living = g;
    pthread_mutex_unlock(&list_lock);
}

void fnn_generator_destroy(fnn_generator *g) {
    pthread_mutex_lock(&list_lock);
    *g->link = g->next_living;
    if (g->next_living) g->next_living->link = g->link;
    pthread_mutex_unlock(&list_lock);
    pthread_mutex_destroy(&g->lock);
}
void fnn_generator_lock(fnn_generator *g) { pthread_mutex_lock(&g->lock); }
void fnn_generator_unlock(fnn_generator *g) { pthread_mutex_unlock(&g->lock); }

/* 53 bits, as many as a double holds exactly, from the system; from the clock where it gives none. */
static uint64_t system_seed(void) {
    uint64_t seed = 0;
    FILE *f = fopen("/dev/urandom", "rb");
    const bool got = f != NULL && fread(&seed, sizeof seed, 1, f) == 1;
    if (f != NULL) {
        fclose(f);
    }
    if (!got) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        seed = ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) ^ (uint64_t)getpid() << 32;
    }
    return seed & RNG_MASK53;
}

static fnn_generator default_generator;
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

static void make_default_generator(void) { fnn_generator_init(&default_generator, system_seed()); }

fnn_generator *fnn_default_generator(void) {
    pthread_once(&default_once, make_default_generator);
    return &default_generator;
}

void fnn_generator_manual_seed(fnn_generator *g, uint64_t seed) {
    fnn_generator_lock(g);
    set_seed(g, seed);
    fnn_generator_unlock(g);
}

uint64_t fnn_generator_seed(fnn_generator *g) {
    const uint64_t seed = system_seed();
    fnn_generator_manual_seed(g, seed);
    return seed;
}

void fnn_generator_swap(fnn_generator *a, fnn_generator *b) {
    unsigned char held[offsetof(fnn_generator, lock)]; /* all but the lock and the list */
    pthread_mutex_lock(&list_lock); /* so that neither another swap nor a fork holds the one and waits for the other */
    fnn_generator_lock(a);
    fnn_generator_lock(b);
    memcpy(held, a, sizeof held);
    memcpy(a, b, sizeof held);
    memcpy(b, held, sizeof held);
    fnn_generator_unlock(b);
    fnn_generator_unlock(a);
    pthread_mutex_unlock(&list_lock);
}

uint64_t fnn_generator_initial_seed(fnn_generator *g) {
    fnn_generator_lock(g);
    const uint64_t seed = g->seed;
    fnn_generator_unlock(g);
    return seed;
}

/* ---- the saved form ------------------------------------------------------------------------------------------- */

enum { /* byte offsets; what is not named is 0 */
    AT_SEED = 0,
    AT_LEFT = 8,
    AT_SEEDED = 12,
    AT_NEXT = 16,
    AT_WORDS = 24,        /* 624 words of 64 bits, the upper half 0 */
    AT_NORMAL = 5024,     /* the cached normal, a double */
    AT_HAS_NORMAL = 5040, /* int32 */
    AT_FLOAT = 5048,
    AT_HAS_FLOAT = 5052   /* one byte */
};

static void put(uint8_t *at, uint64_t value, int nbytes) {
    for (int i = 0; i < nbytes; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t take(const uint8_t *at, int nbytes) {
    uint64_t value = 0;
    for (int i = 0; i < nbytes; i++) {
        value |= (uint64_t)at[i] << 8 * i;
    }
    return value;
}

void fnn_generator_get_state(fnn_generator *g, uint8_t out[FNN_RNG_STATE_SIZE]) {
    uint64_t normal;
    uint32_t single;
    memset(out, 0, FNN_RNG_STATE_SIZE);
    fnn_generator_lock(g);
    memcpy(&normal, &g->cached_normal, sizeof normal);
    memcpy(&single, &g->cached_float, sizeof single);
    put(out + AT_SEED, g->seed, 8);
    put(out + AT_LEFT, (uint64_t)g->remaining + 1, 4);
    put(out + AT_SEEDED, 1, 4);
    put(out + AT_NEXT, (uint64_t)g->next, 8);
    for (int i = 0; i < FNN_RNG_WORDS; i++) {
        put(out + AT_WORDS + 8 * i, g->words[i], 8);
    }
    if (g->has_cached_normal) {
        put(out + AT_NORMAL, normal, 8);
        put(out + AT_HAS_NORMAL, 1, 4);
    }
    if (g->has_cached_float) {
        put(out + AT_FLOAT, single, 4);
        put(out + AT_HAS_FLOAT, 1, 1);
    }
    fnn_generator_unlock(g);
}

fnn_status fnn_generator_set_state(fnn_generator *g, const uint8_t *state, size_t nbytes) {
    if (nbytes != FNN_RNG_STATE_SIZE) {
        return fnn_fail(FNN_ERR_RUNTIME, "set_state: Expected a CPUGeneratorImplState of size %d but found the input RNG "
                        "state size to be %zu", FNN_RNG_STATE_SIZE, nbytes);
    }
    const uint32_t left = (uint32_t)take(state + AT_LEFT, 4);
    const uint64_t next = take(state + AT_NEXT, 8);
    if (take(state + AT_SEEDED, 4) != 1 || left < 1 || left > FNN_RNG_WORDS || next > FNN_RNG_WORDS ||
        next + left - 1 > FNN_RNG_WORDS) {
        return fnn_fail(FNN_ERR_RUNTIME, "set_state: Invalid mt19937 state");
    }
    const uint64_t normal = take(state + AT_NORMAL, 8);
    const uint32_t single = (uint32_t)take(state + AT_FLOAT, 4);
    fnn_generator_lock(g);
    g->seed = take(state + AT_SEED, 8);
    g->remaining = (int32_t)left - 1;
    g->next = (int32_t)next;
    for (int i = 0; i < FNN_RNG_WORDS; i++) {
        g->words[i] = (uint32_t)take(state + AT_WORDS + 8 * i, 8);
    }
    memcpy(&g->cached_normal, &normal, sizeof normal);
    memcpy(&g->cached_float, &single, sizeof single);
    g->has_cached_normal = take(state + AT_HAS_NORMAL, 4) != 0;
    g->has_cached_float = state[AT_HAS_FLOAT] != 0;
    fnn_generator_unlock(g);
    return FNN_OK;
}

/* ---- draws ---------------------------------------------------------------------------------------------------- */

static void renew_if_used_up(fnn_generator *g) {
    if (g->remaining == 0) {
        rng_loops_get()->renew(g->words);
        g->next = 0;
        g->remaining = FNN_RNG_WORDS;
    }
}

void fnn_rng_words(fnn_generator *g, uint32_t *out, int64_t n) {
    const rng_loops *loops = rng_loops_get();
    while (n > 0) {
        renew_if_used_up(g);
        const int32_t some = n < g->remaining ? (int32_t)n : g->remaining;
        loops->temper(out, g->words + g->next, some);
        g->next += some;
        g->remaining -= some;
        out += some;
        n -= some;
    }
}

uint32_t fnn_rng_random32(fnn_generator *g) {
    renew_if_used_up(g);
    g->remaining--;
    uint32_t y = g->words[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t fnn_rng_random64(fnn_generator *g) {
    const uint64_t high = fnn_rng_random32(g);
    return high << 32 | fnn_rng_random32(g);
}
