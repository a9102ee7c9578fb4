/* Hammers what csrc/core gives to everything above it, without Python: status, pool, threads, fork, random loops.
 *
 * tests/test_core.py builds it with the sources of csrc/core, plainly and under the sanitizers, and runs it. Invariant:
 * exit status 0 and no output mean that all held. It times nothing. Read next: csrc/core/pool.h, csrc/core/threads.h. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pool.h"
#include "core/pool_store.c"   /* for its limit and arenas */
#include "core/random_loops.c" /* for its two tables */
#include "core/status.h"
#include "core/threads.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static fnn_pool_stats stats(void) {
    fnn_pool_stats s;
    fnn_pool_get_stats(&s);
    return s;
}

static void test_status(void) {
    char longer[2 * FNN_MESSAGE_SIZE];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    REQUIRE(fnn_fail(FNN_ERR_VALUE, "op: %d", 3) == FNN_ERR_VALUE && strcmp(fnn_error_message(), "op: 3") == 0);
    fnn_fail(FNN_ERR_TYPE, "outer: %s", fnn_error_message());
    REQUIRE(strcmp(fnn_error_message(), "outer: op: 3") == 0);
    fnn_fail(FNN_ERR_TYPE, "%s", longer);
    REQUIRE(strlen(fnn_error_message()) == FNN_MESSAGE_SIZE - 1);
    REQUIRE(strcmp(fnn_error_message() + FNN_MESSAGE_SIZE - 4, "...") == 0);
}

/* ---- a system that refuses: the linker sends these calls here (--wrap) ---- */

static _Atomic int refused_mmaps, refused_callocs, refused_threads; /* how many of the next calls fail */

static bool refuse(_Atomic int *left) {
    int n = atomic_load(left);
    while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1)) {
    }
    return n > 0;
}

void *__real_mmap(void *at, size_t n, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int file, off_t offset) {
    return refuse(&refused_mmaps) ? MAP_FAILED : __real_mmap(at, n, protection, flags, file, offset);
}
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) { return refuse(&refused_callocs) ? NULL : __real_calloc(n, size); }
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    return refuse(&refused_threads) ? 11 /* EAGAIN */ : __real_pthread_create(thread, attributes, body, argument);
}

/* ---- pool ---- */

typedef struct block {
    unsigned char *p;
    size_t nbytes;
    unsigned char mark;
} block;

/* Many live blocks of all sizes, each marked at both ends; a block handed out twice loses its mark. */
static void *hammer_pool(void *seed_of_thread) {
    unsigned seed = (unsigned)(uintptr_t)seed_of_thread;
    block live[150] = {0};
    for (int i = 0; i < 6000; i++) {
        block *b = &live[rand_r(&seed) % 150];
        if (b->p != NULL) {
            REQUIRE(b->nbytes == 0 || (b->p[0] == b->mark && b->p[b->nbytes - 1] == b->mark));
            fnn_pool_free(b->p, b->nbytes);
            b->p = NULL;
            continue;
        }
        const size_t most = (size_t)1 << (rand_r(&seed) % (i % 16 == 0 ? 23 : 13));
        *b = (block){.nbytes = (size_t)rand_r(&seed) % most, .mark = (unsigned char)rand_r(&seed)};
        b->p = fnn_pool_alloc(b->nbytes);
        REQUIRE(b->p != NULL && (uintptr_t)b->p % FNN_POOL_ALIGNMENT == 0);
        if (b->nbytes > 0) {
            b->p[0] = b->p[b->nbytes - 1] = b->mark;
        }
    }
    for (int i = 0; i < 150; i++) {
        fnn_pool_free(live[i].p, live[i].nbytes);
    }
    return NULL;
}

static void run_threads(int n, void *(*body)(void *)) {
    pthread_t threads[8];
    for (int i = 0; i < n; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)(i + 1)) == 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *free_block(void *p) {
    fnn_pool_free(p, 100);
    return NULL;
}

static void test_pool(void) {
    run_threads(4, hammer_pool);
    REQUIRE(stats().bytes_in_use == 0 && stats().peak > 0);
    fnn_pool_trim();
    kept_limit = (size_t)3 << 20; /* from here on large blocks go back to the system, and return */
    run_threads(2, hammer_pool);
    REQUIRE(stats().bytes_in_use == 0 && stats().system_frees > 0);
    kept_limit = (size_t)1 << 30;
    hammer_pool((void *)7);
    const int64_t reserved = stats().bytes_reserved;
    REQUIRE((int64_t)fnn_pool_trim() == reserved - stats().bytes_reserved);

    hammer_pool((void *)7);
    const fnn_pool_stats before = stats(); /* the same again asks the system for nothing */
    hammer_pool((void *)7);
    const fnn_pool_stats after = stats();
    REQUIRE(after.system_allocs == before.system_allocs && after.bytes_reserved == before.bytes_reserved);

    pthread_t other;
    void *p = fnn_pool_alloc(100);
    REQUIRE(pthread_create(&other, NULL, free_block, p) == 0 && pthread_join(other, NULL) == 0);
    REQUIRE(stats().bytes_in_use == 0);

    fnn_pool_fail_after(2);
    void *first = fnn_pool_alloc(8), *second = fnn_pool_alloc(8), *third = fnn_pool_alloc(8);
    REQUIRE(first != NULL && second == NULL && third != NULL && fnn_pool_fail_after(5) == 0);
    REQUIRE(fnn_pool_fail_after(0) == 5);
    fnn_pool_free(first, 8);
    fnn_pool_free(third, 8);
    REQUIRE(fnn_pool_alloc(SIZE_MAX) == NULL && fnn_pool_alloc(SIZE_MAX / 4) == NULL);
}

static void *fail_in_new_thread(void *unused) {
    (void)unused;
    atomic_store(&refused_callocs, 1);
    fnn_fail(FNN_ERR_MEMORY, "nothing left: %d", 7); /* tells it without memory of its own */
    REQUIRE(atomic_load(&refused_callocs) == 0 && strcmp(fnn_error_message(), "nothing left: 7") == 0);
    fnn_fail(FNN_ERR_VALUE, "%s", "later"); /* has its own by now */
    REQUIRE(strcmp(fnn_error_message(), "later") == 0);
    return NULL;
}

/* A thread that finds no memory for its cache gets no block, and may still free one of another thread: that block is lost. */
static void *run_without_cache(void *block_of_100) {
    const arena kept = small_arena;
    pool_cache *const spare = spare_caches;
    small_arena.left = 0;
    spare_caches = NULL;
    atomic_store(&refused_mmaps, 4);
    fnn_pool_free(block_of_100, 100);
    REQUIRE(fnn_pool_alloc(100) == NULL);
    atomic_store(&refused_mmaps, 0);
    small_arena = kept;
    spare_caches = spare;
    return NULL;
}

static void test_system_without_memory(void) {
    pthread_t other;
    REQUIRE(pthread_create(&other, NULL, fail_in_new_thread, NULL) == 0 && pthread_join(other, NULL) == 0);
    REQUIRE(pthread_create(&other, NULL, run_without_cache, fnn_pool_alloc(100)) == 0 && pthread_join(other, NULL) == 0);

    enum { HUGE = 30 << 20 };
    fnn_pool_trim();
    const int64_t in_use = stats().bytes_in_use;
    atomic_store(&refused_mmaps, 1); /* nothing is free that could be given back */
    REQUIRE(fnn_pool_alloc(HUGE) == NULL && atomic_load(&refused_mmaps) == 0 && stats().bytes_in_use == in_use);
    fnn_pool_free(fnn_pool_alloc(HUGE / 2), HUGE / 2);
    atomic_store(&refused_mmaps, 1); /* what is free goes back, then there is room */
    const int64_t frees = stats().system_frees;
    char *block = fnn_pool_alloc(HUGE);
    REQUIRE(block != NULL && stats().system_frees > frees);
    block[0] = block[HUGE - 1] = 1;
    fnn_pool_free(block, HUGE);
    REQUIRE(stats().bytes_in_use == in_use);

    const arena kept = small_arena; /* the same where small blocks need a new arena */
    small_arena.left = 0;
    void *many[3000];
    int n = 0;
    atomic_store(&refused_mmaps, 2);
    while (n < 3000 && (many[n] = fnn_pool_alloc(50000)) != NULL) {
        n++;
    }
    REQUIRE(n < 3000);
    atomic_store(&refused_mmaps, 0);
    for (int i = 0; i < n; i++) {
        fnn_pool_free(many[i], 50000);
    }
    small_arena = kept;
    REQUIRE(stats().bytes_in_use == in_use);
}

/* ---- threads ---- */

typedef struct tally {
    int hits[64];
    int nested;
} tally;

static void count_chunk(void *ctx, int64_t chunk) { ((tally *)ctx)->hits[chunk]++; }

static void open_nested(void *ctx, int64_t chunk) {
    tally inner = {0};
    fnn_parallel(64, 1e9, count_chunk, &inner);
    for (int i = 0; i < 64; i++) {
        REQUIRE(inner.hits[i] == 1);
    }
    ((tally *)ctx)->hits[chunk]++;
}

static void *open_regions(void *unused) {
    (void)unused;
    for (int round = 0; round < 400; round++) {
        tally t = {0};
        const int chunks = round % 65;
        fnn_parallel(chunks, 1e9, round % 16 == 5 ? open_nested : count_chunk, &t);
        for (int i = 0; i < 64; i++) {
            REQUIRE(t.hits[i] == (i < chunks));
        }
    }
    return NULL;
}

static const double tiny = 0x1p-1022;
static void multiply_tiny(void *ctx, int64_t chunk) {
    volatile double x = tiny;
    ((double *)ctx)[chunk] = x * 0.5;
    for (volatile int wait = 0; wait < 1000; wait++) { /* so that workers get their share */
    }
}

static void test_threads(void) {
    REQUIRE(fnn_get_num_threads() >= 1 && fnn_set_num_threads(0) == FNN_ERR_RUNTIME);
    for (int n = 1; n <= 7; n++) {
        REQUIRE(fnn_set_num_threads(n) == FNN_OK && fnn_get_num_threads() == n);
        open_regions(NULL);
    }
    fnn_set_num_threads(3);
    run_threads(4, open_regions);
    usleep(2000); /* workers fall asleep */
    open_regions(NULL);
    atomic_store(&refused_threads, 1000); /* no worker, or fewer than wanted: regions still do all their chunks */
    for (int left = 1000; left >= 998; left--) {
        atomic_store(&refused_threads, left == 1000 ? 1000 : 1);
        fnn_set_num_threads(1);
        fnn_set_num_threads(1002 - left);
        open_regions(NULL);
    }
    atomic_store(&refused_threads, 0);
    open_regions(NULL);
    double results[512];
    for (int on = 1; on >= 0; on--) {
        if (fnn_set_flush_denormal(on)) {
            fnn_parallel(512, 1e9, multiply_tiny, results);
            for (int i = 0; i < 512; i++) {
                REQUIRE((results[i] == 0) == (on == 1));
            }
        }
    }
}

#ifdef NO_FORK /* the thread sanitizer does not follow threads across fork() */
static void test_fork(void) {}
static void test_debug(void) {}
#else
static void test_fork(void) {
    for (int way = 0; way < 2; way++) {
        const pid_t child = fork();
        if (child == 0) {
            open_regions(NULL);
            hammer_pool((void *)3);
            if (way == 0) {
                _exit(0);
            }
            exit(0);
        }
        int status = -1;
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    }
    open_regions(NULL);
}

/* Debug builds: fresh memory reads as NaN, and misuse ends the process. */
static void test_debug(void) {
#ifdef FNN_DEBUG
    double *x = fnn_pool_alloc(8 * sizeof *x);
    REQUIRE(isnan(x[0]) && isnan(x[7]));
    fnn_pool_free(x, 8 * sizeof *x);
    for (int misuse = 0; misuse < 3; misuse++) {
        const pid_t child = fork();
        if (child == 0) {
            unsigned char *p = fnn_pool_alloc(50);
            if (misuse == 0) {
                p[50] = 1;
            }
            fnn_pool_free(p, misuse == 1 ? 51 : 50);
            if (misuse == 2) {
                fnn_pool_free(p, 50);
            }
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child && status != 0);
    }
#endif
}
#endif

/* ---- random: both builds of the loops give the same bits ---- */

static void test_random_loops(void) {
#ifdef HAVE_AVX2
    enum { N = 700 };
    static uint32_t a[FNN_RNG_WORDS], b[FNN_RNG_WORDS], words[2 * N];
    static double x[2][16 * N];
    if (rng_loops_get() == &plain_table) {
        return; /* this processor has no AVX2 */
    }
    for (int i = 0; i < FNN_RNG_WORDS; i++) {
        a[i] = b[i] = (uint32_t)i * 2654435761u;
    }
    plain_table.renew(a);
    avx2_table.renew(b);
    REQUIRE(memcmp(a, b, sizeof a) == 0);
    plain_table.temper(words, a, FNN_RNG_WORDS);
    avx2_table.temper(words + N, a, FNN_RNG_WORDS);
    REQUIRE(memcmp(words, words + N, sizeof a) == 0);
    for (int build = 0; build < 2; build++) {
        const rng_loops *loops = build == 0 ? &plain_table : &avx2_table;
        float *f = (float *)x[build];
        loops->uniform_f32(f, words, 2 * FNN_RNG_WORDS / 16 * 16, 0, 1, 1);
        loops->normal_f32(f, 2 * FNN_RNG_WORDS / 16, 0.3f, 2.5f);
        loops->uniform_f32(f + 2 * N, words, FNN_RNG_WORDS, 1000, 1, 1001);
        loops->uniform_f64(x[build] + 2 * N, words, FNN_RNG_WORDS / 2, -3.3, 7.1, 3.8);
        loops->below_f32(f + 8 * N, words, FNN_RNG_WORDS / 2, UINT64_C(1) << 51);
        loops->below_u8((uint8_t *)(f + 9 * N), words, FNN_RNG_WORDS / 2, UINT64_C(1) << 52);
    }
    REQUIRE(memcmp(x[0], x[1], sizeof x[0]) == 0);
#endif
}

int main(void) {
    test_status();
    test_pool();
    test_system_without_memory();
    test_threads();
    test_fork();
    test_debug();
    test_random_loops();
    return 0;
}
