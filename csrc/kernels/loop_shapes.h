/* The shapes of an elementwise loop over plain C expressions: contiguous, one operand a number, anything else.
 *
 * Invariant: all branches evaluate the same expression on the same element, so the path cannot be seen in the result.
 * Included once per unit. Lists: loops.def; users: loops_real.h, loops_int.h. */
#ifndef FNN_LOOP_SHAPES_H
#define FNN_LOOP_SHAPES_H

/* out may be an input itself, never overlap one otherwise: tells the compiler that vectors are safe. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* a loop around a libm call stays scalar */
#define FNN_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define FNN_IVDEP _Pragma("GCC ivdep")
#endif
#define FNN_AT(T, i, k) (*(const T *)(ptr[k] + (i) * s[k]))

#define FNN_LOOP1(fn, TO, T, U, expr) \
    static void fn(char *const *ptr, const int64_t *s, int64_t n) { \
        typedef T type __attribute__((unused)); \
        typedef U utype __attribute__((unused)); \
        if (s[0] == sizeof(TO) && s[1] == sizeof(T)) { \
            TO *o = (TO *)ptr[0]; \
            const T *pa = (const T *)ptr[1]; \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const T a = pa[i]; \
                o[i] = (TO)(expr); \
            } \
            return; \
        } \
        for (int64_t i = 0; i < n; i++) { \
            const T a = FNN_AT(T, i, 1); \
            *(TO *)(ptr[0] + i * s[0]) = (TO)(expr); \
        } \
    }

#define FNN_LOOP2(fn, TO, T, U, expr) \
    static void fn(char *const *ptr, const int64_t *s, int64_t n) { \
        typedef T type __attribute__((unused)); \
        typedef U utype __attribute__((unused)); \
        const int64_t t = sizeof(T); \
        TO *o = (TO *)ptr[0]; \
        const T *pa = (const T *)ptr[1], *pb = (const T *)ptr[2]; \
        if (n > 0 && s[0] == sizeof(TO) && s[1] == t && s[2] == t) { \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const T a = pa[i], b = pb[i]; \
                o[i] = (TO)(expr); \
            } \
        } else if (n > 0 && s[0] == sizeof(TO) && s[1] == t && s[2] == 0) { \
            const T b = *pb; \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const T a = pa[i]; \
                o[i] = (TO)(expr); \
            } \
        } else if (n > 0 && s[0] == sizeof(TO) && s[1] == 0 && s[2] == t) { \
            const T a = *pa; \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const T b = pb[i]; \
                o[i] = (TO)(expr); \
            } \
        } else { \
            for (int64_t i = 0; i < n; i++) { \
                const T a = FNN_AT(T, i, 1), b = FNN_AT(T, i, 2); \
                *(TO *)(ptr[0] + i * s[0]) = (TO)(expr); \
            } \
        } \
    }

#define FNN_LOOP3(fn, TO, TA, T, expr) \
    static void fn(char *const *ptr, const int64_t *s, int64_t n) { \
        typedef T type __attribute__((unused)); \
        TO *o = (TO *)ptr[0]; \
        const TA *pa = (const TA *)ptr[1]; \
        const T *pb = (const T *)ptr[2], *pc = (const T *)ptr[3]; \
        const int64_t t = sizeof(T); \
        if (s[0] == sizeof(TO) && s[1] == sizeof(TA) && s[2] == t && s[3] == t) { \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const TA a = pa[i]; \
                const T b = pb[i], c = pc[i]; \
                o[i] = (TO)(expr); \
            } \
        } else if (n > 0 && s[0] == sizeof(TO) && s[1] == sizeof(TA) && s[2] == 0 && s[3] == t) { \
            const T b = *pb; \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const TA a = pa[i]; \
                const T c = pc[i]; \
                o[i] = (TO)(expr); \
            } \
        } else if (n > 0 && s[0] == sizeof(TO) && s[1] == sizeof(TA) && s[2] == 0 && s[3] == 0) { \
            const T b = *pb, c = *pc; \
            FNN_IVDEP for (int64_t i = 0; i < n; i++) { \
                const TA a = pa[i]; \
                o[i] = (TO)(expr); \
            } \
        } else { \
            for (int64_t i = 0; i < n; i++) { \
                const TA a = FNN_AT(TA, i, 1); \
                const T b = FNN_AT(T, i, 2), c = FNN_AT(T, i, 3); \
                *(TO *)(ptr[0] + i * s[0]) = (TO)(expr); \
            } \
        } \
    }
#endif
