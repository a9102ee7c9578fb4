/* The vector words for NEON on aarch64: four q registers per word.
 *
 * Invariant: every word gives the bits of its definition in simd/scalar.h, the reference for meaning and for the order of
 * lanes in a reduction. Nothing here knows a kernel. Included only by isa/neon.c.
 * Read next: simd/scalar.h (meaning), simd/real.h (the names kernels use). */
#ifndef FNN_SIMD_WORDS
#define FNN_SIMD_WORDS
#include <arm_neon.h>
#include <stdint.h>

/* how many words the register file holds: kernels choose their tiles by it */
#define FNN_WORD_REGISTERS 8
#define FNN_WORD static inline __attribute__((always_inline, unused))
#define FNN_FUNCTION FNN_WORD /* of many words: exp and its kind */

typedef struct vf { float32x4_t q[4]; } vf;
typedef struct vf_int { uint32x4_t q[4]; } vf_int;
typedef vf_int vf_mask; /* all ones or all zeros per lane */
typedef struct vd { float64x2_t q[4]; } vd;
typedef struct vd_int { uint64x2_t q[4]; } vd_int;
typedef vd_int vd_mask;

/* ---- float: 16 lanes ---- */
#define FNN_QUADS for (int i = 0; i < 4; i++)
FNN_WORD vf vf_load(const float *p) {
    vf r;
    FNN_QUADS r.q[i] = vld1q_f32(p + 4 * i);
    return r;
}
FNN_WORD vf vf_load_n(const float *p, int64_t n) {
    float t[16] = {0};
    for (int64_t i = 0; i < n; i++) t[i] = p[i];
    return vf_load(t);
}
FNN_WORD void vf_store(float *p, vf a) { FNN_QUADS vst1q_f32(p + 4 * i, a.q[i]); }
FNN_WORD void vf_store_n(float *p, int64_t n, vf a) {
    float t[16];
    vf_store(t, a);
    for (int64_t i = 0; i < n; i++) p[i] = t[i];
}
FNN_WORD vf vf_set1(float x) {
    vf r;
    FNN_QUADS r.q[i] = vdupq_n_f32(x);
    return r;
}
FNN_WORD vf vf_add(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vaddq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_sub(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vsubq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_mul(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vmulq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_div(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vdivq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_fma(vf a, vf b, vf c) {
    vf r;
    FNN_QUADS r.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]);
    return r;
}
/* by compare and select: the machine's own max has another rule for NaN and zeros */
FNN_WORD vf vf_max(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_min(vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_sqrt(vf a) {
    vf r;
    FNN_QUADS r.q[i] = vsqrtq_f32(a.q[i]);
    return r;
}
FNN_WORD vf vf_neg(vf a) {
    vf r;
    FNN_QUADS r.q[i] = vnegq_f32(a.q[i]);
    return r;
}
FNN_WORD vf vf_abs(vf a) {
    vf r;
    FNN_QUADS r.q[i] = vabsq_f32(a.q[i]);
    return r;
}
FNN_WORD vf vf_copysign(vf m, vf s) {
    vf r;
    FNN_QUADS r.q[i] = vbslq_f32(vdupq_n_u32(0x80000000u), s.q[i], m.q[i]);
    return r;
}
FNN_WORD vf vf_round(vf a) {
    vf r;
    FNN_QUADS r.q[i] = vrndnq_f32(a.q[i]);
    return r;
}
FNN_WORD vf vf_floor(vf a) {
    vf r;
    FNN_QUADS r.q[i] = vrndmq_f32(a.q[i]);
    return r;
}
FNN_WORD vf_int vf_lt(vf a, vf b) {
    vf_int r;
    FNN_QUADS r.q[i] = vcltq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_le(vf a, vf b) {
    vf_int r;
    FNN_QUADS r.q[i] = vcleq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_eq(vf a, vf b) {
    vf_int r;
    FNN_QUADS r.q[i] = vceqq_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_isnan(vf a) {
    vf_int r;
    FNN_QUADS r.q[i] = vmvnq_u32(vceqq_f32(a.q[i], a.q[i]));
    return r;
}
FNN_WORD vf_int vf_mask_and(vf_mask a, vf_mask b) {
    vf_int r;
    FNN_QUADS r.q[i] = vandq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_mask_or(vf_mask a, vf_mask b) {
    vf_int r;
    FNN_QUADS r.q[i] = vorrq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_mask_not(vf_mask a) {
    vf_int r;
    FNN_QUADS r.q[i] = vmvnq_u32(a.q[i]);
    return r;
}
FNN_WORD vf_mask vf_mask_first(int64_t n) {
    uint32_t t[16];
    for (int i = 0; i < 16; i++) t[i] = i < n ? ~(uint32_t)0 : 0;
    vf_mask r;
    FNN_QUADS r.q[i] = vld1q_u32(t + 4 * i);
    return r;
}
FNN_WORD int vf_mask_any(vf_mask a) {
    uint32x4_t t = vdupq_n_u32(0);
    FNN_QUADS t = vorrq_u32(t, a.q[i]);
    return vmaxvq_u32(t) != 0;
}
FNN_WORD uint32_t vf_mask_bits(vf_mask a) {
    const uint32_t lane[4] = {1, 2, 4, 8};
    uint32_t r = 0;
    FNN_QUADS r |= vaddvq_u32(vandq_u32(a.q[i], vld1q_u32(lane))) << 4 * i;
    return r;
}
FNN_WORD vf vf_select(vf_mask m, vf a, vf b) {
    vf r;
    FNN_QUADS r.q[i] = vbslq_f32(m.q[i], a.q[i], b.q[i]);
    return r;
}
FNN_WORD float vf_reduce_add(vf a) {
    float t[16];
    vf_store(t, a);
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] = t[i] + t[i + h];
    return t[0];
}
FNN_WORD float vf_reduce_max(vf a) {
    float t[16];
    vf_store(t, a);
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] = t[i] > t[i + h] ? t[i] : t[i + h];
    return t[0];
}
FNN_WORD vf vf_zip_lo(vf a, vf b) {
    vf r;
    for (int i = 0; i < 2; i++) r.q[2 * i] = vzip1q_f32(a.q[i], b.q[i]), r.q[2 * i + 1] = vzip2q_f32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_zip_hi(vf a, vf b) {
    vf r;
    for (int i = 0; i < 2; i++) r.q[2 * i] = vzip1q_f32(a.q[i + 2], b.q[i + 2]), r.q[2 * i + 1] = vzip2q_f32(a.q[i + 2], b.q[i + 2]);
    return r;
}
FNN_WORD vf_int vf_bits(vf a) {
    vf_int r;
    FNN_QUADS r.q[i] = vreinterpretq_u32_f32(a.q[i]);
    return r;
}
FNN_WORD vf vf_from_bits(vf_int a) {
    vf r;
    FNN_QUADS r.q[i] = vreinterpretq_f32_u32(a.q[i]);
    return r;
}
FNN_WORD vf_int vf_iset1(int32_t x) {
    vf_int r;
    FNN_QUADS r.q[i] = vdupq_n_u32((uint32_t)x);
    return r;
}
FNN_WORD vf_int vf_iadd(vf_int a, vf_int b) {
    vf_int r;
    FNN_QUADS r.q[i] = vaddq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_isub(vf_int a, vf_int b) {
    vf_int r;
    FNN_QUADS r.q[i] = vsubq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_iand(vf_int a, vf_int b) {
    vf_int r;
    FNN_QUADS r.q[i] = vandq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_ior(vf_int a, vf_int b) {
    vf_int r;
    FNN_QUADS r.q[i] = vorrq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf_int vf_ixor(vf_int a, vf_int b) {
    vf_int r;
    FNN_QUADS r.q[i] = veorq_u32(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vf vf_lookup8(const float *table, vf_int i) { /* table[i mod 8] */
    uint32_t at[16];
    float t[16];
    for (int k = 0; k < 4; k++) vst1q_u32(at + 4 * k, i.q[k]);
    for (int k = 0; k < 16; k++) t[k] = table[at[k] & 7];
    return vf_load(t);
}
FNN_WORD vf_int vf_ishl(vf_int a, int k) {
    vf_int r;
    FNN_QUADS r.q[i] = vshlq_u32(a.q[i], vdupq_n_s32(k));
    return r;
}
FNN_WORD vf_int vf_ishr(vf_int a, int k) {
    vf_int r;
    FNN_QUADS r.q[i] = vshlq_u32(a.q[i], vdupq_n_s32(-k));
    return r;
}
#undef FNN_QUADS

/* ---- double: 8 lanes ---- */
#define FNN_QUADS for (int i = 0; i < 4; i++)
FNN_WORD vd vd_load(const double *p) {
    vd r;
    FNN_QUADS r.q[i] = vld1q_f64(p + 2 * i);
    return r;
}
FNN_WORD vd vd_load_n(const double *p, int64_t n) {
    double t[8] = {0};
    for (int64_t i = 0; i < n; i++) t[i] = p[i];
    return vd_load(t);
}
FNN_WORD void vd_store(double *p, vd a) { FNN_QUADS vst1q_f64(p + 2 * i, a.q[i]); }
FNN_WORD void vd_store_n(double *p, int64_t n, vd a) {
    double t[8];
    vd_store(t, a);
    for (int64_t i = 0; i < n; i++) p[i] = t[i];
}
FNN_WORD vd vd_set1(double x) {
    vd r;
    FNN_QUADS r.q[i] = vdupq_n_f64(x);
    return r;
}
FNN_WORD vd vd_add(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vaddq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_sub(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vsubq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_mul(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vmulq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_div(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vdivq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_fma(vd a, vd b, vd c) {
    vd r;
    FNN_QUADS r.q[i] = vfmaq_f64(c.q[i], a.q[i], b.q[i]);
    return r;
}
/* by compare and select: the machine's own max has another rule for NaN and zeros */
FNN_WORD vd vd_max(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vbslq_f64(vcgtq_f64(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_min(vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vbslq_f64(vcltq_f64(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_sqrt(vd a) {
    vd r;
    FNN_QUADS r.q[i] = vsqrtq_f64(a.q[i]);
    return r;
}
FNN_WORD vd vd_neg(vd a) {
    vd r;
    FNN_QUADS r.q[i] = vnegq_f64(a.q[i]);
    return r;
}
FNN_WORD vd vd_abs(vd a) {
    vd r;
    FNN_QUADS r.q[i] = vabsq_f64(a.q[i]);
    return r;
}
FNN_WORD vd vd_copysign(vd m, vd s) {
    vd r;
    FNN_QUADS r.q[i] = vbslq_f64(vdupq_n_u64(0x8000000000000000u), s.q[i], m.q[i]);
    return r;
}
FNN_WORD vd vd_round(vd a) {
    vd r;
    FNN_QUADS r.q[i] = vrndnq_f64(a.q[i]);
    return r;
}
FNN_WORD vd vd_floor(vd a) {
    vd r;
    FNN_QUADS r.q[i] = vrndmq_f64(a.q[i]);
    return r;
}
FNN_WORD vd_int vd_lt(vd a, vd b) {
    vd_int r;
    FNN_QUADS r.q[i] = vcltq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_le(vd a, vd b) {
    vd_int r;
    FNN_QUADS r.q[i] = vcleq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_eq(vd a, vd b) {
    vd_int r;
    FNN_QUADS r.q[i] = vceqq_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_isnan(vd a) {
    vd_int r;
    FNN_QUADS r.q[i] = veorq_u64(vceqq_f64(a.q[i], a.q[i]), vdupq_n_u64(~0ull));
    return r;
}
FNN_WORD vd_int vd_mask_and(vd_mask a, vd_mask b) {
    vd_int r;
    FNN_QUADS r.q[i] = vandq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_mask_or(vd_mask a, vd_mask b) {
    vd_int r;
    FNN_QUADS r.q[i] = vorrq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_mask_not(vd_mask a) {
    vd_int r;
    FNN_QUADS r.q[i] = veorq_u64(a.q[i], vdupq_n_u64(~0ull));
    return r;
}
FNN_WORD vd_mask vd_mask_first(int64_t n) {
    uint64_t t[8];
    for (int i = 0; i < 8; i++) t[i] = i < n ? ~(uint64_t)0 : 0;
    vd_mask r;
    FNN_QUADS r.q[i] = vld1q_u64(t + 2 * i);
    return r;
}
FNN_WORD int vd_mask_any(vd_mask a) {
    uint32x4_t t = vdupq_n_u32(0);
    FNN_QUADS t = vorrq_u32(t, vreinterpretq_u32_u64(a.q[i]));
    return vmaxvq_u32(t) != 0;
}
FNN_WORD uint32_t vd_mask_bits(vd_mask a) {
    const uint64_t lane[2] = {1, 2};
    uint32_t r = 0;
    FNN_QUADS r |= (uint32_t)vaddvq_u64(vandq_u64(a.q[i], vld1q_u64(lane))) << 2 * i;
    return r;
}
FNN_WORD vd vd_select(vd_mask m, vd a, vd b) {
    vd r;
    FNN_QUADS r.q[i] = vbslq_f64(m.q[i], a.q[i], b.q[i]);
    return r;
}
FNN_WORD double vd_reduce_add(vd a) {
    double t[8];
    vd_store(t, a);
    for (int h = 4; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] = t[i] + t[i + h];
    return t[0];
}
FNN_WORD double vd_reduce_max(vd a) {
    double t[8];
    vd_store(t, a);
    for (int h = 4; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] = t[i] > t[i + h] ? t[i] : t[i + h];
    return t[0];
}
FNN_WORD vd vd_zip_lo(vd a, vd b) {
    vd r;
    for (int i = 0; i < 2; i++) r.q[2 * i] = vzip1q_f64(a.q[i], b.q[i]), r.q[2 * i + 1] = vzip2q_f64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd vd_zip_hi(vd a, vd b) {
    vd r;
    for (int i = 0; i < 2; i++) r.q[2 * i] = vzip1q_f64(a.q[i + 2], b.q[i + 2]), r.q[2 * i + 1] = vzip2q_f64(a.q[i + 2], b.q[i + 2]);
    return r;
}
FNN_WORD vd_int vd_bits(vd a) {
    vd_int r;
    FNN_QUADS r.q[i] = vreinterpretq_u64_f64(a.q[i]);
    return r;
}
FNN_WORD vd vd_from_bits(vd_int a) {
    vd r;
    FNN_QUADS r.q[i] = vreinterpretq_f64_u64(a.q[i]);
    return r;
}
FNN_WORD vd_int vd_iset1(int64_t x) {
    vd_int r;
    FNN_QUADS r.q[i] = vdupq_n_u64((uint64_t)x);
    return r;
}
FNN_WORD vd_int vd_iadd(vd_int a, vd_int b) {
    vd_int r;
    FNN_QUADS r.q[i] = vaddq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_isub(vd_int a, vd_int b) {
    vd_int r;
    FNN_QUADS r.q[i] = vsubq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_iand(vd_int a, vd_int b) {
    vd_int r;
    FNN_QUADS r.q[i] = vandq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_ior(vd_int a, vd_int b) {
    vd_int r;
    FNN_QUADS r.q[i] = vorrq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_ixor(vd_int a, vd_int b) {
    vd_int r;
    FNN_QUADS r.q[i] = veorq_u64(a.q[i], b.q[i]);
    return r;
}
FNN_WORD vd_int vd_ishl(vd_int a, int k) {
    vd_int r;
    FNN_QUADS r.q[i] = vshlq_u64(a.q[i], vdupq_n_s64(k));
    return r;
}
FNN_WORD vd_int vd_ishr(vd_int a, int k) {
    vd_int r;
    FNN_QUADS r.q[i] = vshlq_u64(a.q[i], vdupq_n_s64(-k));
    return r;
}
#undef FNN_QUADS

/* ---- between the two: lanes 0-7 (half 0) or 8-15 (half 1) of a float word ---- */
FNN_WORD vd vd_from_f32(vf a, int half) {
    vd r;
    for (int i = 0; i < 2; i++) {
        r.q[2 * i] = vcvt_f64_f32(vget_low_f32(a.q[2 * half + i]));
        r.q[2 * i + 1] = vcvt_high_f64_f32(a.q[2 * half + i]);
    }
    return r;
}
FNN_WORD vf vf_from_f64(vd lo, vd hi) {
    vf r;
    for (int i = 0; i < 2; i++) {
        r.q[i] = vcvt_high_f32_f64(vcvt_f32_f64(lo.q[2 * i]), lo.q[2 * i + 1]);
        r.q[2 + i] = vcvt_high_f32_f64(vcvt_f32_f64(hi.q[2 * i]), hi.q[2 * i + 1]);
    }
    return r;
}

#include "simd/ldexp.inc"
#define FNN_PLAIN_ROWS_F32
#include "simd/reduce_rows.inc"
#endif
