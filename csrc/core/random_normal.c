/* Normal and log-normal draws. See random.h.
 *
 * There are two streams. The scalar path makes two normals from two doubles (Box-Muller) and keeps the second one in the
 * generator for its next call, of whatever type. The block path, for contiguous tensors of at least 16 elements, makes
 * 16 from 16 uniforms of the tensor's own type and never looks at the cache; where the length is no multiple of 16, the
 * last 16 elements are drawn anew, over what the whole blocks had put there.
 * Invariant: a block fill of n elements takes n uniforms, and 16 more if 16 does not divide n.
 * Next: random_choice.c. */
#include <math.h>

#include "core/random_internal.h"

#define TWO_PI 6.28318530717958647692
#define BLOCK 16

/* Every user fuses it with std and mean: so are the streams. */
static double normal_sample(fnn_generator *g) {
    if (g->has_cached_normal) {
        g->has_cached_normal = false;
        return g->cached_normal;
    }
    const double u1 = rng_unit_f64(fnn_rng_random64(g));
    const double u2 = rng_unit_f64(fnn_rng_random64(g));
    const double r = sqrt(-2.0 * log1p(-u2)), theta = TWO_PI * u1;
    g->cached_normal = r * sin(theta);
    g->has_cached_normal = true;
    return r * cos(theta);
}

#define SCALAR_PATH(T, t)                                                                                              \
    void fnn_rng_normal_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double mean, double std) {            \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            out[i * stride] = (T)fma(normal_sample(g), std, mean);                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    void fnn_rng_log_normal_##t(fnn_generator *g, T *out, int64_t n, int64_t stride, double mean, double std) {        \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            out[i * stride] = (T)exp(fma(normal_sample(g), std, mean));                                                \
        }                                                                                                              \
    }
SCALAR_PATH(float, f32)
SCALAR_PATH(double, f64)

/* Whole blocks; the uniforms are drawn straight into the output. */
static void draw_blocks_f32(fnn_generator *g, float *out, int64_t blocks, float mean, float std) {
    const rng_loops *loops = rng_loops_get();
    enum { MOST = RNG_BATCH / BLOCK };
    for (int64_t done = 0; done < blocks; done += MOST) {
        const int64_t some = blocks - done < MOST ? blocks - done : MOST;
        float *batch = out + BLOCK * done;
        fnn_rng_uniform_f32(g, batch, BLOCK * some, 1, 0.0, 1.0);
        loops->normal_f32(batch, some, mean, std);
    }
}

/* In double the logarithm, sine and cosine are libm's. */
static void draw_blocks_f64(fnn_generator *g, double *out, int64_t blocks, double mean, double std) {
    for (int64_t b = 0; b < blocks; b++, out += BLOCK) {
        fnn_rng_uniform_f64(g, out, BLOCK, 1, 0.0, 1.0);
        for (int j = 0; j < BLOCK / 2; j++) {
            const double r = sqrt(-2.0 * log(1.0 - out[j])), theta = TWO_PI * out[j + BLOCK / 2];
            out[j] = fma(r * cos(theta), std, mean);
            out[j + BLOCK / 2] = fma(r * sin(theta), std, mean);
        }
    }
}

#define BLOCK_PATH(T, t)                                                                                               \
    void fnn_rng_normal_block_##t(fnn_generator *g, T *out, int64_t n, double mean, double std) {                      \
        const int64_t rest = n % BLOCK;                                                                                \
        T dropped[BLOCK];                                                                                              \
        draw_blocks_##t(g, out, n / BLOCK, (T)mean, (T)std);                                                           \
        if (rest != 0) {                                                                                               \
            fnn_rng_uniform_##t(g, dropped, rest, 1, 0.0, 1.0);                                                        \
            draw_blocks_##t(g, out + n - BLOCK, 1, (T)mean, (T)std);                                                   \
        }                                                                                                              \
    }
BLOCK_PATH(float, f32)
BLOCK_PATH(double, f64)
