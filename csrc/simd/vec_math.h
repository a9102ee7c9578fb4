/* exp, expm1, log, log1p, tanh, sigmoid, erf, sin, cos over words, written once for all instruction sets.
 *
 * Invariant: the same bits everywhere: only +, -, *, / and fma in a written order, no estimates, no tables. Infinities, NaN,
 * subnormals and the sign of zero as in C. Bounds: float exp, expm1, log, log1p, sin, cos 2 ULP, tanh, sigmoid 3 ULP, erf
 * 5e-7; double 4 ULP. The polynomials are minimax fits (Remez) of the function named
 * beside them; expanding around a reduced argument as in Cody and Waite, Software Manual for the Elementary Functions (1980).
 * Not here: double erf, sin, cos as polynomials; they go to libm lane by lane (nothing hot needs them).
 * Read next: kernels/loops.h, which runs these over arrays. */
#ifndef FNN_VEC_MATH_H
#define FNN_VEC_MATH_H
#include "simd/vec_pieces.h"

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), Horner */
FNN_WORD vf vf_poly(vf x, const float *c, int n) {
    vf p = vf_set1(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = vf_fma(p, x, vf_set1(c[i]));
    return p;
}
FNN_WORD vd vd_poly(vd x, const double *c, int n) {
    vd p = vd_set1(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = vd_fma(p, x, vd_set1(c[i]));
    return p;
}
#define FNN_POLY(type, x, ...) \
    type##_poly(x, (const FNN_SCALAR_##type[]){__VA_ARGS__}, (int)(sizeof((FNN_SCALAR_##type[]){__VA_ARGS__}) / sizeof(FNN_SCALAR_##type)))
#define FNN_SCALAR_vf float
#define FNN_SCALAR_vd double

/* ---- exp, expm1: x = n ln 2 + r, |r| <= ln(2)/2; e^x = 2^n e^r ---- */

/* e^r - 1 for |r| <= 0.347, and n; x must be within +-2^20 or NaN. The fit is (e^r - 1 - r) / r^2. Adding and taking away
 * 1.5 * 2^23 (2^52) rounds to an integer in one instruction less than the word that does so. */
FNN_WORD vf vf_exp_reduced(vf x, vf *n) {
    *n = vf_sub(vf_fma(x, vf_set1(1.44269504f), vf_set1(12582912.0f)), vf_set1(12582912.0f));
    vf r = vf_fma(*n, vf_set1(-0.693145751953125f), x); /* the first 15 bits of ln 2: exact */
    r = vf_fma(*n, vf_set1(-1.4286068e-06f), r);
    vf p = FNN_POLY(vf, r, 0.5f, 0.1666652f, 0.04166621f, 0.008368822f, 0.0013950338f);
    return vf_fma(vf_mul(r, r), p, r);
}
FNN_WORD vd vd_exp_reduced(vd x, vd *n) {
    *n = vd_sub(vd_fma(x, vd_set1(1.4426950408889634), vd_set1(6755399441055744.0)), vd_set1(6755399441055744.0));
    vd r = vd_fma(*n, vd_set1(-0.6931471805582987), x);
    r = vd_fma(*n, vd_set1(-1.6465949582897082e-12), r);
    vd p = FNN_POLY(vd, r, 0.5, 0.16666666666666682, 0.04166666666666673, 0.008333333333316775, 0.0013888888888858605,
                    0.0001984126989698265, 2.4801587373469465e-05, 2.755723430220527e-06, 2.755723356299386e-07,
                    2.5112219812357857e-08, 2.0926886715970428e-09);
    return vd_fma(vd_mul(r, r), p, r);
}

/* Clamped above beyond the last finite result. Below the last nonzero one the result is selected, not computed: rounding to
 * zero costs the processor 150 cycles a word, and a masked softmax is full of exp(-inf). NaN passes. */
FNN_WORD vf vf_exp(vf x) {
    vf n;
    const vf_mask some = vf_mask_not(vf_lt(x, vf_set1(-103.9721f)));
    vf q = vf_exp_reduced(vf_min(vf_set1(89.0f), x), &n);
    return vf_ldexp_where(some, vf_add(q, vf_set1(1.0f)), n);
}
FNN_WORD vd vd_exp(vd x) {
    vd n;
    const vd_mask some = vd_mask_not(vd_lt(x, vd_set1(-745.1332191019412)));
    vd q = vd_exp_reduced(vd_min(vd_set1(710.0), x), &n);
    return vd_ldexp_where(some, vd_add(q, vd_set1(1.0)), n);
}

/* 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)): halved, or 2^n would overflow before the result does. Below 2^-30 (double
 * 2^-60) e^x - 1 is x to the last bit, and the sign of zero and subnormals are kept. */
FNN_WORD vf vf_expm1(vf x) {
    vf n, y = vf_max(vf_set1(-18.0f), vf_min(vf_set1(89.0f), x));
    vf q = vf_exp_reduced(y, &n);
    vf s = vf_ldexp(vf_set1(0.5f), n);
    y = vf_fma(s, q, vf_sub(s, vf_set1(0.5f)));
    y = vf_add(y, y);
    return vf_select(vf_lt(vf_abs(x), vf_set1(0x1p-30f)), x, y);
}
FNN_WORD vd vd_expm1(vd x) {
    vd n, y = vd_max(vd_set1(-40.0), vd_min(vd_set1(710.0), x));
    vd q = vd_exp_reduced(y, &n);
    vd s = vd_ldexp(vd_set1(0.5), n);
    y = vd_fma(s, q, vd_sub(s, vd_set1(0.5)));
    y = vd_add(y, y);
    return vd_select(vd_lt(vd_abs(x), vd_set1(0x1p-60)), x, y);
}

/* ---- log: x = 2^e m, sqrt(1/2) <= m < sqrt(2); f = m - 1 ---- */

FNN_WORD vf vf_log(vf x) {
    vf_mask small = vf_lt(x, vf_set1(0x1p-126f));
    vf y = vf_select(small, vf_mul(x, vf_set1(0x1p23f)), x);
    vf_int b = vf_isub(vf_bits(y), vf_iset1(0x3f3504f3)); /* bits of sqrt(1/2) */
    /* the biased exponent, put into the low bits of 2^23, is a float by one subtraction */
    vf_int eb = vf_ishr(vf_iadd(b, vf_iset1(127 << 23)), 23);
    vf e = vf_sub(vf_from_bits(vf_ior(eb, vf_iset1(0x4b000000))), vf_set1(8388608.0f + 127.0f));
    e = vf_sub(e, vf_select(small, vf_set1(23.0f), vf_set1(0.0f)));
    vf m = vf_from_bits(vf_iadd(vf_iand(b, vf_iset1(0x7fffff)), vf_iset1(0x3f3504f3)));
    vf f = vf_sub(m, vf_set1(1.0f)), z = vf_mul(f, f);
    /* (log(1 + f) - f + f^2/2) / f^3 */
    vf p = FNN_POLY(vf, f, 0.33333322f, -0.24999985f, 0.20001556f, -0.16668944f, 0.14230403f, -0.12394884f, 0.11803767f,
                    -0.11709377f, 0.06967717f);
    vf r = vf_mul(vf_mul(f, z), p);
    r = vf_fma(e, vf_set1(1.4286068e-06f), r);
    r = vf_fma(z, vf_set1(-0.5f), r);
    r = vf_fma(e, vf_set1(0.693145751953125f), vf_add(f, r));
    r = vf_select(vf_lt(x, vf_set1(0.0f)), vf_set1(NAN), r);
    r = vf_select(vf_eq(x, vf_set1(0.0f)), vf_set1(-INFINITY), r);
    return vf_select(vf_mask_or(vf_isnan(x), vf_eq(x, vf_set1(INFINITY))), x, r);
}

/* log(x + c) for |c| below one ULP of x; c = 0 for log. With s = f / (2 + f) and z = s^2:
 * log(1 + f) = f - (f^2/2 - s (f^2/2 + z R(z))), R(z) = (log((1+s)/(1-s)) - 2 s) / (s z). */
FNN_WORD vd vd_log_plus(vd x, vd c) {
    vd_mask small = vd_lt(x, vd_set1(0x1p-1022));
    vd y = vd_select(small, vd_mul(x, vd_set1(0x1p52)), x);
    vd_int b = vd_isub(vd_bits(y), vd_iset1(0x3fe6a09e667f3bcd)); /* bits of sqrt(1/2) */
    vd_int eb = vd_ishr(vd_iadd(b, vd_iset1(1023ll << 52)), 52);
    vd e = vd_sub(vd_from_bits(vd_ior(eb, vd_iset1(0x4330000000000000))), vd_set1(4503599627370496.0 + 1023.0));
    e = vd_sub(e, vd_select(small, vd_set1(52.0), vd_set1(0.0)));
    vd m = vd_from_bits(vd_iadd(vd_iand(b, vd_iset1(0xfffffffffffff)), vd_iset1(0x3fe6a09e667f3bcd)));
    vd f = vd_sub(m, vd_set1(1.0)), s = vd_div(f, vd_add(f, vd_set1(2.0))), z = vd_mul(s, s);
    vd h = vd_mul(vd_mul(f, f), vd_set1(0.5));
    vd p = FNN_POLY(vd, z, 0.6666666666666666, 0.4000000000000593, 0.2857142856916426, 0.22222222637101094,
                    0.18181776324198684, 0.1538706572179781, 0.13250617587727487, 0.13247255469073824);
    vd low = vd_fma(e, vd_set1(1.6465949582897082e-12), vd_div(c, x));
    low = vd_fma(s, vd_fma(z, p, h), low);
    vd r = vd_fma(e, vd_set1(0.6931471805582987), vd_sub(f, vd_sub(h, low)));
    r = vd_select(vd_lt(x, vd_set1(0.0)), vd_set1(NAN), r);
    r = vd_select(vd_eq(x, vd_set1(0.0)), vd_set1(-INFINITY), r);
    return vd_select(vd_mask_or(vd_isnan(x), vd_eq(x, vd_set1(INFINITY))), x, r);
}
FNN_WORD vd vd_log(vd x) { return vd_log_plus(x, vd_set1(0.0)); }

/* u = 1 + x rounded, c what the rounding lost */
FNN_WORD vd vd_log1p(vd x) {
    vd one = vd_set1(1.0), u = vd_add(one, x);
    vd c = vd_select(vd_lt(x, one), vd_sub(x, vd_sub(u, one)), vd_sub(one, vd_sub(u, x)));
    return vd_select(vd_lt(vd_abs(x), vd_set1(0x1p-60)), x, vd_log_plus(u, c));
}
FNN_WORD vf vf_log1p(vf x) { /* in double: there 1 + x keeps what matters */
    return vf_from_f64(vd_log1p(vd_from_f32(x, 0)), vd_log1p(vd_from_f32(x, 1)));
}

/* ---- tanh(|x|) = -u / (u + 2), u = e^(-2|x|) - 1; sigmoid(x) = 1 / (1 + e^-x), for x < 0 as e^x / (1 + e^x) ---- */

FNN_WORD vd vd_tanh(vd x) {
    vd u = vd_expm1(vd_mul(vd_abs(x), vd_set1(-2.0)));
    return vd_copysign(vd_div(u, vd_add(u, vd_set1(2.0))), x);
}
FNN_WORD vf vf_sigmoid(vf x) {
    vf one = vf_set1(1.0f), e = vf_exp(vf_neg(vf_abs(x)));
    return vf_div(vf_select(vf_lt(x, vf_set1(0.0f)), e, one), vf_add(one, e));
}
FNN_WORD vd vd_sigmoid(vd x) {
    vd one = vd_set1(1.0), e = vd_exp(vd_neg(vd_abs(x)));
    return vd_div(vd_select(vd_lt(x, vd_set1(0.0)), e, one), vd_add(one, e));
}

/* lane by lane through libm; `f` is a double function of C */
#define FNN_LANES_D(f, x) \
    double t[8]; \
    vd_store(t, x); \
    for (int i = 0; i < 8; i++) t[i] = f(t[i]); \
    return vd_load(t)
FNN_WORD vd vd_erf(vd x) { FNN_LANES_D(erf, x); }
/* as vf_normal_tail and vf_normal_bend */
FNN_WORD vd vd_normal_tail(vd t) {
    vd q = vd_sub(vd_set1(1.0), vd_erf(vd_mul(t, vd_set1(0.70710678118654752440))));
    return vd_mul(vd_set1(0.5), q);
}
FNN_WORD vd vd_normal_bend(vd t) {
    vd density = vd_mul(vd_exp(vd_mul(vd_mul(t, t), vd_set1(-0.5))), vd_set1(0.39894228040143267794));
    return vd_fma(vd_neg(vd_min(vd_set1(40.0), t)), density, vd_normal_tail(t));
}
FNN_WORD vd vd_sin(vd x) { FNN_LANES_D(sin, x); }
FNN_WORD vd vd_cos(vd x) { FNN_LANES_D(cos, x); }

/* ---- float sin and cos, in double: x = n pi/2 + r; quarter turn n chooses sin or cos of r and the sign ---- */

/* sin(x + quarter pi/2) for |x| <= 2^28 */
FNN_WORD vd vd_sin_turned(vd x, int quarter) {
    vd n = vd_round(vd_mul(x, vd_set1(0.6366197723675814)));
    vd r = vd_fma(n, vd_set1(-1.5707963267948966), x);
    r = vd_fma(n, vd_set1(-6.123233995736766e-17), r);
    vd z = vd_mul(r, r);
    vd s = FNN_POLY(vd, z, -0.16666666666663887, 0.008333333331079542, -0.00019841266916952873, 2.755599084528054e-06,
                    -2.480562327625739e-08);
    vd c = FNN_POLY(vd, z, -0.49999999999999967, 0.04166666666663092, -0.001388888888212669, 2.480158262242947e-05,
                    -2.7555855276168755e-07, 2.0665485378039353e-09);
    s = vd_fma(vd_mul(r, z), s, r);
    c = vd_fma(z, c, vd_set1(1.0));
    vd_int turn = vd_iadd(vd_bits(vd_add(n, vd_set1(6755399441055744.0))), vd_iset1(quarter));
    /* bit 0 of turn as a float of magnitude 2^52 or 2^52 + 1: odd turns take the cosine; bit 1 is the sign */
    vd odd = vd_sub(vd_from_bits(vd_ior(vd_iand(turn, vd_iset1(1)), vd_iset1(0x4330000000000000))), vd_set1(0x1p52));
    vd y = vd_select(vd_eq(odd, vd_set1(1.0)), c, s);
    return vd_from_bits(vd_ixor(vd_bits(y), vd_ishl(vd_iand(turn, vd_iset1(2)), 62)));
}
FNN_WORD vf vf_sin_turned(vf x, int quarter, float (*far)(float)) {
    vf y = vf_from_f64(vd_sin_turned(vd_from_f32(x, 0), quarter), vd_sin_turned(vd_from_f32(x, 1), quarter));
    if (!vf_mask_any(vf_mask_not(vf_le(vf_abs(x), vf_set1(0x1p28f))))) return y;
    float a[16], b[16]; /* far out, infinite or NaN */
    vf_store(a, x);
    vf_store(b, y);
    for (int i = 0; i < 16; i++)
        if (!(fabsf(a[i]) <= 0x1p28f)) b[i] = far(a[i]);
    return vf_load(b);
}
FNN_WORD vf vf_sin(vf x) { return vf_select(vf_eq(x, vf_set1(0.0f)), x, vf_sin_turned(x, 0, sinf)); }
FNN_WORD vf vf_cos(vf x) { return vf_sin_turned(x, 1, cosf); }
#endif
