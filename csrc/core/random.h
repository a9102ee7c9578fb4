/* Random streams, bit-equal to PyTorch 2.13's on x86-64.
 *
 * A generator is a Mersenne twister (mt19937) plus one cached normal. Each fill writes a row of `n` elements, `stride`
 * elements apart, in order; the tensor layer walks the outer dimensions in decreasing-stride (memory) order and calls
 * once per row, which gives the same numbers as one call over all.
 * Invariants: the numbers depend on the generator's state and the arguments alone: not on the instruction set, the
 * threads, or how a fill was cut into rows. Every function from fnn_rng_words down wants the generator's lock held.
 * It does not: check arguments (an op's plan and inspect do, before anything is drawn), allocate, or use other threads.
 * Next: random.c (the twister, seeds, state), random_fill.c, random_normal.c, random_choice.c. */
#ifndef FNN_CORE_RANDOM_H
#define FNN_CORE_RANDOM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/select.h"
#include "core/status.h"

#define FNN_RNG_WORDS 624
#define FNN_RNG_STATE_SIZE 5056                        /* bytes of a saved state */
#define FNN_RNG_DEFAULT_SEED UINT64_C(67280421310721)  /* what a new Generator() starts from */

typedef struct fnn_generator {
    uint32_t words[FNN_RNG_WORDS]; /* the twister's state, untempered */
    int32_t next;                  /* index of the next unused word */
    int32_t remaining;             /* words left before the state is renewed; next + remaining <= 624 */
    uint64_t seed;                 /* as given; only its low 32 bits feed the state */
    double cached_normal;          /* the scalar normal path makes two at a time: r*sin(theta), unscaled */
    bool has_cached_normal;
    bool has_cached_float;         /* never used here: carried from set_state to get_state, as PyTorch does */
    float cached_float;
    pthread_mutex_t lock;
    struct fnn_generator *next_living, **link; /* list of all, under the list's lock: a fork takes every generator's lock */
} fnn_generator;

/* ---- generators: these take the lock themselves ------------------------------------------------------------------ */

void fnn_generator_init(fnn_generator *g, uint64_t seed);
void fnn_generator_destroy(fnn_generator *g);
fnn_generator *fnn_default_generator(void); /* seeded from the system; never destroyed */

void fnn_generator_lock(fnn_generator *g);
void fnn_generator_unlock(fnn_generator *g);

void fnn_generator_manual_seed(fnn_generator *g, uint64_t seed);
uint64_t fnn_generator_seed(fnn_generator *g); /* seeds from the system; returns the seed, 53 bits */
void fnn_generator_swap(fnn_generator *a, fnn_generator *b); /* exchanges two different streams */
uint64_t fnn_generator_initial_seed(fnn_generator *g);
void fnn_generator_get_state(fnn_generator *g, uint8_t out[FNN_RNG_STATE_SIZE]);
fnn_status fnn_generator_set_state(fnn_generator *g, const uint8_t *state, size_t nbytes);

/* ---- draws: the caller holds the lock ---------------------------------------------------------------------------- */

/* n outputs of the twister. */
void fnn_rng_words(fnn_generator *g, uint32_t *out, int64_t n);
uint32_t fnn_rng_random32(fnn_generator *g);
uint64_t fnn_rng_random64(fnn_generator *g); /* two words, the first one on top */

/* uniform: [from, to); normal: any n, any stride; log_normal, cauchy, exponential. */
#define FNN_RNG_REAL(T, t)                                                                                             \
    void fnn_rng_uniform_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double from, double to);             \
    void fnn_rng_normal_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double mean, double std);             \
    /* For a contiguous tensor of n >= 16 elements, whole, in one call; other numbers than fnn_rng_normal. */          \
    void fnn_rng_normal_block_##t(fnn_generator *g, T *out, int64_t n, double mean, double std);                       \
    void fnn_rng_log_normal_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double mean, double std);         \
    void fnn_rng_cauchy_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double median, double sigma);         \
    void fnn_rng_exponential_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double lambda);
FNN_RNG_REAL(float, f32)
FNN_RNG_REAL(double, f64)
#undef FNN_RNG_REAL

/* For every dtype. bernoulli: 1 with probability p, else 0. randint: base + (a draw modulo range), 1 <= range; 0 means
 * 2^64. random: the no-argument random_(). geometric: trials until the first success. */
#define FNN_RNG_ANY(T, t)                                                                                              \
    void fnn_rng_bernoulli_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double p);                         \
    void fnn_rng_randint_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, int64_t base, uint64_t range);       \
    void fnn_rng_random_##t(fnn_generator *g, T *out, int64_t n, int64_t stride);                                      \
    void fnn_rng_geometric_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double p);
FNN_RNG_ANY(float, f32)
FNN_RNG_ANY(double, f64)
FNN_RNG_ANY(int64_t, i64)
FNN_RNG_ANY(int32_t, i32)
FNN_RNG_ANY(uint8_t, u8)
FNN_RNG_ANY(bool, bool)
#undef FNN_RNG_ANY

/* bernoulli with a probability per element: out[i] = 1 with probability p[i], as bytes 0 and 1. One draw per element for
 * float32 probabilities, two for float64. */
void fnn_rng_bernoulli_each_f32(fnn_generator *g, uint8_t *out, int64_t n, int64_t stride, const float *p, int64_t p_stride);
void fnn_rng_bernoulli_each_f64(fnn_generator *g, uint8_t *out, int64_t n, int64_t stride, const double *p, int64_t p_stride);

/* A random permutation of 0..n-1. */
void fnn_rng_randperm(fnn_generator *g, int64_t *out, int64_t n);

/* ---- multinomial: check first, then draw -------------------------------------------------------------------------- */

/* Whether draws go through one exponential per probability and take the largest ratios (else through the cumulative sum). */
static inline bool fnn_multinomial_by_ratio(int64_t k, bool replacement) { return k == 1 || !replacement; }

/* p holds `rows` distributions of `classes` entries each, row-major without gaps; they need not sum to 1. out is (rows, k).
 * check: every entry finite and not negative, every row with a positive sum; FNN_ERR_RUNTIME otherwise.
 * ratio: writes p / exponential(1) into `ratio` (rows, classes); the k largest of a row, largest first, are the result.
 *   by_column: draw class by class instead of row by row, which is memory order for a transposed dense p.
 * largest: picks them; of equal ones as PyTorch does. `scratch` holds `classes` entries, and may be NULL for k = 1.
 * cumulative: sampling with replacement; `scratch` holds `classes` entries. */
#define FNN_RNG_MULTINOMIAL(T, t)                                                                                      \
    fnn_status fnn_multinomial_check_##t(const T *p, int64_t rows, int64_t classes, int64_t k, bool replacement);      \
    void fnn_rng_multinomial_ratio_##t(fnn_generator *g, T *ratio, const T *p, int64_t rows, int64_t classes,          \
                                       bool by_column);                                                                \
    void fnn_multinomial_largest_##t(int64_t *out, const T *ratio, fnn_ranked *scratch, int64_t rows, int64_t classes, \
                                     int64_t k);                                                                       \
    void fnn_rng_multinomial_cumulative_##t(fnn_generator *g, int64_t *out, const T *p, T *scratch, int64_t rows,      \
                                            int64_t classes, int64_t k);
FNN_RNG_MULTINOMIAL(float, f32)
FNN_RNG_MULTINOMIAL(double, f64)
#undef FNN_RNG_MULTINOMIAL

#endif
