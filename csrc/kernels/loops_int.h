/* Elementwise loops over integers and bool, casts between all dtypes, and the two-dimensional copy.
 *
 * Included once per unit. Signed arithmetic wraps (done unsigned); division by zero gives 0, the op has refused it before. */

static inline int64_t KI(int_remainder)(int64_t a, int64_t b) { /* the sign of b, as Python's % */
    if (b == 0 || b == -1) return 0;
    int64_t m = a % b;
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}
static inline int64_t KI(int_floor_divide)(int64_t a, int64_t b) { /* as Python's // */
    if (b == 0) return 0;
    if (b == -1) return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
/* a^b by squaring, wrapping; a negative power is 0 but for bases 1 and -1, as in torch */
static inline int64_t KI(int_pow)(int64_t a, int64_t b) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    uint64_t r = 1;
    for (uint64_t base = (uint64_t)a; b; b >>= 1, base *= base)
        if (b & 1) r *= base;
    return (int64_t)r;
}

#define FNN_UNARY_BITS FNN_UNARY_IU
#define FNN_BINARY_BITS FNN_BINARY_IU
#define FNN_UNARY_IU(name, expr) FNN_LOOP1(FNN_INT(u_##name), type_, type_, utype_, expr)
#define FNN_UNARY_TO_BOOL(name, expr) FNN_LOOP1(FNN_INT(u_##name), uint8_t, type_, utype_, expr)
#define FNN_BINARY_IU(name, expr) FNN_LOOP2(FNN_INT(b_##name), type_, type_, utype_, expr)
#define FNN_BINARY_TO_BOOL(name, expr) FNN_LOOP2(FNN_INT(b_##name), uint8_t, type_, utype_, expr)
#define FNN_TERNARY_RIU(name, expr) FNN_LOOP3(FNN_INT(t_##name), type_, type_, type_, expr)
#define FNN_WHERE(name, expr) FNN_LOOP3(FNN_INT(t_##name), type_, uint8_t, type_, expr)
#define FNN_INT(name) FNN_PASTE3(name, FNN_INT_SUFFIX, FNN_ISA)

#define FNN_INT_SUFFIX i64
#define type_ int64_t
#define utype_ uint64_t
#include "kernels/loops.def"
#undef FNN_INT_SUFFIX
#undef type_
#undef utype_
#define FNN_INT_SUFFIX i32
#define type_ int32_t
#define utype_ uint32_t
#include "kernels/loops.def"
#undef FNN_INT_SUFFIX
#undef type_
#undef utype_
#define FNN_INT_SUFFIX u8
#define type_ uint8_t
#define utype_ uint8_t
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits" /* a < 0 is meant for the signed ones */
#include "kernels/loops.def"
#pragma GCC diagnostic pop

#include "kernels/loops_end.inc"
#define FNN_BINARY_B(name, expr) FNN_LOOP2(FNN_PASTE3(b_##name, b8, FNN_ISA), uint8_t, uint8_t, uint8_t, expr)
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
#undef FNN_INT_SUFFIX
#undef type_
#undef utype_

/* ---- casts ---- */

static inline int64_t KI(to_i64)(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
static inline int32_t KI(to_i32)(double x) { return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN; }

#define FNN_TO_f32(from, a) ((float)(a))
#define FNN_TO_f64(from, a) ((double)(a))
#define FNN_TO_i64(from, a) FNN_FROM_##from((a), KI(to_i64)((double)(a)), int64_t)
#define FNN_TO_i32(from, a) FNN_FROM_##from((a), KI(to_i32)((double)(a)), int32_t)
#define FNN_TO_u8(from, a) FNN_FROM_##from((a), KI(to_i32)((double)(a)), uint8_t)
#define FNN_TO_b8(from, a) ((a) != 0)
#define FNN_FROM_f32(a, converted, T) ((T)(converted))
#define FNN_FROM_f64(a, converted, T) ((T)(converted))
#define FNN_FROM_i64(a, converted, T) ((T)(a))
#define FNN_FROM_i32(a, converted, T) ((T)(a))
#define FNN_FROM_u8(a, converted, T) ((T)(a))
#define FNN_FROM_b8(a, converted, T) ((T)(a))
#define FNN_TYPE_f32 float
#define FNN_TYPE_f64 double
#define FNN_TYPE_i64 int64_t
#define FNN_TYPE_i32 int32_t
#define FNN_TYPE_u8 uint8_t
#define FNN_TYPE_b8 uint8_t
#define FNN_CAST(from, to) \
    FNN_LOOP1(KI(cast_##from##_##to), FNN_TYPE_##to, FNN_TYPE_##from, FNN_TYPE_##from, FNN_TO_##to(from, a))
FNN_CAST(f32, f64) FNN_CAST(f32, i64) FNN_CAST(f32, i32) FNN_CAST(f32, u8) FNN_CAST(f32, b8)
FNN_CAST(f64, f32) FNN_CAST(f64, i64) FNN_CAST(f64, i32) FNN_CAST(f64, u8) FNN_CAST(f64, b8)
FNN_CAST(i64, f32) FNN_CAST(i64, f64) FNN_CAST(i64, i32) FNN_CAST(i64, u8) FNN_CAST(i64, b8)
FNN_CAST(i32, f32) FNN_CAST(i32, f64) FNN_CAST(i32, i64) FNN_CAST(i32, u8) FNN_CAST(i32, b8)
FNN_CAST(u8, f32) FNN_CAST(u8, f64) FNN_CAST(u8, i64) FNN_CAST(u8, i32) FNN_CAST(u8, b8)
FNN_CAST(b8, f32) FNN_CAST(b8, f64) FNN_CAST(b8, i64) FNN_CAST(b8, i32) FNN_CAST(b8, u8)

/* y = x. Long runs that do not overlap go by words: libc's memmove turns to `rep movsb` there, which is slower than a loop
 * (1 MB on two cores: 23 us, this 11 us). */
static inline void KI(move_bytes)(char *y, const char *x, int64_t n) {
    int64_t i = 0;
    if (n >= 512 && (uint64_t)(y - x) >= (uint64_t)n && (uint64_t)(x - y) >= (uint64_t)n) {
        for (; i + 256 <= n; i += 256) {
            vf a = vf_load((const float *)(x + i)), b = vf_load((const float *)(x + i + 64));
            vf c = vf_load((const float *)(x + i + 128)), d = vf_load((const float *)(x + i + 192));
            vf_store((float *)(y + i), a);
            vf_store((float *)(y + i + 64), b);
            vf_store((float *)(y + i + 128), c);
            vf_store((float *)(y + i + 192), d);
        }
    }
    memmove(y + i, x + i, (size_t)(n - i));
}

/* Same dtype: bytes are moved, so a NaN keeps its payload. */
#define FNN_COPY(size, T) \
    static void KI(copy_##size)(char *const *ptr, const int64_t *s, int64_t n) { \
        if (s[0] == size && s[1] == size) { \
            if (n > 0) KI(move_bytes)(ptr[0], ptr[1], n * size); \
        } else if (s[0] == size && s[1] == 0 && n > 0) { \
            const T v = *(const T *)ptr[1]; \
            T *o = (T *)ptr[0]; \
            for (int64_t i = 0; i < n; i++) o[i] = v; \
        } else { \
            for (int64_t i = 0; i < n; i++) *(T *)(ptr[0] + i * s[0]) = *(const T *)(ptr[1] + i * s[1]); \
        } \
    } \
    /* 16 x 16 tiles: both sides stay in whole cache lines however they are strided */ \
    static void KI(copy_2d_##size)(char *yp, const char *xp, int64_t rows, int64_t cols, const int64_t ys[2], \
                                   const int64_t xs[2]) { \
        T *y = (T *)yp; \
        const T *x = (const T *)xp; \
        for (int64_t i0 = 0; i0 < rows; i0 += 16) \
            for (int64_t j0 = 0; j0 < cols; j0 += 16) { \
                int64_t i1 = i0 + 16 < rows ? i0 + 16 : rows, j1 = j0 + 16 < cols ? j0 + 16 : cols; \
                for (int64_t i = i0; i < i1; i++) \
                    for (int64_t j = j0; j < j1; j++) y[i * ys[0] + j * ys[1]] = x[i * xs[0] + j * xs[1]]; \
            } \
    }
FNN_COPY(1, uint8_t)
FNN_COPY(4, uint32_t)
FNN_COPY(8, uint64_t)
