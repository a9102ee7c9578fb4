/* The vector words for AVX-512 (F, BW, DQ, VL): one zmm register per word.
 *
 * Invariant: every word gives the bits of its definition in simd/scalar.h, the reference for meaning and for the order of
 * lanes in a reduction. Nothing here knows a kernel. Included only by isa/avx512.c, after its target pragma.
 * Read next: simd/scalar.h (meaning), simd/real.h (the names kernels use). */
#ifndef FNN_SIMD_WORDS
#define FNN_SIMD_WORDS
#include <immintrin.h>
#include <stdint.h>

/* how many words the register file holds: kernels choose their tiles by it */
#define FNN_WORD_REGISTERS 32
#define FNN_WORD static inline __attribute__((always_inline, unused))
#define FNN_FUNCTION FNN_WORD /* of many words: exp and its kind */

typedef __m512 vf;
typedef __mmask16 vf_mask;
typedef __m512i vf_int;
typedef __m512d vd;
typedef __mmask8 vd_mask;
typedef __m512i vd_int;

/* ---- float: 16 lanes ---- */
FNN_WORD vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
FNN_WORD vf vf_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps((vf_mask)((1u << n) - 1), p); }
FNN_WORD void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
FNN_WORD void vf_store_n(float *p, int64_t n, vf a) { _mm512_mask_storeu_ps(p, (vf_mask)((1u << n) - 1), a); }
FNN_WORD vf vf_set1(float x) { return _mm512_set1_ps(x); }
FNN_WORD vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
FNN_WORD vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
FNN_WORD vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
FNN_WORD vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
FNN_WORD vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
FNN_WORD vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
FNN_WORD vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
FNN_WORD vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
FNN_WORD vf vf_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
FNN_WORD vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
FNN_WORD vf vf_copysign(vf m, vf s) {
    __m512i sign = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign, _mm512_castps_si512(s), _mm512_castps_si512(m), 0xCA));
}
FNN_WORD vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FNN_WORD vf vf_floor(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
FNN_WORD vf_mask vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
FNN_WORD vf_mask vf_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
FNN_WORD vf_mask vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
FNN_WORD vf_mask vf_isnan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
FNN_WORD vf_mask vf_mask_and(vf_mask a, vf_mask b) { return (vf_mask)(a & b); }
FNN_WORD vf_mask vf_mask_or(vf_mask a, vf_mask b) { return (vf_mask)(a | b); }
FNN_WORD vf_mask vf_mask_not(vf_mask a) { return (vf_mask)~a; }
FNN_WORD vf_mask vf_mask_first(int64_t n) { return (vf_mask)((1u << n) - 1); }
FNN_WORD int vf_mask_any(vf_mask a) { return a != 0; }
FNN_WORD uint32_t vf_mask_bits(vf_mask a) { return a; }
FNN_WORD vf vf_select(vf_mask m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
FNN_WORD float vf_reduce_add(vf a) {
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
FNN_WORD float vf_reduce_max(vf a) {
    __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
/* Lane k: the reduction of r[k] by the tree above (simd/reduce_rows.inc), rows turning into lanes on the way: 30 shuffles
 * for 16 rows instead of 64, and nobody waits for a row's last lane. */
#define FNN_HALVES(op, a, b) op(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE))
#define FNN_QUARTERS(op, a, b) op(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD))
#define FNN_PAIRS(op, a, b) \
    op(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))), \
       _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))))
#define FNN_ONES(op, a, b) op(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD))
#define FNN_FOUR_ROWS(op, k) FNN_QUARTERS(op, FNN_HALVES(op, r[k], r[k + 4]), FNN_HALVES(op, r[k + 8], r[k + 12]))
#define FNN_REDUCE_ROWS(name, op) \
    FNN_WORD vf vf_reduce_##name##_rows(const vf *r) { \
        vf a = FNN_FOUR_ROWS(op, 0), b = FNN_FOUR_ROWS(op, 1), c = FNN_FOUR_ROWS(op, 2), d = FNN_FOUR_ROWS(op, 3); \
        vf ab = FNN_PAIRS(op, a, b), cd = FNN_PAIRS(op, c, d); \
        return FNN_ONES(op, ab, cd); \
    }
FNN_REDUCE_ROWS(add, _mm512_add_ps)
FNN_REDUCE_ROWS(max, _mm512_max_ps)
FNN_REDUCE_ROWS(mul, _mm512_mul_ps)
FNN_WORD vf vf_zip_lo(vf a, vf b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}
FNN_WORD vf vf_zip_hi(vf a, vf b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
}
FNN_WORD vf_int vf_bits(vf a) { return _mm512_castps_si512(a); }
FNN_WORD vf vf_from_bits(vf_int a) { return _mm512_castsi512_ps(a); }
FNN_WORD vf_int vf_iset1(int32_t x) { return _mm512_set1_epi32(x); }
FNN_WORD vf_int vf_iadd(vf_int a, vf_int b) { return _mm512_add_epi32(a, b); }
FNN_WORD vf_int vf_isub(vf_int a, vf_int b) { return _mm512_sub_epi32(a, b); }
FNN_WORD vf_int vf_iand(vf_int a, vf_int b) { return _mm512_and_si512(a, b); }
FNN_WORD vf_int vf_ior(vf_int a, vf_int b) { return _mm512_or_si512(a, b); }
FNN_WORD vf_int vf_ixor(vf_int a, vf_int b) { return _mm512_xor_si512(a, b); }
/* table[i mod 8] */
FNN_WORD vf vf_lookup8(const float *table, vf_int i) {
    return _mm512_permutexvar_ps(i, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
}
#define vf_ishl(a, k) _mm512_slli_epi32(a, k)
#define vf_ishr(a, k) _mm512_srli_epi32(a, k)

/* ---- double: 8 lanes ---- */
FNN_WORD vd vd_load(const double *p) { return _mm512_loadu_pd(p); }
FNN_WORD vd vd_load_n(const double *p, int64_t n) { return _mm512_maskz_loadu_pd((vd_mask)((1u << n) - 1), p); }
FNN_WORD void vd_store(double *p, vd a) { _mm512_storeu_pd(p, a); }
FNN_WORD void vd_store_n(double *p, int64_t n, vd a) { _mm512_mask_storeu_pd(p, (vd_mask)((1u << n) - 1), a); }
FNN_WORD vd vd_set1(double x) { return _mm512_set1_pd(x); }
FNN_WORD vd vd_add(vd a, vd b) { return _mm512_add_pd(a, b); }
FNN_WORD vd vd_sub(vd a, vd b) { return _mm512_sub_pd(a, b); }
FNN_WORD vd vd_mul(vd a, vd b) { return _mm512_mul_pd(a, b); }
FNN_WORD vd vd_div(vd a, vd b) { return _mm512_div_pd(a, b); }
FNN_WORD vd vd_fma(vd a, vd b, vd c) { return _mm512_fmadd_pd(a, b, c); }
FNN_WORD vd vd_max(vd a, vd b) { return _mm512_max_pd(a, b); }
FNN_WORD vd vd_min(vd a, vd b) { return _mm512_min_pd(a, b); }
FNN_WORD vd vd_sqrt(vd a) { return _mm512_sqrt_pd(a); }
FNN_WORD vd vd_neg(vd a) { return _mm512_xor_pd(a, _mm512_set1_pd(-0.0)); }
FNN_WORD vd vd_abs(vd a) { return _mm512_andnot_pd(_mm512_set1_pd(-0.0), a); }
FNN_WORD vd vd_copysign(vd m, vd s) {
    __m512i sign = _mm512_set1_epi64(INT64_MIN);
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(sign, _mm512_castpd_si512(s), _mm512_castpd_si512(m), 0xCA));
}
FNN_WORD vd vd_round(vd a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FNN_WORD vd vd_floor(vd a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
FNN_WORD vd_mask vd_lt(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
FNN_WORD vd_mask vd_le(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
FNN_WORD vd_mask vd_eq(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
FNN_WORD vd_mask vd_isnan(vd a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
FNN_WORD vd_mask vd_mask_and(vd_mask a, vd_mask b) { return (vd_mask)(a & b); }
FNN_WORD vd_mask vd_mask_or(vd_mask a, vd_mask b) { return (vd_mask)(a | b); }
FNN_WORD vd_mask vd_mask_not(vd_mask a) { return (vd_mask)~a; }
FNN_WORD vd_mask vd_mask_first(int64_t n) { return (vd_mask)((1u << n) - 1); }
FNN_WORD int vd_mask_any(vd_mask a) { return a != 0; }
FNN_WORD uint32_t vd_mask_bits(vd_mask a) { return a; }
FNN_WORD vd vd_select(vd_mask m, vd a, vd b) { return _mm512_mask_blend_pd(m, b, a); }
FNN_WORD double vd_reduce_add(vd a) {
    __m256d x = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d y = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}
FNN_WORD double vd_reduce_max(vd a) {
    __m256d x = _mm256_max_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d y = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(y, _mm_unpackhi_pd(y, y)));
}
FNN_WORD vd vd_zip_lo(vd a, vd b) { return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b); }
FNN_WORD vd vd_zip_hi(vd a, vd b) { return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b); }
FNN_WORD vd_int vd_bits(vd a) { return _mm512_castpd_si512(a); }
FNN_WORD vd vd_from_bits(vd_int a) { return _mm512_castsi512_pd(a); }
FNN_WORD vd_int vd_iset1(int64_t x) { return _mm512_set1_epi64(x); }
FNN_WORD vd_int vd_iadd(vd_int a, vd_int b) { return _mm512_add_epi64(a, b); }
FNN_WORD vd_int vd_isub(vd_int a, vd_int b) { return _mm512_sub_epi64(a, b); }
FNN_WORD vd_int vd_iand(vd_int a, vd_int b) { return _mm512_and_si512(a, b); }
FNN_WORD vd_int vd_ior(vd_int a, vd_int b) { return _mm512_or_si512(a, b); }
FNN_WORD vd_int vd_ixor(vd_int a, vd_int b) { return _mm512_xor_si512(a, b); }
#define vd_ishl(a, k) _mm512_slli_epi64(a, k)
#define vd_ishr(a, k) _mm512_srli_epi64(a, k)

/* ---- between the two: lanes 0-7 (half 0) or 8-15 (half 1) of a float word ---- */
FNN_WORD vd vd_from_f32(vf a, int half) {
    return _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
}
FNN_WORD vf vf_from_f64(vd lo, vd hi) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
}

/* a * 2^n for integral n, a subnormal result rounded once (elsewhere simd/ldexp.inc) */
FNN_WORD vf vf_ldexp(vf a, vf n) { return _mm512_scalef_ps(a, n); }
FNN_WORD vd vd_ldexp(vd a, vd n) { return _mm512_scalef_pd(a, n); }
/* zero where not m, whatever a and n are there */
FNN_WORD vf vf_ldexp_where(vf_mask m, vf a, vf n) { return _mm512_maskz_scalef_ps(m, a, n); }
FNN_WORD vd vd_ldexp_where(vd_mask m, vd a, vd n) { return _mm512_maskz_scalef_pd(m, a, n); }

#include "simd/reduce_rows.inc"
#endif
