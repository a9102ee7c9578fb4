/* The vector words for AVX2 with FMA: two ymm registers per word, lo before hi.
 *
 * Invariant: every word gives the bits of its definition in simd/scalar.h, the reference for meaning and for the order of
 * lanes in a reduction. Nothing here knows a kernel. Included only by isa/avx2.c, after its target pragma.
 * Read next: simd/scalar.h (meaning), simd/real.h (the names kernels use). */
#ifndef FNN_SIMD_WORDS
#define FNN_SIMD_WORDS
#include <immintrin.h>
#include <stdint.h>

/* how many words the register file holds: kernels choose their tiles by it */
#define FNN_WORD_REGISTERS 8
#define FNN_NO_SCALE /* no instruction for a * 2^n: vf_exp goes around it where it can */
#define FNN_WORD static inline __attribute__((always_inline, unused))
#define FNN_FUNCTION FNN_WORD /* of many words: exp and its kind */

typedef struct vf { __m256 lo, hi; } vf;
typedef vf vf_mask; /* all ones or all zeros per lane */
typedef struct vf_int { __m256i lo, hi; } vf_int;
typedef struct vd { __m256d lo, hi; } vd;
typedef vd vd_mask;
typedef struct vd_int { __m256i lo, hi; } vd_int;

/* ---- float: 16 lanes ---- */
FNN_WORD vf vf_pair(__m256 lo, __m256 hi) { vf r = {lo, hi}; return r; }
FNN_WORD vf_int vf_ipair(__m256i lo, __m256i hi) { vf_int r = {lo, hi}; return r; }
FNN_WORD vf vf_load(const float *p) { return vf_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
FNN_WORD __m256i vf_first(int64_t n, int32_t from) {
    __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(from));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), lane);
}
FNN_WORD vf vf_load_n(const float *p, int64_t n) {
    return vf_pair(_mm256_maskload_ps(p, vf_first(n, 0)), _mm256_maskload_ps(p + 8, vf_first(n, 8)));
}
FNN_WORD void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a.lo); _mm256_storeu_ps(p + 8, a.hi); }
FNN_WORD void vf_store_n(float *p, int64_t n, vf a) {
    _mm256_maskstore_ps(p, vf_first(n, 0), a.lo);
    _mm256_maskstore_ps(p + 8, vf_first(n, 8), a.hi);
}
FNN_WORD vf vf_set1(float x) { return vf_pair(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
FNN_WORD vf vf_add(vf a, vf b) { return vf_pair(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)); }
FNN_WORD vf vf_sub(vf a, vf b) { return vf_pair(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)); }
FNN_WORD vf vf_mul(vf a, vf b) { return vf_pair(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)); }
FNN_WORD vf vf_div(vf a, vf b) { return vf_pair(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)); }
FNN_WORD vf vf_max(vf a, vf b) { return vf_pair(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)); }
FNN_WORD vf vf_min(vf a, vf b) { return vf_pair(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)); }
FNN_WORD vf vf_fma(vf a, vf b, vf c) { return vf_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)); }
FNN_WORD vf vf_sqrt(vf a) { return vf_pair(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)); }
FNN_WORD vf vf_neg(vf a) {
    __m256 s = _mm256_set1_ps(-0.0f);
    return vf_pair(_mm256_xor_ps(a.lo, s), _mm256_xor_ps(a.hi, s));
}
FNN_WORD vf vf_abs(vf a) {
    __m256 s = _mm256_set1_ps(-0.0f);
    return vf_pair(_mm256_andnot_ps(s, a.lo), _mm256_andnot_ps(s, a.hi));
}
FNN_WORD __m256 vf_copysign_half(__m256 m, __m256 s) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, m), _mm256_and_ps(sign, s));
}
FNN_WORD vf vf_copysign(vf m, vf s) { return vf_pair(vf_copysign_half(m.lo, s.lo), vf_copysign_half(m.hi, s.hi)); }
#define FNN_ROUND(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
FNN_WORD vf vf_round(vf a) { return vf_pair(FNN_ROUND(a.lo), FNN_ROUND(a.hi)); }
#undef FNN_ROUND
FNN_WORD vf vf_floor(vf a) { return vf_pair(_mm256_floor_ps(a.lo), _mm256_floor_ps(a.hi)); }
FNN_WORD vf_mask vf_lt(vf a, vf b) { return vf_pair(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)); }
FNN_WORD vf_mask vf_le(vf a, vf b) { return vf_pair(_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)); }
FNN_WORD vf_mask vf_eq(vf a, vf b) { return vf_pair(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)); }
FNN_WORD vf_mask vf_isnan(vf a) { return vf_pair(_mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q), _mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q)); }
FNN_WORD vf_mask vf_mask_and(vf_mask a, vf_mask b) { return vf_pair(_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)); }
FNN_WORD vf_mask vf_mask_or(vf_mask a, vf_mask b) { return vf_pair(_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)); }
FNN_WORD vf_mask vf_mask_not(vf_mask a) {
    __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return vf_pair(_mm256_xor_ps(a.lo, ones), _mm256_xor_ps(a.hi, ones));
}
FNN_WORD vf_mask vf_mask_first(int64_t n) {
    return vf_pair(_mm256_castsi256_ps(vf_first(n, 0)), _mm256_castsi256_ps(vf_first(n, 8)));
}
FNN_WORD int vf_mask_any(vf_mask a) { return _mm256_movemask_ps(_mm256_or_ps(a.lo, a.hi)) != 0; }
FNN_WORD uint32_t vf_mask_bits(vf_mask a) { return (uint32_t)(_mm256_movemask_ps(a.lo) | _mm256_movemask_ps(a.hi) << 8); }
FNN_WORD vf vf_select(vf_mask m, vf a, vf b) { return vf_pair(_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)); }
FNN_WORD float vf_reduce_add(vf a) {
    __m256 x = _mm256_add_ps(a.lo, a.hi);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
FNN_WORD float vf_reduce_max(vf a) {
    __m256 x = _mm256_max_ps(a.lo, a.hi);
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
/* Lane k: the reduction of r[k] by the tree above (simd/reduce_rows.inc), rows turning into lanes on the way. */
#define FNN_HALVES(op, a) op((a).lo, (a).hi)
#define FNN_QUARTERS(op, a, b) op(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31))
#define FNN_PAIRS(op, a, b) \
    op(_mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))), \
       _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b))))
#define FNN_ONES(op, a, b) op(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD))
#define FNN_TWO_ROWS(op, k) FNN_QUARTERS(op, FNN_HALVES(op, r[k]), FNN_HALVES(op, r[k + 4]))
#define FNN_REDUCE_ROWS(name, op) \
    FNN_WORD __m256 vf_reduce_##name##_eight(const vf *r) { \
        __m256 a = FNN_TWO_ROWS(op, 0), b = FNN_TWO_ROWS(op, 1), c = FNN_TWO_ROWS(op, 2), d = FNN_TWO_ROWS(op, 3); \
        __m256 ab = FNN_PAIRS(op, a, b), cd = FNN_PAIRS(op, c, d); \
        return FNN_ONES(op, ab, cd); \
    } \
    FNN_WORD vf vf_reduce_##name##_rows(const vf *r) { \
        return vf_pair(vf_reduce_##name##_eight(r), vf_reduce_##name##_eight(r + 8)); \
    }
FNN_REDUCE_ROWS(add, _mm256_add_ps)
FNN_REDUCE_ROWS(max, _mm256_max_ps)
FNN_REDUCE_ROWS(mul, _mm256_mul_ps)
FNN_WORD vf vf_zip_halves(__m256 a, __m256 b) {
    __m256 u = _mm256_unpacklo_ps(a, b), v = _mm256_unpackhi_ps(a, b);
    return vf_pair(_mm256_permute2f128_ps(u, v, 0x20), _mm256_permute2f128_ps(u, v, 0x31));
}
FNN_WORD vf vf_zip_lo(vf a, vf b) { return vf_zip_halves(a.lo, b.lo); }
FNN_WORD vf vf_zip_hi(vf a, vf b) { return vf_zip_halves(a.hi, b.hi); }
FNN_WORD vf_int vf_bits(vf a) { return vf_ipair(_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)); }
FNN_WORD vf vf_from_bits(vf_int a) { return vf_pair(_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)); }
FNN_WORD vf_int vf_iset1(int32_t x) { return vf_ipair(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
FNN_WORD vf_int vf_iadd(vf_int a, vf_int b) { return vf_ipair(_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)); }
FNN_WORD vf_int vf_isub(vf_int a, vf_int b) { return vf_ipair(_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)); }
FNN_WORD vf_int vf_iand(vf_int a, vf_int b) { return vf_ipair(_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)); }
FNN_WORD vf_int vf_ior(vf_int a, vf_int b) { return vf_ipair(_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)); }
FNN_WORD vf_int vf_ixor(vf_int a, vf_int b) { return vf_ipair(_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)); }
FNN_WORD vf_int vf_ishl(vf_int a, int k) { return vf_ipair(_mm256_slli_epi32(a.lo, k), _mm256_slli_epi32(a.hi, k)); }
FNN_WORD vf_int vf_ishr(vf_int a, int k) { return vf_ipair(_mm256_srli_epi32(a.lo, k), _mm256_srli_epi32(a.hi, k)); }
/* table[i mod 8] */
FNN_WORD vf vf_lookup8(const float *table, vf_int i) {
    const __m256 all = _mm256_loadu_ps(table);
    return vf_pair(_mm256_permutevar8x32_ps(all, i.lo), _mm256_permutevar8x32_ps(all, i.hi));
}

/* ---- double: 8 lanes ---- */
FNN_WORD vd vd_pair(__m256d lo, __m256d hi) { vd r = {lo, hi}; return r; }
FNN_WORD vd_int vd_ipair(__m256i lo, __m256i hi) { vd_int r = {lo, hi}; return r; }
FNN_WORD vd vd_load(const double *p) { return vd_pair(_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)); }
FNN_WORD __m256i vd_first(int64_t n, int64_t from) {
    __m256i lane = _mm256_add_epi64(_mm256_setr_epi64x(0, 1, 2, 3), _mm256_set1_epi64x(from));
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane);
}
FNN_WORD vd vd_load_n(const double *p, int64_t n) {
    return vd_pair(_mm256_maskload_pd(p, vd_first(n, 0)), _mm256_maskload_pd(p + 4, vd_first(n, 4)));
}
FNN_WORD void vd_store(double *p, vd a) { _mm256_storeu_pd(p, a.lo); _mm256_storeu_pd(p + 4, a.hi); }
FNN_WORD void vd_store_n(double *p, int64_t n, vd a) {
    _mm256_maskstore_pd(p, vd_first(n, 0), a.lo);
    _mm256_maskstore_pd(p + 4, vd_first(n, 4), a.hi);
}
FNN_WORD vd vd_set1(double x) { return vd_pair(_mm256_set1_pd(x), _mm256_set1_pd(x)); }
FNN_WORD vd vd_add(vd a, vd b) { return vd_pair(_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)); }
FNN_WORD vd vd_sub(vd a, vd b) { return vd_pair(_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi)); }
FNN_WORD vd vd_mul(vd a, vd b) { return vd_pair(_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi)); }
FNN_WORD vd vd_div(vd a, vd b) { return vd_pair(_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi)); }
FNN_WORD vd vd_max(vd a, vd b) { return vd_pair(_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi)); }
FNN_WORD vd vd_min(vd a, vd b) { return vd_pair(_mm256_min_pd(a.lo, b.lo), _mm256_min_pd(a.hi, b.hi)); }
FNN_WORD vd vd_fma(vd a, vd b, vd c) { return vd_pair(_mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi)); }
FNN_WORD vd vd_sqrt(vd a) { return vd_pair(_mm256_sqrt_pd(a.lo), _mm256_sqrt_pd(a.hi)); }
FNN_WORD vd vd_neg(vd a) {
    __m256d s = _mm256_set1_pd(-0.0);
    return vd_pair(_mm256_xor_pd(a.lo, s), _mm256_xor_pd(a.hi, s));
}
FNN_WORD vd vd_abs(vd a) {
    __m256d s = _mm256_set1_pd(-0.0);
    return vd_pair(_mm256_andnot_pd(s, a.lo), _mm256_andnot_pd(s, a.hi));
}
FNN_WORD __m256d vd_copysign_half(__m256d m, __m256d s) {
    __m256d sign = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(sign, m), _mm256_and_pd(sign, s));
}
FNN_WORD vd vd_copysign(vd m, vd s) { return vd_pair(vd_copysign_half(m.lo, s.lo), vd_copysign_half(m.hi, s.hi)); }
#define FNN_ROUND(x) _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
FNN_WORD vd vd_round(vd a) { return vd_pair(FNN_ROUND(a.lo), FNN_ROUND(a.hi)); }
#undef FNN_ROUND
FNN_WORD vd vd_floor(vd a) { return vd_pair(_mm256_floor_pd(a.lo), _mm256_floor_pd(a.hi)); }
FNN_WORD vd_mask vd_lt(vd a, vd b) { return vd_pair(_mm256_cmp_pd(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_pd(a.hi, b.hi, _CMP_LT_OQ)); }
FNN_WORD vd_mask vd_le(vd a, vd b) { return vd_pair(_mm256_cmp_pd(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_pd(a.hi, b.hi, _CMP_LE_OQ)); }
FNN_WORD vd_mask vd_eq(vd a, vd b) { return vd_pair(_mm256_cmp_pd(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_pd(a.hi, b.hi, _CMP_EQ_OQ)); }
FNN_WORD vd_mask vd_isnan(vd a) { return vd_pair(_mm256_cmp_pd(a.lo, a.lo, _CMP_UNORD_Q), _mm256_cmp_pd(a.hi, a.hi, _CMP_UNORD_Q)); }
FNN_WORD vd_mask vd_mask_and(vd_mask a, vd_mask b) { return vd_pair(_mm256_and_pd(a.lo, b.lo), _mm256_and_pd(a.hi, b.hi)); }
FNN_WORD vd_mask vd_mask_or(vd_mask a, vd_mask b) { return vd_pair(_mm256_or_pd(a.lo, b.lo), _mm256_or_pd(a.hi, b.hi)); }
FNN_WORD vd_mask vd_mask_not(vd_mask a) {
    __m256d ones = _mm256_castsi256_pd(_mm256_set1_epi32(-1));
    return vd_pair(_mm256_xor_pd(a.lo, ones), _mm256_xor_pd(a.hi, ones));
}
FNN_WORD vd_mask vd_mask_first(int64_t n) {
    return vd_pair(_mm256_castsi256_pd(vd_first(n, 0)), _mm256_castsi256_pd(vd_first(n, 4)));
}
FNN_WORD int vd_mask_any(vd_mask a) { return _mm256_movemask_pd(_mm256_or_pd(a.lo, a.hi)) != 0; }
FNN_WORD uint32_t vd_mask_bits(vd_mask a) { return (uint32_t)(_mm256_movemask_pd(a.lo) | _mm256_movemask_pd(a.hi) << 4); }
FNN_WORD vd vd_select(vd_mask m, vd a, vd b) { return vd_pair(_mm256_blendv_pd(b.lo, a.lo, m.lo), _mm256_blendv_pd(b.hi, a.hi, m.hi)); }
FNN_WORD double vd_reduce_add(vd a) {
    __m256d x = _mm256_add_pd(a.lo, a.hi);
    __m128d y = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}
FNN_WORD double vd_reduce_max(vd a) {
    __m256d x = _mm256_max_pd(a.lo, a.hi);
    __m128d y = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(y, _mm_unpackhi_pd(y, y)));
}
FNN_WORD vd vd_zip_halves(__m256d a, __m256d b) {
    __m256d u = _mm256_unpacklo_pd(a, b), v = _mm256_unpackhi_pd(a, b);
    return vd_pair(_mm256_permute2f128_pd(u, v, 0x20), _mm256_permute2f128_pd(u, v, 0x31));
}
FNN_WORD vd vd_zip_lo(vd a, vd b) { return vd_zip_halves(a.lo, b.lo); }
FNN_WORD vd vd_zip_hi(vd a, vd b) { return vd_zip_halves(a.hi, b.hi); }
FNN_WORD vd_int vd_bits(vd a) { return vd_ipair(_mm256_castpd_si256(a.lo), _mm256_castpd_si256(a.hi)); }
FNN_WORD vd vd_from_bits(vd_int a) { return vd_pair(_mm256_castsi256_pd(a.lo), _mm256_castsi256_pd(a.hi)); }
FNN_WORD vd_int vd_iset1(int64_t x) { return vd_ipair(_mm256_set1_epi64x(x), _mm256_set1_epi64x(x)); }
FNN_WORD vd_int vd_iadd(vd_int a, vd_int b) { return vd_ipair(_mm256_add_epi64(a.lo, b.lo), _mm256_add_epi64(a.hi, b.hi)); }
FNN_WORD vd_int vd_isub(vd_int a, vd_int b) { return vd_ipair(_mm256_sub_epi64(a.lo, b.lo), _mm256_sub_epi64(a.hi, b.hi)); }
FNN_WORD vd_int vd_iand(vd_int a, vd_int b) { return vd_ipair(_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)); }
FNN_WORD vd_int vd_ior(vd_int a, vd_int b) { return vd_ipair(_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)); }
FNN_WORD vd_int vd_ixor(vd_int a, vd_int b) { return vd_ipair(_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)); }
FNN_WORD vd_int vd_ishl(vd_int a, int k) { return vd_ipair(_mm256_slli_epi64(a.lo, k), _mm256_slli_epi64(a.hi, k)); }
FNN_WORD vd_int vd_ishr(vd_int a, int k) { return vd_ipair(_mm256_srli_epi64(a.lo, k), _mm256_srli_epi64(a.hi, k)); }

/* ---- between the two: lanes 0-7 (half 0) or 8-15 (half 1) of a float word ---- */
FNN_WORD vd vd_from_f32(vf a, int half) {
    __m256 x = half ? a.hi : a.lo;
    return vd_pair(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}
FNN_WORD __m256 vf_narrow(vd a) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a.lo)), _mm256_cvtpd_ps(a.hi), 1);
}
FNN_WORD vf vf_from_f64(vd lo, vd hi) { return vf_pair(vf_narrow(lo), vf_narrow(hi)); }

#include "simd/ldexp.inc"
#include "simd/reduce_rows.inc"
#endif
