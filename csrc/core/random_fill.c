/* Pointwise distributions except the normal: each element takes its draws in order and nothing else. See random.h.
 *
 * Rows are filled in batches through a stack buffer of the twister's outputs, so that the twister and the cheap
 * distributions run as vector loops; those with a logarithm run at libm's pace.
 * Invariant: an element takes a fixed number of 32-bit outputs: one for float32 uniforms, integers of a range below 2^28
 * and small types' random_(); two for all else.
 * Next: random_normal.c. */
#include <math.h>

#include "core/random_internal.h"

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* m <= RNG_BATCH doubles in [0, 1). */
static void draw_units(fnn_generator *g, double *units, int64_t m) {
    uint32_t words[2 * RNG_BATCH];
    fnn_rng_words(g, words, 2 * m);
    for (int64_t i = 0; i < m; i++) {
        units[i] = rng_unit_f64(rng_join(words + 2 * i));
    }
}

/* u < p for u = k * 2^-53 means k < ceil(p * 2^53), exactly. */
static uint64_t threshold_of(double p) { return p >= 1 ? RNG_MASK53 + 1 : p > 0 ? (uint64_t)ceil(p * 0x1p53) : 0; }

/* ---- uniform ------------------------------------------------------------------------------------------------- */

/* The bounds are rounded to T first and their difference is taken in T. */
#define UNIFORM(T, t, WORDS)                                                                                           \
    void fnn_rng_uniform_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double from, double to) {            \
        const rng_loops *loops = rng_loops_get();                                                                      \
        const T low = (T)from, high = (T)to, width = high - low;                                                       \
        uint32_t words[WORDS * RNG_BATCH];                                                                             \
        T batch[RNG_BATCH];                                                                                            \
        for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                          \
            const int64_t m = least(n - done, RNG_BATCH);                                                              \
            T *row = stride == 1 ? out + done : batch;                                                                 \
            fnn_rng_words(g, words, WORDS * m);                                                                        \
            loops->uniform_##t(row, words, m, low, width, high);                                                       \
            for (int64_t i = 0; i < m && stride != 1; i++) {                                                           \
                out[(done + i) * stride] = row[i];                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }
UNIFORM(float, f32, 1)
UNIFORM(double, f64, 2)

/* ---- bernoulli ------------------------------------------------------------------------------------------------ */

void fnn_rng_bernoulli_f32(fnn_generator *g, float *out, int64_t n, int64_t stride, double p) {
    const rng_loops *loops = rng_loops_get();
    const uint64_t threshold = threshold_of(p);
    uint32_t words[2 * RNG_BATCH];
    float batch[RNG_BATCH];
    for (int64_t done = 0; done < n; done += RNG_BATCH) {
        const int64_t m = least(n - done, RNG_BATCH);
        float *row = stride == 1 ? out + done : batch;
        fnn_rng_words(g, words, 2 * m);
        loops->below_f32(row, words, m, threshold);
        for (int64_t i = 0; i < m && stride != 1; i++) {
            out[(done + i) * stride] = row[i];
        }
    }
}

/* Every other type through bytes. */
#define BERNOULLI(T, t)                                                                                                \
    void fnn_rng_bernoulli_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double p) {                        \
        const rng_loops *loops = rng_loops_get();                                                                      \
        const uint64_t threshold = threshold_of(p);                                                                    \
        uint32_t words[2 * RNG_BATCH];                                                                                 \
        uint8_t batch[RNG_BATCH];                                                                                      \
        for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                          \
            const int64_t m = least(n - done, RNG_BATCH);                                                              \
            fnn_rng_words(g, words, 2 * m);                                                                            \
            loops->below_u8(batch, words, m, threshold);                                                               \
            for (int64_t i = 0; i < m; i++) {                                                                          \
                out[(done + i) * stride] = (T)batch[i];                                                                \
            }                                                                                                          \
        }                                                                                                              \
    }
BERNOULLI(double, f64)
BERNOULLI(int64_t, i64)
BERNOULLI(int32_t, i32)
BERNOULLI(uint8_t, u8)
BERNOULLI(bool, bool)

#define BERNOULLI_EACH(T, t, WORDS, UNIT)                                                                              \
    void fnn_rng_bernoulli_each_##t(fnn_generator *g, uint8_t *out, int64_t n, int64_t stride, const T *p,             \
                                    int64_t p_stride) {                                                                \
        uint32_t words[WORDS * RNG_BATCH];                                                                             \
        for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                          \
            const int64_t m = least(n - done, RNG_BATCH);                                                              \
            fnn_rng_words(g, words, WORDS * m);                                                                        \
            for (int64_t i = 0; i < m; i++) {                                                                          \
                out[(done + i) * stride] = UNIT < p[(done + i) * p_stride];                                            \
            }                                                                                                          \
        }                                                                                                              \
    }
BERNOULLI_EACH(float, f32, 1, rng_unit_f32(words[i]))
BERNOULLI_EACH(double, f64, 2, rng_unit_f64(rng_join(words + 2 * i)))

/* ---- integers: a draw modulo the range, whose slight bias belongs to the stream -------------------------------- */

#define ONE_DRAW_RANGE (UINT64_C(1) << 28) /* from here on an element takes two outputs */

#define INTEGERS(T, t)                                                                                                 \
    void fnn_rng_randint_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, int64_t base, uint64_t range) {      \
        const int64_t per_element = range != 0 && range < ONE_DRAW_RANGE ? 1 : 2;                                      \
        uint32_t words[2 * RNG_BATCH];                                                                                 \
        for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                          \
            const int64_t m = least(n - done, RNG_BATCH);                                                              \
            fnn_rng_words(g, words, per_element * m);                                                                  \
            for (int64_t i = 0; i < m; i++) {                                                                          \
                const uint64_t draw = per_element == 1 ? words[i] % (uint32_t)range                                    \
                                      : range == 0     ? rng_join(words + 2 * i)                                       \
                                                       : rng_join(words + 2 * i) % range;                              \
                out[(done + i) * stride] = (T)(int64_t)(draw + (uint64_t)base);                                        \
            }                                                                                                          \
        }                                                                                                              \
    }
INTEGERS(float, f32)
INTEGERS(double, f64)
INTEGERS(int64_t, i64)
INTEGERS(int32_t, i32)
INTEGERS(uint8_t, u8)
INTEGERS(bool, bool)

/* random_() covers what the type holds exactly: 0 to 2^24 or 2^53 for floats, 0 to the largest for integers. The ranges
 * of int64 and float64 exceed 2^28 and take two outputs; the others take one, whatever their range. */
void fnn_rng_random_i64(fnn_generator *g, int64_t *out, int64_t n, int64_t stride) {
    fnn_rng_randint_i64(g, out, n, stride, 0, UINT64_C(1) << 63);
}

void fnn_rng_random_f64(fnn_generator *g, double *out, int64_t n, int64_t stride) {
    fnn_rng_randint_f64(g, out, n, stride, 0, (UINT64_C(1) << 53) + 1);
}

#define RANDOM32(T, t, RANGE)                                                                                          \
    void fnn_rng_random_##t(fnn_generator *g, T *out, int64_t n, int64_t stride) {                                     \
        uint32_t words[RNG_BATCH];                                                                                     \
        for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                          \
            const int64_t m = least(n - done, RNG_BATCH);                                                              \
            fnn_rng_words(g, words, m);                                                                                \
            for (int64_t i = 0; i < m; i++) {                                                                          \
                out[(done + i) * stride] = (T)(words[i] % (RANGE));                                                    \
            }                                                                                                          \
        }                                                                                                              \
    }
RANDOM32(float, f32, (UINT32_C(1) << 24) + 1)
RANDOM32(int32_t, i32, UINT32_C(1) << 31)
RANDOM32(uint8_t, u8, 256u)
RANDOM32(bool, bool, 2u)

/* ---- through a logarithm or a tangent: computed in double, then rounded to the type ---------------------------- */

/* VALUE is a double made of u, uniform in [0, 1). */
#define FROM_UNIT(T, VALUE)                                                                                            \
    double units[RNG_BATCH];                                                                                           \
    for (int64_t done = 0; done < n; done += RNG_BATCH) {                                                              \
        const int64_t m = least(n - done, RNG_BATCH);                                                                  \
        draw_units(g, units, m);                                                                                       \
        for (int64_t i = 0; i < m; i++) {                                                                              \
            const double u = units[i];                                                                                 \
            out[(done + i) * stride] = (T)(VALUE);                                                                     \
        }                                                                                                              \
    }

#define EXPONENTIAL_AND_CAUCHY(T, t)                                                                                   \
    void fnn_rng_exponential_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double lambda) {                 \
        const double scale = -1.0 / lambda;                                                                            \
        FROM_UNIT(T, scale *log1p(-u))                                                                                 \
    }                                                                                                                  \
    void fnn_rng_cauchy_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double median, double sigma) {        \
        FROM_UNIT(T, median + sigma * tan(3.14159265358979323846 * (u - 0.5)))                                         \
    }
EXPONENTIAL_AND_CAUCHY(float, f32)
EXPONENTIAL_AND_CAUCHY(double, f64)

/* A double may exceed int64, where C leaves the conversion undefined: x86's answer, everywhere. */
static inline int64_t to_integer(double x) { return x < 0x1p63 ? (int64_t)x : INT64_MIN; }

#define GEOMETRIC(T, t, CONVERT)                                                                                       \
    void fnn_rng_geometric_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double p) {                        \
        const double log_miss = log1p(-p);                                                                             \
        FROM_UNIT(T, CONVERT(ceil(log(u) / log_miss)))                                                                 \
    }
GEOMETRIC(float, f32, )
GEOMETRIC(double, f64, )
GEOMETRIC(int64_t, i64, to_integer)
GEOMETRIC(int32_t, i32, to_integer)
GEOMETRIC(uint8_t, u8, to_integer)
GEOMETRIC(bool, bool, )
