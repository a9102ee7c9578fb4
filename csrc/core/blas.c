/* The gate to an optional OpenBLAS: opening, checking, remembering.
 *
 * Invariant: `gate.state` goes from UNDECIDED to OPEN or SHUT once, under `gate.lock`, and never
 *   back; what readers use (functions, text) is written before the state is released.
 * Does not: hold the lock while a product runs; close an accepted library.
 * Read next: blas.h for the rules of choice.
 */
#include "blas.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dlfcn.h>
#include <pthread.h>

enum { UNDECIDED, OPEN, SHUT };

static struct {
    pthread_mutex_t lock;
    pthread_once_t fork_once; /* registers the fork handlers */
    atomic_int state;         /* released after everything below is final */
    fnn_blas blas;            /* valid when OPEN */
    char path[1024];          /* proposal, then the opened file; under lock until decided */
    char text[1536];          /* what describe() answers; final when decided */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .fork_once = PTHREAD_ONCE_INIT};

/* A fork waits until an opening in another thread is over: the child would otherwise inherit a
 * locked gate (and a half-opened library) that nobody is there to finish. */
static void fork_lock(void) { pthread_mutex_lock(&gate.lock); }
static void fork_unlock(void) { pthread_mutex_unlock(&gate.lock); }
static void guard_forks(void) { (void)pthread_atfork(fork_lock, fork_unlock, fork_unlock); }

/* `name` as scipy-openblas32 spells it (prefixed), else as every other OpenBLAS does. */
static void *find_symbol(void *lib, const char *name) {
    char prefixed[64];
    snprintf(prefixed, sizeof prefixed, "scipy_%s", name);
    void *symbol = dlsym(lib, prefixed);
    return symbol ? symbol : dlsym(lib, name);
}

/* ISO C has no conversion from data to function pointers; POSIX promises their equal size. */
#define FIND_FUNCTION(target, lib, name)                 \
    do {                                                 \
        void *symbol_ = find_symbol((lib), (name));      \
        memcpy(&(target), &symbol_, sizeof(target));     \
    } while (0)

/* Takes the functions out of `lib` and sets it to one thread. Returns NULL or the objection. */
static const char *check_library(void *lib) {
    void (*set_threads)(int) = NULL;
    int (*get_threads)(void) = NULL;
    char *(*get_config)(void) = NULL;
    FIND_FUNCTION(gate.blas.sgemm, lib, "cblas_sgemm");
    FIND_FUNCTION(gate.blas.dgemm, lib, "cblas_dgemm");
    FIND_FUNCTION(set_threads, lib, "openblas_set_num_threads");
    FIND_FUNCTION(get_threads, lib, "openblas_get_num_threads");
    FIND_FUNCTION(get_config, lib, "openblas_get_config");
    if (!gate.blas.sgemm || !gate.blas.dgemm) return "it has no cblas_sgemm and cblas_dgemm";
    if (!set_threads || !get_threads) return "it cannot be set to one thread";
    const char *config = get_config ? get_config() : "OpenBLAS";
    /* An ILP64 build without a symbol suffix would read 64-bit sizes from our 32-bit ones. */
    if (strstr(config, "USE64BITINT")) return "its integers have 64 bits, 32 are needed";
    set_threads(1);
    if (get_threads() != 1) return "it did not go to one thread";
    snprintf(gate.text, sizeof gate.text, "%s, 1 thread, %s", config, gate.path);
    return NULL;
}

/* Decides the gate. Called once, under the lock. */
static int decide(void) {
    const char *wish = getenv("FASTNN_BLAS");
    if (wish && *wish) {
        if (strlen(wish) >= sizeof gate.path) {
            snprintf(gate.text, sizeof gate.text, "none: FASTNN_BLAS is too long a path");
            return SHUT;
        }
        strcpy(gate.path, wish);
    }
    if (!*gate.path || strcmp(gate.path, "none") == 0) {
        snprintf(gate.text, sizeof gate.text, "none: %s",
                 *gate.path ? "FASTNN_BLAS=none" : "no library found");
        return SHUT;
    }
    void *lib = dlopen(gate.path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        const char *why = dlerror();
        snprintf(gate.text, sizeof gate.text, "none: cannot open %.400s: %.1000s", gate.path,
                 why ? why : "unknown reason");
        return SHUT;
    }
    const char *objection = check_library(lib);
    if (!objection) return OPEN;
    snprintf(gate.text, sizeof gate.text, "none: %s refused: %s", gate.path, objection);
    dlclose(lib);
    return SHUT;
}

static int gate_state(void) {
    int state = atomic_load_explicit(&gate.state, memory_order_acquire);
    if (state != UNDECIDED) return state;
    pthread_once(&gate.fork_once, guard_forks);
    pthread_mutex_lock(&gate.lock);
    state = atomic_load_explicit(&gate.state, memory_order_relaxed);
    if (state == UNDECIDED) {
        state = decide();
        atomic_store_explicit(&gate.state, state, memory_order_release);
    }
    pthread_mutex_unlock(&gate.lock);
    return state;
}

int fnn_blas_set_path(const char *path) {
    int result = -1;
    pthread_mutex_lock(&gate.lock);
    if (atomic_load_explicit(&gate.state, memory_order_relaxed) == UNDECIDED &&
        (!path || strlen(path) < sizeof gate.path)) {
        strcpy(gate.path, path ? path : "");
        result = 0;
    }
    pthread_mutex_unlock(&gate.lock);
    return result;
}

const fnn_blas *fnn_blas_get(void) { return gate_state() == OPEN ? &gate.blas : NULL; }

const char *fnn_blas_describe(void) {
    (void)gate_state();
    return gate.text;
}
