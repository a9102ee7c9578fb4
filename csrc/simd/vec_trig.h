/* sin, cos, tan, their inverses, atan2, sinh, cosh over words.
 *
 * Invariant: as in vec_math.h. Bound: float 2 ULP, tan, sinh and cosh 1; a lane's result does not depend on the other lanes,
 * so what is computed only where some lane needs it is selected lane by lane.
 * Not here: polynomials in double but for what float needs; double functions go to libm lane by lane.
 * Read next: vec_special.h. */
#ifndef FNN_VEC_TRIG_H
#define FNN_VEC_TRIG_H

FNN_FUNCTION vd vd_sin(vd x) { FNN_LANES_D(sin, x); }
FNN_FUNCTION vd vd_cos(vd x) { FNN_LANES_D(cos, x); }
FNN_FUNCTION vd vd_tan(vd x) { FNN_LANES_D(tan, x); }
FNN_FUNCTION vd vd_asin(vd x) { FNN_LANES_D(asin, x); }
FNN_FUNCTION vd vd_acos(vd x) { FNN_LANES_D(acos, x); }
FNN_FUNCTION vd vd_atan(vd x) { FNN_LANES_D(atan, x); }
FNN_FUNCTION vd vd_sinh(vd x) { FNN_LANES_D(sinh, x); }
FNN_FUNCTION vd vd_cosh(vd x) { FNN_LANES_D(cosh, x); }
FNN_FUNCTION vd vd_exp2(vd x) { FNN_LANES_D(exp2, x); }
FNN_FUNCTION vd vd_log2(vd x) { FNN_LANES_D(log2, x); }
FNN_FUNCTION vd vd_log10(vd x) { FNN_LANES_D(log10, x); }

/* ---- sin, cos, tan: x = n pi/2 + r; the quarter turn n chooses sin or cos of r and the sign ---- */

/* In double, for |x| <= 2^28: sin r, cos r, and the turn in the low bits */
FNN_FUNCTION vd_int vd_turn(vd x, vd *sine, vd *cosine) {
    vd n = vd_round(vd_mul(x, vd_set1(0.6366197723675814)));
    vd r = vd_fma(n, vd_set1(-1.5707963267948966), x);
    r = vd_fma(n, vd_set1(-6.123233995736766e-17), r);
    vd z = vd_mul(r, r);
    vd s = FNN_POLY(vd, z, -0.16666666666663887, 0.008333333331079542, -0.00019841266916952873, 2.755599084528054e-06,
                    -2.480562327625739e-08);
    vd c = FNN_POLY(vd, z, -0.49999999999999967, 0.04166666666663092, -0.001388888888212669, 2.480158262242947e-05,
                    -2.7555855276168755e-07, 2.0665485378039353e-09);
    *sine = vd_fma(vd_mul(r, z), s, r);
    *cosine = vd_fma(z, c, vd_set1(1.0));
    return vd_bits(vd_add(n, vd_set1(6755399441055744.0)));
}
/* Whether the turn's bit 0 is set. In a float of magnitude 2^52 or 2^52 + 1 it is a difference of 0 or 1. */
FNN_FUNCTION vd_mask vd_turn_odd(vd_int turn) {
    vd bit = vd_from_bits(vd_ior(vd_iand(turn, vd_iset1(1)), vd_iset1(0x4330000000000000)));
    return vd_eq(vd_sub(bit, vd_set1(0x1p52)), vd_set1(1.0));
}
/* sin(x + quarter pi/2) for |x| <= 2^28 */
FNN_FUNCTION vd vd_sin_turned(vd x, int quarter) {
    vd s, c;
    vd_int turn = vd_iadd(vd_turn(x, &s, &c), vd_iset1(quarter));
    vd y = vd_select(vd_turn_odd(turn), c, s);
    return vd_from_bits(vd_ixor(vd_bits(y), vd_ishl(vd_iand(turn, vd_iset1(2)), 62)));
}
FNN_FUNCTION vd vd_tan_near(vd x) {
    vd s, c;
    vd_mask odd = vd_turn_odd(vd_turn(x, &s, &c));
    return vd_div(vd_select(odd, vd_neg(c), s), vd_select(odd, s, c));
}
/* y where |x| <= 2^28, far(x) elsewhere: far out, infinite or NaN */
FNN_FUNCTION vf vf_or_far(vf x, vf y, float (*far)(float)) {
    if (!vf_mask_any(vf_mask_not(vf_le(vf_abs(x), vf_set1(0x1p28f))))) return y;
    float a[16], b[16];
    vf_store(a, x);
    vf_store(b, y);
    for (int i = 0; i < 16; i++)
        if (!(fabsf(a[i]) <= 0x1p28f)) b[i] = far(a[i]);
    return vf_load(b);
}
/* sin(x + quarter pi/2). Up to 2^12 in float: pi/2 in three parts. n times the first is cancelled exactly, n times the second,
 * of 12 bits, is exact; `low` is what the second step's rounding lost, and the third part. */
FNN_FUNCTION vf vf_sin_turned(vf x, int quarter, float (*far)(float)) {
    vf n = vf_round(vf_mul(x, vf_set1(0.63661977f)));
    vf a = vf_fma(n, vf_set1(-1.57079637f), x);
    vf r = vf_fma(n, vf_set1(0x1.778p-25f), a);
    vf b = vf_sub(r, a), low = vf_add(vf_sub(a, vf_sub(r, b)), vf_fma(n, vf_set1(0x1.778p-25f), vf_neg(b)));
    low = vf_fma(n, vf_set1(-2.5633440682570896e-12f), low);
    vf z = vf_mul(r, r);
    vf s = FNN_POLY(vf, z, -0.16666667f, 0.008333379f, -1.9853016e-4f, 2.8315392e-6f);
    vf c = FNN_POLY(vf, z, 0.041666668f, -0.0013888981f, 2.4822433e-5f, -2.8915397e-7f);
    s = vf_add(r, vf_fma(vf_mul(r, z), s, low));
    vf half = vf_fma(z, vf_set1(-0.5f), vf_set1(1.0f)); /* 1 - z/2 rounded, and what that lost */
    vf lost = vf_fma(z, vf_set1(-0.5f), vf_sub(vf_set1(1.0f), half));
    c = vf_add(half, vf_fma(vf_mul(z, z), c, vf_fma(vf_neg(r), low, lost)));
    vf_int turn = vf_iadd(vf_bits(vf_add(n, vf_set1(12582912.0f))), vf_iset1(quarter));
    vf bit = vf_from_bits(vf_ior(vf_iand(turn, vf_iset1(1)), vf_iset1(0x4b000000)));
    vf y = vf_select(vf_eq(vf_sub(bit, vf_set1(8388608.0f)), vf_set1(1.0f)), c, s);
    y = vf_from_bits(vf_ixor(vf_bits(y), vf_ishl(vf_iand(turn, vf_iset1(2)), 30)));
    vf_mask near = vf_le(vf_abs(x), vf_set1(4096.0f));
    if (!vf_mask_any(vf_mask_not(near))) return y;
    vf wide = vf_from_f64(vd_sin_turned(vd_from_f32(x, 0), quarter), vd_sin_turned(vd_from_f32(x, 1), quarter));
    return vf_select(near, y, vf_or_far(x, wide, far));
}
FNN_FUNCTION vf vf_sin(vf x) { return vf_select(vf_eq(x, vf_set1(0.0f)), x, vf_sin_turned(x, 0, sinf)); }
FNN_FUNCTION vf vf_cos(vf x) { return vf_sin_turned(x, 1, cosf); }
FNN_FUNCTION vf vf_tan(vf x) {
    vf y = vf_from_f64(vd_tan_near(vd_from_f32(x, 0)), vd_tan_near(vd_from_f32(x, 1)));
    return vf_or_far(x, vf_select(vf_eq(x, vf_set1(0.0f)), x, y), tanf);
}

/* ---- asin, acos: x + x^3 P(x^2) up to 1/2, above from asin s, s = sqrt((1 - |x|) / 2) ---- */

/* asin(|x|) or asin(s), as `head` + `tail` */
FNN_FUNCTION vf vf_asin_core(vf x, vf_mask *large, vf *tail) {
    const vf t = vf_abs(x);
    *large = vf_lt(vf_set1(0.5f), t);
    const vf half = vf_mul(vf_sub(vf_set1(1.0f), t), vf_set1(0.5f));
    const vf z = vf_select(*large, half, vf_mul(t, t)), s = vf_select(*large, vf_sqrt(half), t);
    vf p = FNN_POLY(vf, z, 0.1666666f, 0.075005196f, 0.044514194f, 0.031829413f, 0.014360783f, 0.03762079f);
    *tail = vf_mul(vf_mul(s, z), p);
    return s;
}
FNN_FUNCTION vf vf_asin(vf x) {
    vf_mask large;
    vf tail, head = vf_asin_core(x, &large, &tail);
    vf y = vf_fma(vf_set1(-2.0f), head, vf_set1(1.57079637f)); /* pi/2 - 2 asin s, pi/2 in two parts */
    y = vf_add(y, vf_fma(vf_set1(-2.0f), tail, vf_set1(-4.37113883e-8f)));
    return vf_copysign(vf_select(large, y, vf_add(head, tail)), x);
}
FNN_FUNCTION vf vf_acos(vf x) {
    vf_mask large;
    vf tail, head = vf_asin_core(x, &large, &tail);
    vf near = vf_copysign(vf_add(head, tail), x); /* pi/2 - asin x */
    near = vf_sub(vf_set1(1.57079637f), vf_add(near, vf_set1(4.37113883e-8f)));
    vf two = vf_mul(vf_set1(2.0f), vf_add(head, tail)); /* 2 asin s, from pi for x < 0 */
    vf far = vf_select(vf_lt(x, vf_set1(0.0f)), vf_sub(vf_set1(3.14159274f), vf_add(two, vf_set1(8.74227766e-8f))), two);
    return vf_select(large, far, near);
}

/* ---- atan: a + a^3 P(a^2), a = |x| or, above 1, pi/2 less that of 1 / |x| ---- */

/* atan(a) for 0 <= a <= 1 */
FNN_FUNCTION vf vf_atan_core(vf a) {
    vf z = vf_mul(a, a);
    vf p = FNN_POLY(vf, z, -0.33333328f, 0.19999716f, -0.14280343f, 0.11061233f, -0.08821461f, 0.06763644f, -0.044983115f,
                    0.022777429f, -0.0074252402f, 0.0011344905f);
    return vf_fma(vf_mul(a, z), p, a);
}
FNN_FUNCTION vf vf_atan(vf x) {
    const vf t = vf_abs(x);
    const vf_mask large = vf_lt(vf_set1(1.0f), t);
    vf y = vf_atan_core(vf_select(large, vf_div(vf_set1(1.0f), t), t));
    return vf_copysign(vf_select(large, vf_sub(vf_set1(1.57079637f), vf_add(y, vf_set1(4.37113883e-8f))), y), x);
}
/* The angle of (x, y): atan(y / x) moved into the quadrant by the signs; 0 / 0 counts as 0, infinity / infinity as 1 */
FNN_FUNCTION vf vf_atan2(vf y, vf x) {
    const vf ay = vf_abs(y), ax = vf_abs(x), inf = vf_set1(INFINITY);
    const vf_mask steep = vf_lt(ax, ay);
    vf low = vf_select(steep, ax, ay), high = vf_select(steep, ay, ax);
    vf q = vf_div(low, high);
    q = vf_select(vf_eq(high, vf_set1(0.0f)), vf_set1(0.0f), vf_select(vf_eq(low, inf), vf_set1(1.0f), q));
    vf a = vf_atan_core(q);
    a = vf_select(steep, vf_sub(vf_set1(1.57079637f), vf_add(a, vf_set1(4.37113883e-8f))), a);
    const vf_mask left = vf_lt(vf_copysign(vf_set1(1.0f), x), vf_set1(0.0f));
    a = vf_select(left, vf_sub(vf_set1(3.14159274f), vf_add(a, vf_set1(8.74227766e-8f))), a);
    a = vf_select(vf_mask_or(vf_isnan(x), vf_isnan(y)), vf_set1(NAN), a);
    return vf_copysign(a, y);
}
FNN_FUNCTION vd vd_atan2(vd y, vd x) {
    double a[8], b[8];
    vd_store(a, y);
    vd_store(b, x);
    for (int i = 0; i < 8; i++) a[i] = atan2(a[i], b[i]);
    return vd_load(a);
}

/* ---- sinh, cosh = (e^|x| -+ e^-|x|) / 2, in double; below 2^-12 sinh x is x to the last bit ---- */

FNN_FUNCTION vd vd_half_difference(vd x) {
    vd e = vd_exp(vd_abs(x));
    return vd_copysign(vd_mul(vd_set1(0.5), vd_sub(e, vd_div(vd_set1(1.0), e))), x);
}
FNN_FUNCTION vd vd_half_sum(vd x) {
    vd e = vd_exp(vd_abs(x));
    return vd_mul(vd_set1(0.5), vd_add(e, vd_div(vd_set1(1.0), e)));
}
FNN_FUNCTION vf vf_sinh(vf x) {
    vf y = vf_from_f64(vd_half_difference(vd_from_f32(x, 0)), vd_half_difference(vd_from_f32(x, 1)));
    return vf_select(vf_lt(vf_abs(x), vf_set1(0x1p-12f)), x, y);
}
FNN_FUNCTION vf vf_cosh(vf x) { return vf_from_f64(vd_half_sum(vd_from_f32(x, 0)), vd_half_sum(vd_from_f32(x, 1))); }
#endif
