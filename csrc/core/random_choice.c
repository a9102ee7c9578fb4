/* Permutations and multinomial draws. See random.h.
 *
 * Multinomial has two streams. One exponential q per class, and the classes with the largest p/q win: exact, and one
 * pass serves any k without replacement. Or, with replacement and k > 1, the cumulative sums searched once per sample.
 * Next: core/blas.h. */
#include <math.h>

#include "core/random_internal.h"

/* From this length on, 32 random bits modulo the rest would be visibly biased: (2^32 - 1) / 20. */
#define LONG_PERMUTATION 214748364

void fnn_rng_randperm(fnn_generator *g, int64_t *out, int64_t n) {
    if (n >= LONG_PERMUTATION) {
        for (int64_t i = 0; i < n; i++) { /* inside out: place i is filled from place j, which takes the new number */
            const int64_t j = (int64_t)(fnn_rng_random64(g) % (uint64_t)(i + 1));
            out[i] = out[j];
            out[j] = i;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        out[i] = i;
    }
    for (int64_t i = 0; i < n - 1; i++) {
        const int64_t j = i + fnn_rng_random32(g) % (uint32_t)(n - i);
        const int64_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

/* The two paths have their own wordings, as in PyTorch. */
#define MULTINOMIAL_CHECK(T, t)                                                                                        \
    fnn_status fnn_multinomial_check_##t(const T *p, int64_t rows, int64_t classes, int64_t k, bool replacement) {     \
        for (int64_t i = 0; i < rows * classes; i++) {                                                                 \
            if (!(p[i] >= 0) || !isfinite(p[i])) {                                                                     \
                return fnn_fail(FNN_ERR_RUNTIME, "multinomial: %s",                                                    \
                                fnn_multinomial_by_ratio(k, replacement) ? BAD_ENTRY                                   \
                                : p[i] >= 0                              ? INFINITE_ENTRY                              \
                                                                         : NEGATIVE_ENTRY);                            \
            }                                                                                                          \
        }                                                                                                              \
        for (int64_t r = 0; r < rows; r++) {                                                                           \
            T largest = 0; /* a sum of numbers that are not negative is 0 only if all of them are */                   \
            for (int64_t c = 0; c < classes; c++) {                                                                    \
                largest = p[r * classes + c] > largest ? p[r * classes + c] : largest;                                 \
            }                                                                                                          \
            if (largest == 0) {                                                                                        \
                return fnn_fail(FNN_ERR_RUNTIME, "multinomial: %s", ZERO_ROW);                                         \
            }                                                                                                          \
        }                                                                                                              \
        return FNN_OK;                                                                                                 \
    }
#define BAD_ENTRY "probability tensor contains either `inf`, `nan` or element < 0"
#define NEGATIVE_ENTRY "invalid multinomial distribution (encountering probability entry < 0)"
#define INFINITE_ENTRY "invalid multinomial distribution (encountering probability entry = infinity or NaN)"
#define ZERO_ROW "invalid multinomial distribution (sum of probabilities <= 0)"
MULTINOMIAL_CHECK(float, f32)
MULTINOMIAL_CHECK(double, f64)

#define MULTINOMIAL_RATIO(T, t)                                                                                        \
    void fnn_rng_multinomial_ratio_##t(fnn_generator *g, T *ratio, const T *p, int64_t rows, int64_t classes,          \
                                       bool by_column) {                                                               \
        if (by_column) {                                                                                               \
            for (int64_t c = 0; c < classes; c++) {                                                                    \
                fnn_rng_exponential_##t(g, ratio + c, rows, classes, 1.0);                                             \
            }                                                                                                          \
        } else {                                                                                                       \
            fnn_rng_exponential_##t(g, ratio, rows * classes, 1, 1.0);                                                 \
        }                                                                                                              \
        for (int64_t i = 0; i < rows * classes; i++) {                                                                 \
            ratio[i] = p[i] / ratio[i];                                                                                \
        }                                                                                                              \
    }
MULTINOMIAL_RATIO(float, f32)
MULTINOMIAL_RATIO(double, f64)

/* The first of the largest; NaN (0/0) is above everything. */
#define MULTINOMIAL_LARGEST(T, t)                                                                                      \
    static int64_t first_largest_##t(const T *x, int64_t n) {                                                          \
        int64_t best = 0;                                                                                              \
        for (int64_t c = 1; c < n && !isnan(x[best]); c++) {                                                           \
            best = x[c] > x[best] || isnan(x[c]) ? c : best;                                                           \
        }                                                                                                              \
        return best;                                                                                                   \
    }                                                                                                                  \
    void fnn_multinomial_largest_##t(int64_t *out, const T *ratio, fnn_ranked *scratch, int64_t rows, int64_t classes, \
                                     int64_t k) {                                                                      \
        for (int64_t r = 0; r < rows; r++, out += k, ratio += classes) {                                               \
            if (k == 1) {                                                                                              \
                out[0] = first_largest_##t(ratio, classes);                                                            \
                continue;                                                                                              \
            }                                                                                                          \
            for (int64_t c = 0; c < classes; c++) {                                                                    \
                scratch[c] = (fnn_ranked){fnn_rank_f64((double)ratio[c]), c};                                          \
            }                                                                                                          \
            fnn_select_largest(scratch, classes, k, true);                                                             \
            for (int64_t i = 0; i < k; i++) {                                                                          \
                out[i] = scratch[i].index;                                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }
MULTINOMIAL_LARGEST(float, f32)
MULTINOMIAL_LARGEST(double, f64)

/* Sums and quotients are taken in T, one after the other; the search compares in double. */
#define MULTINOMIAL_CUMULATIVE(T, t)                                                                                   \
    static int64_t search_##t(const T *sums, int64_t n, double u) {                                                    \
        int64_t low = 0;                                                                                               \
        while (n > 0) { /* sums[i] < u for all i < low, and not for any i >= low + n */                                \
            const int64_t half = n / 2;                                                                                \
            const bool right = (double)sums[low + half] < u;                                                           \
            low += right ? half + 1 : 0;                                                                               \
            n = right ? n - half - 1 : half;                                                                           \
        }                                                                                                              \
        return low;                                                                                                    \
    }                                                                                                                  \
    void fnn_rng_multinomial_cumulative_##t(fnn_generator *g, int64_t *out, const T *p, T *scratch, int64_t rows,      \
                                            int64_t classes, int64_t k) {                                              \
        for (int64_t r = 0; r < rows; r++, out += k, p += classes) {                                                   \
            T sum = 0;                                                                                                 \
            for (int64_t c = 0; c < classes; c++) {                                                                    \
                sum += p[c];                                                                                           \
                scratch[c] = sum;                                                                                      \
            }                                                                                                          \
            for (int64_t c = 0; c < classes; c++) {                                                                    \
                scratch[c] /= sum;                                                                                     \
            }                                                                                                          \
            scratch[classes - 1] = 1;                                                                                  \
            for (int64_t i = 0; i < k; i++) {                                                                          \
                out[i] = search_##t(scratch, classes, rng_unit_f64(fnn_rng_random64(g)));                              \
            }                                                                                                          \
        }                                                                                                              \
    }
MULTINOMIAL_CUMULATIVE(float, f32)
MULTINOMIAL_CUMULATIVE(double, f64)
