/* What the random_*.c files share: single draws, and the table of loops compiled twice (random_loops.c). */
#ifndef FNN_CORE_RANDOM_INTERNAL_H
#define FNN_CORE_RANDOM_INTERNAL_H

#include "core/random.h"

/* Contiguous loops without state, the same bits from every build. `words` are outputs of the twister; a double takes two
 * (the first on top), a float one. */
typedef struct rng_loops {
    /* The next 624 states. */
    void (*renew)(uint32_t words[FNN_RNG_WORDS]);
    /* out[i] = output for state word in[i]. */
    void (*temper)(uint32_t *out, const uint32_t *in, int64_t n);
    /* out[i] = fma(unit(words), width, from), but `from` where that rounds to `to`. */
    void (*uniform_f32)(float *out, const uint32_t *words, int64_t n, float from, float width, float to);
    void (*uniform_f64)(double *out, const uint32_t *words, int64_t n, double from, double width, double to);
    /* Box-Muller on `blocks` blocks of 16 units: elements 0..7 of a block give the radii, 8..15 the angles. */
    void (*normal_f32)(float *x, int64_t blocks, float mean, float std);
    /* out[i] = 53-bit draw < threshold. */
    void (*below_u8)(uint8_t *out, const uint32_t *words, int64_t n, uint64_t threshold);
    void (*below_f32)(float *out, const uint32_t *words, int64_t n, uint64_t threshold);
} rng_loops;

/* Chosen once, for this processor. */
const rng_loops *rng_loops_get(void);

/* 53 random bits, and the double in [0, 1) they stand for. */
#define RNG_MASK53 ((UINT64_C(1) << 53) - 1)
static inline double rng_unit_f64(uint64_t random64) { return (double)(int64_t)(random64 & RNG_MASK53) * 0x1p-53; }
static inline float rng_unit_f32(uint32_t random32) { return (float)(int32_t)(random32 & 0xffffff) * 0x1p-24f; }

static inline uint64_t rng_join(const uint32_t *pair) { return (uint64_t)pair[0] << 32 | pair[1]; }

/* Elements per trip through a stack buffer of words: 2 KB for floats, 4 KB for doubles, well inside L1. */
enum { RNG_BATCH = 512 };

#endif
