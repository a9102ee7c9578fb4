/* The vector words in plain C: arrays of 16 floats or 8 doubles. This file defines what each word means.
 *
 * Invariant: the other headers in this folder give the same bits for every word (the payload of a NaN aside).
 * Not for speed: fma is a library call here. Included only by isa/scalar.c.
 * Read next: simd/real.h (the names kernels use), simd/vec_math.h. */
#ifndef FNN_SIMD_WORDS
#define FNN_SIMD_WORDS
#include <math.h>
#include <stdint.h>
#include <string.h>

/* how many words the register file holds: kernels choose their tiles by it */
#define FNN_WORD_REGISTERS 1
#define FNN_WORD static inline __attribute__((unused))
/* Functions of many words stay calls here: sixteen lanes times fifty words inlined everywhere would take the compiler minutes. */
#define FNN_FUNCTION static __attribute__((noinline, unused))

typedef struct vf { float v[16]; } vf;
typedef struct vf_mask { uint8_t v[16]; } vf_mask; /* 0 or 1 */
typedef struct vf_int { uint32_t v[16]; } vf_int;
typedef struct vd { double v[8]; } vd;
typedef struct vd_mask { uint8_t v[8]; } vd_mask;
typedef struct vd_int { uint64_t v[8]; } vd_int;

/* ---- float: 16 lanes ---- */
#define FNN_LANES for (int i = 0; i < 16; i++)
FNN_WORD vf vf_load(const float *p) {
    vf r;
    FNN_LANES r.v[i] = p[i];
    return r;
}
/* lanes n.. are zero and p[n..] is not touched */
FNN_WORD vf vf_load_n(const float *p, int64_t n) {
    vf r;
    FNN_LANES r.v[i] = i < n ? p[i] : 0;
    return r;
}
FNN_WORD void vf_store(float *p, vf a) { FNN_LANES p[i] = a.v[i]; }
FNN_WORD void vf_store_n(float *p, int64_t n, vf a) {
    FNN_LANES if (i < n) p[i] = a.v[i];
}
FNN_WORD vf vf_set1(float x) {
    vf r;
    FNN_LANES r.v[i] = x;
    return r;
}
FNN_WORD vf vf_add(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] + b.v[i];
    return r;
}
FNN_WORD vf vf_sub(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] - b.v[i];
    return r;
}
FNN_WORD vf vf_mul(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] * b.v[i];
    return r;
}
FNN_WORD vf vf_div(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] / b.v[i];
    return r;
}
/* a*b + c, rounded once */
FNN_WORD vf vf_fma(vf a, vf b, vf c) {
    vf r;
    FNN_LANES r.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return r;
}
/* b wins if either is NaN or both are zeros (the x86 rule): vf_max(x, acc) drops a NaN x, keeps a NaN acc */
FNN_WORD vf vf_max(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return r;
}
FNN_WORD vf vf_min(vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return r;
}
FNN_WORD vf vf_sqrt(vf a) {
    vf r;
    FNN_LANES r.v[i] = sqrtf(a.v[i]);
    return r;
}
FNN_WORD vf vf_neg(vf a) {
    vf r;
    FNN_LANES r.v[i] = -a.v[i];
    return r;
}
FNN_WORD vf vf_abs(vf a) {
    vf r;
    FNN_LANES r.v[i] = fabsf(a.v[i]);
    return r;
}
FNN_WORD vf vf_copysign(vf m, vf s) {
    vf r;
    FNN_LANES r.v[i] = copysignf(m.v[i], s.v[i]);
    return r;
}
/* to the nearest integral value, halves to even */
FNN_WORD vf vf_round(vf a) {
    vf r;
    FNN_LANES r.v[i] = nearbyintf(a.v[i]);
    return r;
}
FNN_WORD vf vf_floor(vf a) {
    vf r;
    FNN_LANES r.v[i] = floorf(a.v[i]);
    return r;
}
/* comparisons are false for NaN */
FNN_WORD vf_mask vf_lt(vf a, vf b) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] < b.v[i];
    return r;
}
FNN_WORD vf_mask vf_le(vf a, vf b) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] <= b.v[i];
    return r;
}
FNN_WORD vf_mask vf_eq(vf a, vf b) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] == b.v[i];
    return r;
}
FNN_WORD vf_mask vf_isnan(vf a) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] != a.v[i];
    return r;
}
FNN_WORD vf_mask vf_mask_and(vf_mask a, vf_mask b) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] & b.v[i];
    return r;
}
FNN_WORD vf_mask vf_mask_or(vf_mask a, vf_mask b) {
    vf_mask r;
    FNN_LANES r.v[i] = a.v[i] | b.v[i];
    return r;
}
FNN_WORD vf_mask vf_mask_not(vf_mask a) {
    vf_mask r;
    FNN_LANES r.v[i] = !a.v[i];
    return r;
}
FNN_WORD vf_mask vf_mask_first(int64_t n) {
    vf_mask r;
    FNN_LANES r.v[i] = i < n;
    return r;
}
FNN_WORD int vf_mask_any(vf_mask a) {
    int r = 0;
    FNN_LANES r |= a.v[i];
    return r;
}
/* bit i: lane i */
FNN_WORD uint32_t vf_mask_bits(vf_mask a) {
    uint32_t r = 0;
    FNN_LANES r |= (uint32_t)a.v[i] << i;
    return r;
}
/* a where m, else b */
FNN_WORD vf vf_select(vf_mask m, vf a, vf b) {
    vf r;
    FNN_LANES r.v[i] = m.v[i] ? a.v[i] : b.v[i];
    return r;
}
/* The one tree: lane i with lane i + half, half = N/2 .. 1. */
FNN_WORD float vf_reduce_add(vf a) {
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) a.v[i] = a.v[i] + a.v[i + h];
    return a.v[0];
}
FNN_WORD float vf_reduce_max(vf a) {
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) a.v[i] = a.v[i] > a.v[i + h] ? a.v[i] : a.v[i + h];
    return a.v[0];
}
/* lanes in turns: a0 b0 a1 b1 ... from the lower halves, from the upper halves */
FNN_WORD vf vf_zip_lo(vf a, vf b) {
    vf r;
    for (int i = 0; i < 8; i++) r.v[2 * i] = a.v[i], r.v[2 * i + 1] = b.v[i];
    return r;
}
FNN_WORD vf vf_zip_hi(vf a, vf b) {
    vf r;
    for (int i = 0; i < 8; i++) r.v[2 * i] = a.v[i + 8], r.v[2 * i + 1] = b.v[i + 8];
    return r;
}
/* bit patterns as integers of the same width, wrapping; ishr shifts zeros in */
FNN_WORD vf_int vf_bits(vf a) {
    vf_int r;
    memcpy(&r, &a, sizeof r);
    return r;
}
FNN_WORD vf vf_from_bits(vf_int a) {
    vf r;
    memcpy(&r, &a, sizeof r);
    return r;
}
FNN_WORD vf_int vf_iset1(int32_t x) {
    vf_int r;
    FNN_LANES r.v[i] = (uint32_t)x;
    return r;
}
FNN_WORD vf_int vf_iadd(vf_int a, vf_int b) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] + b.v[i];
    return r;
}
FNN_WORD vf_int vf_isub(vf_int a, vf_int b) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] - b.v[i];
    return r;
}
FNN_WORD vf_int vf_iand(vf_int a, vf_int b) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] & b.v[i];
    return r;
}
FNN_WORD vf_int vf_ior(vf_int a, vf_int b) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] | b.v[i];
    return r;
}
FNN_WORD vf_int vf_ixor(vf_int a, vf_int b) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] ^ b.v[i];
    return r;
}
FNN_WORD vf vf_lookup8(const float *table, vf_int at) { /* table[at mod 8] */
    vf r;
    FNN_LANES r.v[i] = table[at.v[i] & 7];
    return r;
}
FNN_WORD vf_int vf_ishl(vf_int a, int k) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] << k;
    return r;
}
FNN_WORD vf_int vf_ishr(vf_int a, int k) {
    vf_int r;
    FNN_LANES r.v[i] = a.v[i] >> k;
    return r;
}
#undef FNN_LANES

/* ---- double: 8 lanes ---- */
#define FNN_LANES for (int i = 0; i < 8; i++)
FNN_WORD vd vd_load(const double *p) {
    vd r;
    FNN_LANES r.v[i] = p[i];
    return r;
}
/* lanes n.. are zero and p[n..] is not touched */
FNN_WORD vd vd_load_n(const double *p, int64_t n) {
    vd r;
    FNN_LANES r.v[i] = i < n ? p[i] : 0;
    return r;
}
FNN_WORD void vd_store(double *p, vd a) { FNN_LANES p[i] = a.v[i]; }
FNN_WORD void vd_store_n(double *p, int64_t n, vd a) {
    FNN_LANES if (i < n) p[i] = a.v[i];
}
FNN_WORD vd vd_set1(double x) {
    vd r;
    FNN_LANES r.v[i] = x;
    return r;
}
FNN_WORD vd vd_add(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] + b.v[i];
    return r;
}
FNN_WORD vd vd_sub(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] - b.v[i];
    return r;
}
FNN_WORD vd vd_mul(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] * b.v[i];
    return r;
}
FNN_WORD vd vd_div(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] / b.v[i];
    return r;
}
/* a*b + c, rounded once */
FNN_WORD vd vd_fma(vd a, vd b, vd c) {
    vd r;
    FNN_LANES r.v[i] = fma(a.v[i], b.v[i], c.v[i]);
    return r;
}
/* as for float */
FNN_WORD vd vd_max(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return r;
}
FNN_WORD vd vd_min(vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return r;
}
FNN_WORD vd vd_sqrt(vd a) {
    vd r;
    FNN_LANES r.v[i] = sqrt(a.v[i]);
    return r;
}
FNN_WORD vd vd_neg(vd a) {
    vd r;
    FNN_LANES r.v[i] = -a.v[i];
    return r;
}
FNN_WORD vd vd_abs(vd a) {
    vd r;
    FNN_LANES r.v[i] = fabs(a.v[i]);
    return r;
}
FNN_WORD vd vd_copysign(vd m, vd s) {
    vd r;
    FNN_LANES r.v[i] = copysign(m.v[i], s.v[i]);
    return r;
}
/* to the nearest integral value, halves to even */
FNN_WORD vd vd_round(vd a) {
    vd r;
    FNN_LANES r.v[i] = nearbyint(a.v[i]);
    return r;
}
FNN_WORD vd vd_floor(vd a) {
    vd r;
    FNN_LANES r.v[i] = floor(a.v[i]);
    return r;
}
/* comparisons are false for NaN */
FNN_WORD vd_mask vd_lt(vd a, vd b) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] < b.v[i];
    return r;
}
FNN_WORD vd_mask vd_le(vd a, vd b) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] <= b.v[i];
    return r;
}
FNN_WORD vd_mask vd_eq(vd a, vd b) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] == b.v[i];
    return r;
}
FNN_WORD vd_mask vd_isnan(vd a) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] != a.v[i];
    return r;
}
FNN_WORD vd_mask vd_mask_and(vd_mask a, vd_mask b) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] & b.v[i];
    return r;
}
FNN_WORD vd_mask vd_mask_or(vd_mask a, vd_mask b) {
    vd_mask r;
    FNN_LANES r.v[i] = a.v[i] | b.v[i];
    return r;
}
FNN_WORD vd_mask vd_mask_not(vd_mask a) {
    vd_mask r;
    FNN_LANES r.v[i] = !a.v[i];
    return r;
}
FNN_WORD vd_mask vd_mask_first(int64_t n) {
    vd_mask r;
    FNN_LANES r.v[i] = i < n;
    return r;
}
FNN_WORD int vd_mask_any(vd_mask a) {
    int r = 0;
    FNN_LANES r |= a.v[i];
    return r;
}
FNN_WORD uint32_t vd_mask_bits(vd_mask a) {
    uint32_t r = 0;
    FNN_LANES r |= (uint32_t)a.v[i] << i;
    return r;
}
/* a where m, else b */
FNN_WORD vd vd_select(vd_mask m, vd a, vd b) {
    vd r;
    FNN_LANES r.v[i] = m.v[i] ? a.v[i] : b.v[i];
    return r;
}
/* The one tree: lane i with lane i + half, half = N/2 .. 1. */
FNN_WORD double vd_reduce_add(vd a) {
    for (int h = 4; h; h /= 2)
        for (int i = 0; i < h; i++) a.v[i] = a.v[i] + a.v[i + h];
    return a.v[0];
}
FNN_WORD double vd_reduce_max(vd a) {
    for (int h = 4; h; h /= 2)
        for (int i = 0; i < h; i++) a.v[i] = a.v[i] > a.v[i + h] ? a.v[i] : a.v[i + h];
    return a.v[0];
}
/* lanes in turns: a0 b0 a1 b1 ... from the lower halves, from the upper halves */
FNN_WORD vd vd_zip_lo(vd a, vd b) {
    vd r;
    for (int i = 0; i < 4; i++) r.v[2 * i] = a.v[i], r.v[2 * i + 1] = b.v[i];
    return r;
}
FNN_WORD vd vd_zip_hi(vd a, vd b) {
    vd r;
    for (int i = 0; i < 4; i++) r.v[2 * i] = a.v[i + 4], r.v[2 * i + 1] = b.v[i + 4];
    return r;
}
/* bit patterns as integers of the same width, wrapping; ishr shifts zeros in */
FNN_WORD vd_int vd_bits(vd a) {
    vd_int r;
    memcpy(&r, &a, sizeof r);
    return r;
}
FNN_WORD vd vd_from_bits(vd_int a) {
    vd r;
    memcpy(&r, &a, sizeof r);
    return r;
}
FNN_WORD vd_int vd_iset1(int64_t x) {
    vd_int r;
    FNN_LANES r.v[i] = (uint64_t)x;
    return r;
}
FNN_WORD vd_int vd_iadd(vd_int a, vd_int b) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] + b.v[i];
    return r;
}
FNN_WORD vd_int vd_isub(vd_int a, vd_int b) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] - b.v[i];
    return r;
}
FNN_WORD vd_int vd_iand(vd_int a, vd_int b) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] & b.v[i];
    return r;
}
FNN_WORD vd_int vd_ior(vd_int a, vd_int b) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] | b.v[i];
    return r;
}
FNN_WORD vd_int vd_ixor(vd_int a, vd_int b) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] ^ b.v[i];
    return r;
}
FNN_WORD vd_int vd_ishl(vd_int a, int k) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] << k;
    return r;
}
FNN_WORD vd_int vd_ishr(vd_int a, int k) {
    vd_int r;
    FNN_LANES r.v[i] = a.v[i] >> k;
    return r;
}
#undef FNN_LANES

/* ---- between the two: lanes 0-7 (half 0) or 8-15 (half 1) of a float word ---- */
FNN_WORD vd vd_from_f32(vf a, int half) {
    vd r;
    for (int i = 0; i < 8; i++) r.v[i] = a.v[8 * half + i];
    return r;
}
FNN_WORD vf vf_from_f64(vd lo, vd hi) {
    vf r;
    for (int i = 0; i < 8; i++) r.v[i] = (float)lo.v[i], r.v[8 + i] = (float)hi.v[i];
    return r;
}

#include "simd/ldexp.inc"
#define FNN_PLAIN_ROWS_F32
#include "simd/reduce_rows.inc"
#endif
