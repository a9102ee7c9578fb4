/* exp, exp2, expm1, log, log2, log10, log1p, sigmoid over words, written once for all instruction sets; the double tanh.
 *
 * Invariant: the same bits everywhere: only +, -, *, / and fma in a written order, no estimates, no tables. Infinities, NaN,
 * subnormals and the sign of zero as in C. Bounds: float exp, expm1, log, log1p, sin, cos 2 ULP, tanh, sigmoid 3 ULP, erf
 * 5e-7; double 4 ULP. The polynomials are minimax fits (Remez) of the function named
 * beside them; expanding around a reduced argument as in Cody and Waite, Software Manual for the Elementary Functions (1980).
 * Not here: the trigonometric functions (vec_trig.h), erf's relatives and pow (vec_special.h), float tanh and erf
 * (vec_pieces.h); double functions without a polynomial go to libm lane by lane (nothing hot needs them).
 * Read next: kernels/loops_real.h, which runs these over arrays. */
#ifndef FNN_VEC_MATH_H
#define FNN_VEC_MATH_H
#include "simd/vec_pieces.h"

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), Horner */
FNN_FUNCTION vf vf_poly(vf x, const float *c, int n) {
    vf p = vf_set1(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = vf_fma(p, x, vf_set1(c[i]));
    return p;
}
FNN_FUNCTION vd vd_poly(vd x, const double *c, int n) {
    vd p = vd_set1(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = vd_fma(p, x, vd_set1(c[i]));
    return p;
}
#define FNN_POLY(type, x, ...) \
    type##_poly(x, (const FNN_SCALAR_##type[]){__VA_ARGS__}, (int)(sizeof((FNN_SCALAR_##type[]){__VA_ARGS__}) / sizeof(FNN_SCALAR_##type)))
#define FNN_SCALAR_vf float
#define FNN_SCALAR_vd double

/* ---- exp, expm1: x = n ln 2 + r, |r| <= ln(2)/2; e^x = 2^n e^r ---- */

/* Adding and taking away 1.5 * 2^23 (2^52) rounds to n in one instruction less than the word that does so. */
FNN_FUNCTION vf vf_exp_shifted(vf x) { return vf_fma(x, vf_set1(1.44269504f), vf_set1(12582912.0f)); } /* n in its low bits */
/* e^r - 1 for |r| <= 0.347, and n; x must be within +-2^20 or NaN. The fit is (e^r - 1 - r) / r^2. */
FNN_FUNCTION vf vf_exp_reduced(vf x, vf shifted, vf *n) {
    *n = vf_sub(shifted, vf_set1(12582912.0f));
    vf r = vf_fma(*n, vf_set1(-0.693145751953125f), x); /* the first 15 bits of ln 2: exact */
    r = vf_fma(*n, vf_set1(-1.4286068e-06f), r);
    vf p = FNN_POLY(vf, r, 0.5f, 0.1666652f, 0.04166621f, 0.008368822f, 0.0013950338f);
    return vf_fma(vf_mul(r, r), p, r);
}
FNN_FUNCTION vd vd_exp_reduced(vd x, vd *n) {
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
FNN_FUNCTION vf vf_exp(vf x) {
    vf n;
#ifdef FNN_NO_SCALE /* a word whose results are all normal takes 2^n by adding n to the exponent: the same bits, half the work */
    if (vf_mask_bits(vf_lt(vf_abs(x), vf_set1(86.0f))) == 0xffff) {
        const vf shifted = vf_exp_shifted(x), p = vf_add(vf_exp_reduced(x, shifted, &n), vf_set1(1.0f));
        return vf_from_bits(vf_iadd(vf_bits(p), vf_ishl(vf_bits(shifted), 23)));
    }
#endif
    const vf_mask some = vf_mask_not(vf_lt(x, vf_set1(-103.9721f)));
    x = vf_min(vf_set1(89.0f), x);
    vf q = vf_exp_reduced(x, vf_exp_shifted(x), &n);
    return vf_ldexp_where(some, vf_add(q, vf_set1(1.0f)), n);
}
FNN_FUNCTION vd vd_exp(vd x) {
    vd n;
    const vd_mask some = vd_mask_not(vd_lt(x, vd_set1(-745.1332191019412)));
    vd q = vd_exp_reduced(vd_min(vd_set1(710.0), x), &n);
    return vd_ldexp_where(some, vd_add(q, vd_set1(1.0)), n);
}

/* 2^x = 2^n 2^r, n the nearest integer; ends as in exp */
FNN_FUNCTION vf vf_exp2(vf x) {
    const vf_mask none = vf_lt(x, vf_set1(-150.0f));
    x = vf_select(none, vf_set1(0.0f), vf_min(vf_set1(129.0f), x));
    const vf n = vf_round(x), r = vf_sub(x, n);
    vf p = FNN_POLY(vf, r, 0.6931472f, 0.2402265f, 0.05550405f, 0.009618087f, 0.0013337957f, 1.5452185e-4f, 1.4326282e-5f);
    return vf_select(none, vf_set1(0.0f), vf_ldexp(vf_fma(p, r, vf_set1(1.0f)), n));
}

/* 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)): halved, or 2^n would overflow before the result does. Below 2^-30 (double
 * 2^-60) e^x - 1 is x to the last bit, and the sign of zero and subnormals are kept. */
FNN_FUNCTION vf vf_expm1(vf x) {
    vf n, y = vf_max(vf_set1(-18.0f), vf_min(vf_set1(89.0f), x));
    vf q = vf_exp_reduced(y, vf_exp_shifted(y), &n);
    vf s = vf_ldexp(vf_set1(0.5f), n);
    y = vf_fma(s, q, vf_sub(s, vf_set1(0.5f)));
    y = vf_add(y, y);
    return vf_select(vf_lt(vf_abs(x), vf_set1(0x1p-30f)), x, y);
}
FNN_FUNCTION vd vd_expm1(vd x) {
    vd n, y = vd_max(vd_set1(-40.0), vd_min(vd_set1(710.0), x));
    vd q = vd_exp_reduced(y, &n);
    vd s = vd_ldexp(vd_set1(0.5), n);
    y = vd_fma(s, q, vd_sub(s, vd_set1(0.5)));
    y = vd_add(y, y);
    return vd_select(vd_lt(vd_abs(x), vd_set1(0x1p-60)), x, y);
}

/* ---- log: x = 2^e m, sqrt(1/2) <= m < sqrt(2); f = m - 1 ---- */

/* e and f of x; e holds as a float */
FNN_FUNCTION vf vf_log_reduced(vf x, vf *e) {
    vf_mask small = vf_lt(x, vf_set1(0x1p-126f));
    vf y = vf_select(small, vf_mul(x, vf_set1(0x1p23f)), x);
    vf_int b = vf_isub(vf_bits(y), vf_iset1(0x3f3504f3)); /* bits of sqrt(1/2) */
    /* the biased exponent, put into the low bits of 2^23, is a float by one subtraction */
    vf_int eb = vf_ishr(vf_iadd(b, vf_iset1(127 << 23)), 23);
    *e = vf_sub(vf_from_bits(vf_ior(eb, vf_iset1(0x4b000000))), vf_set1(8388608.0f + 127.0f));
    *e = vf_sub(*e, vf_select(small, vf_set1(23.0f), vf_set1(0.0f)));
    vf m = vf_from_bits(vf_iadd(vf_iand(b, vf_iset1(0x7fffff)), vf_iset1(0x3f3504f3)));
    return vf_sub(m, vf_set1(1.0f));
}
/* log(1 + f) - f + f^2/2 */
FNN_FUNCTION vf vf_log_rest(vf f) {
    vf p = FNN_POLY(vf, f, 0.33333322f, -0.24999985f, 0.20001556f, -0.16668944f, 0.14230403f, -0.12394884f, 0.11803767f,
                    -0.11709377f, 0.06967717f);
    return vf_mul(vf_mul(f, vf_mul(f, f)), p);
}
/* r, the logarithm of x, or what it is where x is not positive and finite */
FNN_FUNCTION vf vf_log_ends(vf x, vf r) {
    r = vf_select(vf_lt(x, vf_set1(0.0f)), vf_set1(NAN), r);
    r = vf_select(vf_eq(x, vf_set1(0.0f)), vf_set1(-INFINITY), r);
    return vf_select(vf_mask_or(vf_isnan(x), vf_eq(x, vf_set1(INFINITY))), x, r);
}
/* e ln 2 + log(1 + f), the small parts first */
FNN_FUNCTION vf vf_log_sum(vf e, vf f) {
    vf r = vf_fma(e, vf_set1(1.4286068e-06f), vf_log_rest(f));
    r = vf_fma(vf_mul(f, f), vf_set1(-0.5f), r);
    return vf_fma(e, vf_set1(0.693145751953125f), vf_add(f, r));
}
FNN_FUNCTION vf vf_log(vf x) {
    vf e, f = vf_log_reduced(x, &e);
    return vf_log_ends(x, vf_log_sum(e, f));
}
/* In another base: with 1 / ln(base) = c + d, c of 12 bits, and log(1 + f) = f + g: c e' + ... with f c exact but for its
 * rounding in the sum. `two` is log(2) in that base, in two parts. */
FNN_FUNCTION vf vf_log_in_base(vf x, float c, float d, float two, float two_low) {
    vf e, f = vf_log_reduced(x, &e);
    vf g = vf_fma(vf_mul(f, f), vf_set1(-0.5f), vf_log_rest(f));
    vf low = vf_fma(vf_add(f, g), vf_set1(d), vf_mul(e, vf_set1(two_low)));
    low = vf_fma(g, vf_set1(c), low);
    return vf_log_ends(x, vf_fma(e, vf_set1(two), vf_fma(f, vf_set1(c), low)));
}
FNN_FUNCTION vf vf_log2(vf x) { return vf_log_in_base(x, 1.4423828125f, 0.00031222854f, 1.0f, 0.0f); }
FNN_FUNCTION vf vf_log10(vf x) { return vf_log_in_base(x, 0.434326171875f, -3.168997e-05f, 0.30102539f, 4.6050390e-06f); }
/* u = 1 + x rounded, what the rounding lost goes into f */
FNN_FUNCTION vf vf_log1p(vf x) {
    const vf one = vf_set1(1.0f), u = vf_add(one, x);
    vf c = vf_select(vf_lt(x, one), vf_sub(x, vf_sub(u, one)), vf_sub(one, vf_sub(u, x)));
    vf e, f = vf_log_reduced(u, &e);
    vf scale = vf_from_bits(vf_ishl(vf_isub(vf_iset1(127), vf_isub(vf_bits(vf_add(e, vf_set1(12582912.0f))), vf_iset1(0x4b400000))), 23));
    c = vf_select(vf_lt(e, vf_set1(25.0f)), vf_mul(c, scale), vf_set1(0.0f));
    vf r = vf_log_ends(u, vf_log_sum(e, vf_add(f, c)));
    return vf_select(vf_lt(vf_abs(x), vf_set1(0x1p-30f)), x, r);
}

/* log(x + c) for |c| below one ULP of x; c = 0 for log. With s = f / (2 + f) and z = s^2:
 * log(1 + f) = f - (f^2/2 - s (f^2/2 + z R(z))), R(z) = (log((1+s)/(1-s)) - 2 s) / (s z). */
FNN_FUNCTION vd vd_log_plus(vd x, vd c) {
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
FNN_FUNCTION vd vd_log(vd x) { return vd_log_plus(x, vd_set1(0.0)); }

/* u = 1 + x rounded, c what the rounding lost */
FNN_FUNCTION vd vd_log1p(vd x) {
    vd one = vd_set1(1.0), u = vd_add(one, x);
    vd c = vd_select(vd_lt(x, one), vd_sub(x, vd_sub(u, one)), vd_sub(one, vd_sub(u, x)));
    return vd_select(vd_lt(vd_abs(x), vd_set1(0x1p-60)), x, vd_log_plus(u, c));
}

/* ---- tanh(|x|) = -u / (u + 2), u = e^(-2|x|) - 1; sigmoid(x) = 1 / (1 + e^-x), for x < 0 as e^x / (1 + e^x) ---- */

FNN_FUNCTION vd vd_tanh(vd x) {
    vd u = vd_expm1(vd_mul(vd_abs(x), vd_set1(-2.0)));
    return vd_copysign(vd_div(u, vd_add(u, vd_set1(2.0))), x);
}
FNN_FUNCTION vf vf_sigmoid(vf x) {
    vf one = vf_set1(1.0f), e = vf_exp(vf_neg(vf_abs(x)));
    return vf_div(vf_select(vf_lt(x, vf_set1(0.0f)), e, one), vf_add(one, e));
}
FNN_FUNCTION vd vd_sigmoid(vd x) {
    vd one = vd_set1(1.0), e = vd_exp(vd_neg(vd_abs(x)));
    return vd_div(vd_select(vd_lt(x, vd_set1(0.0)), e, one), vd_add(one, e));
}

/* lane by lane through libm; `f` is a double function of C */
#define FNN_LANES_D(f, x) \
    double t[8]; \
    vd_store(t, x); \
    for (int i = 0; i < 8; i++) t[i] = f(t[i]); \
    return vd_load(t)
FNN_FUNCTION vd vd_erf(vd x) { FNN_LANES_D(erf, x); }
/* The halves of gelu at -t, t = min(|x|, 40), as vf_half_line and what follows it. */
FNN_FUNCTION vd vd_half_line(vd x) { return vd_neg(vd_min(vd_set1(40.0), vd_abs(x))); }
FNN_FUNCTION vd vd_normal_tail(vd minus_t) {
    vd q = vd_add(vd_set1(1.0), vd_erf(vd_mul(minus_t, vd_set1(0.70710678118654752440))));
    return vd_mul(vd_set1(0.5), q);
}
FNN_FUNCTION vd vd_normal_bend(vd minus_t) {
    vd density = vd_mul(vd_exp(vd_mul(vd_mul(minus_t, minus_t), vd_set1(-0.5))), vd_set1(0.39894228040143267794));
    return vd_fma(minus_t, density, vd_normal_tail(minus_t));
}
/* -2 sqrt(2/pi) (t + 0.044715 t^3) */
FNN_FUNCTION vd vd_tanh_inner(vd minus_t) {
    vd cube = vd_mul(vd_mul(minus_t, minus_t), minus_t);
    return vd_mul(vd_set1(1.59576912160573071176), vd_fma(vd_set1(0.044715), cube, minus_t));
}
FNN_FUNCTION vd vd_tanh_tail(vd minus_t) { return vd_sigmoid(vd_tanh_inner(minus_t)); }
/* s - t s (1 - s) v', s and 1 - s from one exponential: both exact near 0 */
FNN_FUNCTION vd vd_tanh_bend(vd minus_t) {
    const vd one = vd_set1(1.0), e = vd_exp(vd_tanh_inner(minus_t)), rest = vd_div(one, vd_add(one, e)), s = vd_mul(e, rest);
    const vd slope = vd_mul(vd_set1(1.59576912160573071176), vd_fma(vd_mul(minus_t, minus_t), vd_set1(3 * 0.044715), one));
    return vd_fma(vd_mul(minus_t, vd_mul(s, rest)), slope, s);
}
#include "simd/vec_trig.h"
#include "simd/vec_special.h"
#endif
