/* See threads.h. One region at a time; its chunks are claimed one by one from a ticket counter.
 *
 * The ticket is a 64-bit word: number of the region (high half), next unclaimed chunk (low half). A thread claims a
 * chunk by compare-and-swap on the whole word, so a worker that wakes late can never take a chunk of another region,
 * and the caller need not wait for workers that never joined.
 * Invariants: the job's fields change only while the ticket is CLOSED; `busy` is held from before the ticket opens until
 * all chunks are done; `sleepers` counts workers that will not look at the ticket until they are signalled.
 * Workers start with the first region, spin for SPIN_NS after each one, then sleep; they hold no locks while computing.
 * Fork: the child begins with no workers. Exit: workers are stopped and joined if no region runs.
 * Next: random.h. */
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fp_mode.h"

#define MAX_THREADS 256
#define SPIN_NS 60000         /* about what waking a sleeper costs (35-60 us), so spinning never loses more than double */
#define AWAKE_THRESHOLD 5000  /* ns; a hot fork-join costs 0.3-0.8 us, and chunks lose some locality */
#define ASLEEP_THRESHOLD 1e5  /* ns; waking costs about 45 us */
#define CLOSED UINT64_C(0xffffffff) /* low half of a ticket without chunks */

/* The region being run. Written by its caller while the ticket is closed, read by workers before they claim. */
static _Atomic uint64_t ticket = CLOSED;
static _Atomic int64_t job_chunks;
static _Atomic(fnn_chunk_fn) job_fn;
static _Atomic(void *) job_ctx;
static _Atomic uint64_t job_fp_mode;
static _Atomic int64_t job_done;    /* chunks finished */
static atomic_bool busy;            /* a region runs, or workers are being started or stopped */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for sleeping only */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static _Atomic int sleepers;        /* changed under lock */
static atomic_bool stopping;

static pthread_t workers[MAX_THREADS];
static _Atomic int worker_count;    /* changed under busy */
static _Atomic int wanted_threads;  /* 0: not yet known */
static _Atomic int usable_cpus;
static _Atomic double awake_threshold = AWAKE_THRESHOLD, asleep_threshold = ASLEEP_THRESHOLD;
static _Thread_local bool inside_region;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int count_usable_cpus(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* The positive number in an environment variable, 0 if there is none. "4,2" (OpenMP's nested form) counts as 4. */
static int threads_from_environment(const char *name) {
    const char *text = getenv(name);
    char *end;
    const long n = text != NULL ? strtol(text, &end, 10) : 0;
    return n < 1 || (*end != '\0' && *end != ',') ? 0 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

int fnn_get_num_threads(void) {
    int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (n == 0) {
        const int cpus = count_usable_cpus();
        atomic_store(&usable_cpus, cpus);
        n = threads_from_environment("FASTNN_NUM_THREADS");
        n = n > 0 ? n : threads_from_environment("OMP_NUM_THREADS");
        n = n > 0 ? n : cpus > MAX_THREADS ? MAX_THREADS : cpus;
        int unknown = 0; /* another thread may have set it meanwhile */
        n = atomic_compare_exchange_strong(&wanted_threads, &unknown, n) ? n : unknown;
    }
    return n;
}

fnn_status fnn_set_num_threads(int n) {
    if (n < 1) {
        return fnn_fail(FNN_ERR_RUNTIME, "set_num_threads: expects a positive integer, found %d", n);
    }
    fnn_get_num_threads(); /* learns the number of CPUs */
    atomic_store(&wanted_threads, n > MAX_THREADS ? MAX_THREADS : n);
    return FNN_OK;
}

bool fnn_set_flush_denormal(bool on) {
    fp_mode_set(on ? fp_mode_get() | FP_MODE_FLUSH : fp_mode_get() & ~FP_MODE_FLUSH);
    return FP_MODE_FLUSH != 0;
}

void fnn_set_parallel_threshold(double awake_ns, double asleep_ns) {
    atomic_store(&awake_threshold, awake_ns < 0 ? AWAKE_THRESHOLD : awake_ns);
    atomic_store(&asleep_threshold, asleep_ns < 0 ? ASLEEP_THRESHOLD : asleep_ns);
}

/* Claims and runs chunks of the open region until none is left. */
static void run_chunks(void) {
    int64_t mine = 0; /* while it is above 0 the region cannot end, so the job's fields stay what they are */
    uint64_t t = atomic_load(&ticket);
    while ((t & CLOSED) != CLOSED) {
        const fnn_chunk_fn fn = atomic_load_explicit(&job_fn, memory_order_acquire);
        void *ctx = atomic_load_explicit(&job_ctx, memory_order_acquire);
        const uint64_t mode = atomic_load_explicit(&job_fp_mode, memory_order_acquire);
        const int64_t chunk = (int64_t)(t & CLOSED);
        if (chunk >= atomic_load_explicit(&job_chunks, memory_order_acquire)) {
            break;
        }
        /* If any field above belonged to a later region, the ticket has been closed since and this exchange fails. */
        if (!atomic_compare_exchange_weak(&ticket, &t, t + 1)) {
            continue;
        }
        if (mine == 0 && mode != fp_mode_get()) {
            fp_mode_set(mode);
        }
        fn(ctx, chunk);
        mine++;
        t = atomic_load(&ticket);
    }
    if (mine > 0) {
        atomic_fetch_add(&job_done, mine);
    }
}

static bool chunks_left(void) {
    const int64_t next = (int64_t)(atomic_load(&ticket) & CLOSED);
    return next != (int64_t)CLOSED && next < atomic_load(&job_chunks);
}

/* Waits with the core in hand for a region to open. With more threads than cores that would only hold up the others. */
static void spin(void) {
    if (atomic_load(&worker_count) >= atomic_load(&usable_cpus)) {
        return;
    }
    const int64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (chunks_left() || atomic_load(&stopping)) {
                return;
            }
            pause_briefly();
        }
    } while (now_ns() < end);
}

/* Why no wake-up is lost: a sleeper counts itself before it looks at the ticket, a caller opens the ticket before it
 * looks at the count, both in sequentially consistent order. */
static void sleep_until_woken(void) {
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&sleepers, 1);
    while (!chunks_left() && !atomic_load(&stopping)) {
        pthread_cond_wait(&wake, &lock);
    }
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&lock);
}

static void *worker_main(void *unused) {
    (void)unused;
    inside_region = true;
    while (!atomic_load(&stopping)) {
        run_chunks();
        spin();
        if (!chunks_left()) {
            sleep_until_woken();
        }
    }
    return NULL;
}

static void wake_sleepers(int64_t most) {
    pthread_mutex_lock(&lock);
    const int asleep = atomic_load(&sleepers);
    for (int i = 0; i < asleep && i < most; i++) {
        pthread_cond_signal(&wake);
    }
    pthread_mutex_unlock(&lock);
}

/* The caller holds `busy`. */
static void stop_workers(void) {
    atomic_store(&stopping, true);
    wake_sleepers(MAX_THREADS);
    for (int i = 0; i < atomic_load(&worker_count); i++) {
        pthread_join(workers[i], NULL);
    }
    atomic_store(&worker_count, 0);
    atomic_store(&stopping, false);
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
    atomic_store(&ticket, CLOSED);
    atomic_store(&sleepers, 0);
    atomic_store(&worker_count, 0);
    atomic_store(&stopping, false);
    atomic_store(&busy, false);
    inside_region = false;
}

static void register_fork_handler(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

/* The caller holds `busy`. Signals stay the host's business: workers block all of them. With fewer threads than wanted
 * (the system refused one) a region still does all its chunks. */
static void adjust_workers(int count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    if (atomic_load(&worker_count) > count) {
        stop_workers();
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = atomic_load(&worker_count); i < count; i++) {
        if (pthread_create(&workers[i], NULL, worker_main, NULL) != 0) {
            break;
        }
        atomic_store(&worker_count, i + 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#if defined(__GNUC__)
__attribute__((destructor))
#endif
static void stop_at_exit(void) {
    if (atomic_load(&worker_count) > 0 && !atomic_exchange(&busy, true)) {
        stop_workers(); /* `busy` stays set: what still runs at exit runs serially */
    }
}

static bool pays(int64_t chunks, double work_ns) {
    if (chunks < 2 || chunks >= (int64_t)CLOSED || inside_region || work_ns < atomic_load(&awake_threshold)) {
        return false;
    }
    const bool awake = atomic_load(&worker_count) > atomic_load(&sleepers);
    return fnn_get_num_threads() > 1 && (awake || work_ns >= atomic_load(&asleep_threshold));
}

static void wait_for_workers(int64_t chunks) {
    const int patience = atomic_load(&worker_count) < atomic_load(&usable_cpus) ? 2000 : 50;
    for (int i = 0; atomic_load(&job_done) != chunks; i++) {
        if (i < patience) {
            pause_briefly();
        } else {
            sched_yield(); /* a worker in the middle of a chunk may be waiting for this core */
        }
    }
}

/* The caller holds `busy`. */
static void run_region(int64_t chunks, double work_ns, fnn_chunk_fn fn, void *ctx) {
    const uint64_t region = (atomic_load(&ticket) >> 32) + 1;
    atomic_store_explicit(&job_fn, fn, memory_order_release);
    atomic_store_explicit(&job_ctx, ctx, memory_order_release);
    atomic_store_explicit(&job_fp_mode, fp_mode_get(), memory_order_release);
    atomic_store_explicit(&job_chunks, chunks, memory_order_release);
    atomic_store_explicit(&job_done, 0, memory_order_release);
    inside_region = true;
    atomic_store(&ticket, region << 32);
    if (atomic_load(&sleepers) > 0 && work_ns >= atomic_load(&asleep_threshold)) {
        wake_sleepers(chunks - 1);
    }
    run_chunks();
    wait_for_workers(chunks);
    atomic_store(&ticket, region << 32 | CLOSED);
    inside_region = false;
}

void fnn_parallel(int64_t chunks, double work_ns, fnn_chunk_fn fn, void *ctx) {
    if (pays(chunks, work_ns) && !atomic_exchange(&busy, true)) {
        if (atomic_load(&worker_count) != fnn_get_num_threads() - 1) {
            adjust_workers(fnn_get_num_threads() - 1);
        }
        run_region(chunks, work_ns, fn, ctx);
        atomic_store(&busy, false);
        return;
    }
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        fn(ctx, chunk);
    }
}
