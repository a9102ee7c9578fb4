/* See threads.h. One region at a time; its chunks are claimed one by one from ticket counters, one for each thread.
 *
 * The chunks are cut into one run for each thread: thread k starts with the k-th run and helps with the others when that is
 * done. So in op after op over the same tensors a core meets the memory that is in its own cache: a copy of 1 MB takes 12 us
 * instead of 31 us with one counter for all.
 * A ticket is a 64-bit word: number of the region (high half), next unclaimed chunk of the run (low half). A thread claims a
 * chunk by compare-and-swap on the whole word, so a worker that wakes late can never take a chunk of another region,
 * and the caller need not wait for workers that never joined.
 * Invariants: the job's fields change only while all tickets are CLOSED; `busy` is held from before the first ticket opens
 * until all chunks are done; `sleepers` counts workers that will not look at the tickets until they are signalled.
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
#define ASLEEP_THRESHOLD 1e5  /* ns; waking costs about 45 us. Of one region, or of all that were kept serial since the last one */
#define CLOSED UINT64_C(0xffffffff) /* low half of a ticket without chunks */

/* One for each thread, the caller's first; on a cache line of its own, its owner alone writes it until others run dry. */
static struct {
    _Alignas(64) _Atomic uint64_t word;
} ticket[MAX_THREADS];

/* The region being run. Written by its caller while the tickets are closed, read by workers before they claim. */
static uint64_t region; /* its number; the caller's, under busy */
static _Atomic int64_t job_chunks;
static _Atomic int job_runs;        /* tickets in use: the threads that may join */
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
static _Atomic double missed_ns;    /* work done serially because the workers slept, since they were last woken */
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

/* The first chunk of a run; of run `runs`: the end of the last one. */
static inline int64_t run_start(int64_t chunks, int run, int runs) { return chunks * run / runs; }

/* Claims and runs chunks of one run of the open region until none is left; returns how many. */
static int64_t run_chunks_of(int run) {
    int64_t mine = 0; /* while chunks are claimed and not counted the region cannot end, so the job's fields stay what they are */
    uint64_t t = atomic_load(&ticket[run].word);
    while ((t & CLOSED) != CLOSED) {
        const fnn_chunk_fn fn = atomic_load_explicit(&job_fn, memory_order_acquire);
        void *ctx = atomic_load_explicit(&job_ctx, memory_order_acquire);
        const uint64_t mode = atomic_load_explicit(&job_fp_mode, memory_order_acquire);
        const int runs = atomic_load_explicit(&job_runs, memory_order_acquire);
        const int64_t chunk = (int64_t)(t & CLOSED), chunks = atomic_load_explicit(&job_chunks, memory_order_acquire);
        if (chunk >= run_start(chunks, run + 1, runs)) {
            break;
        }
        /* If any field above belonged to a later region, the ticket has been closed since and this exchange fails. */
        if (!atomic_compare_exchange_weak(&ticket[run].word, &t, t + 1)) {
            continue;
        }
        if (mode != fp_mode_get()) {
            fp_mode_set(mode);
        }
        fn(ctx, chunk);
        mine++;
        t = atomic_load(&ticket[run].word);
    }
    return mine;
}

/* Thread `self`'s own run first, then what is left of the others. */
static void run_chunks(int self) {
    const int runs = atomic_load(&job_runs);
    for (int i = 0; i < runs; i++) {
        const int64_t mine = run_chunks_of((self + i) % runs);
        if (mine > 0) {
            atomic_fetch_add(&job_done, mine);
        }
    }
}

static bool chunks_left(void) {
    const int runs = atomic_load(&job_runs);
    for (int i = 0; i < runs; i++) {
        const uint64_t next = atomic_load(&ticket[i].word) & CLOSED;
        if (next != CLOSED && (int64_t)next < run_start(atomic_load(&job_chunks), i + 1, runs)) {
            return true;
        }
    }
    return false;
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

/* Why no wake-up is lost: a sleeper counts itself before it looks at the tickets, a caller opens them before it
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

static void *worker_main(void *number) {
    inside_region = true;
    while (!atomic_load(&stopping)) {
        run_chunks((int)(intptr_t)number);
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

static void close_tickets(void) {
    for (int i = 0; i < atomic_load(&job_runs); i++) {
        atomic_store(&ticket[i].word, region << 32 | CLOSED);
    }
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
    close_tickets();
    atomic_store(&sleepers, 0);
    atomic_store(&worker_count, 0);
    atomic_store(&stopping, false);
    atomic_store(&busy, false);
    inside_region = false;
}

static void prepare(void) {
    for (int i = 0; i < MAX_THREADS; i++) {
        atomic_store(&ticket[i].word, CLOSED);
    }
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

/* The caller holds `busy`. Signals stay the host's business: workers block all of them. With fewer threads than wanted
 * (the system refused one) a region still does all its chunks. */
static void adjust_workers(int count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
    if (atomic_load(&worker_count) > count) {
        stop_workers();
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = atomic_load(&worker_count); i < count; i++) {
        if (pthread_create(&workers[i], NULL, worker_main, (void *)(intptr_t)(i + 1)) != 0) {
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

/* Whether sleepers are to be woken: for one long region, or when many short ones have cost as much for want of them. Else a
 * loop over ops of 50 us each would stay serial for ever. */
static bool worth_waking(double work_ns) {
    const double missed = atomic_load_explicit(&missed_ns, memory_order_relaxed) + work_ns;
    const bool worth = missed >= atomic_load(&asleep_threshold);
    atomic_store_explicit(&missed_ns, worth ? 0 : missed, memory_order_relaxed);
    return worth;
}

enum { SERIAL, HELPED, WAKING }; /* how a region runs: in the caller, with the workers that are awake, or waking the others */

static int way_of(int64_t chunks, double work_ns) {
    if (chunks < 2 || chunks >= (int64_t)CLOSED || inside_region || work_ns < atomic_load(&awake_threshold) || fnn_get_num_threads() < 2) {
        return SERIAL;
    }
    const int asleep = atomic_load(&sleepers), all = atomic_load(&worker_count);
    if ((asleep > 0 || all == 0) && worth_waking(work_ns)) {
        return WAKING;
    }
    return all > asleep ? HELPED : SERIAL;
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
static void run_region(int64_t chunks, bool waking, fnn_chunk_fn fn, void *ctx) {
    const int runs = atomic_load(&worker_count) + 1;
    region++;
    atomic_store_explicit(&job_fn, fn, memory_order_release);
    atomic_store_explicit(&job_ctx, ctx, memory_order_release);
    atomic_store_explicit(&job_fp_mode, fp_mode_get(), memory_order_release);
    atomic_store_explicit(&job_chunks, chunks, memory_order_release);
    atomic_store_explicit(&job_runs, runs, memory_order_release);
    atomic_store_explicit(&job_done, 0, memory_order_release);
    inside_region = true;
    for (int i = runs - 1; i >= 0; i--) { /* the others' first: they can start while the caller's is opened */
        atomic_store(&ticket[i].word, region << 32 | (uint64_t)run_start(chunks, i, runs));
    }
    if (waking && atomic_load(&sleepers) > 0) {
        wake_sleepers(chunks - 1);
    }
    run_chunks(0);
    wait_for_workers(chunks);
    close_tickets();
    inside_region = false;
}

void fnn_parallel(int64_t chunks, double work_ns, fnn_chunk_fn fn, void *ctx) {
    const int way = way_of(chunks, work_ns);
    if (way != SERIAL && !atomic_exchange(&busy, true)) {
        if (atomic_load(&worker_count) != fnn_get_num_threads() - 1) {
            adjust_workers(fnn_get_num_threads() - 1);
        }
        run_region(chunks, way == WAKING, fn, ctx);
        atomic_store(&busy, false);
        return;
    }
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        fn(ctx, chunk);
    }
}
