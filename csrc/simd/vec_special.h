/* erfc, erfinv and pow over words.
 *
 * Invariant: as in vec_math.h. Bounds: float erfc 8 ULP, erfinv and pow 2.
 * Not here: their double forms, which go to libm lane by lane. Read next: vec_pieces.h. */
#ifndef FNN_VEC_SPECIAL_H
#define FNN_VEC_SPECIAL_H

FNN_FUNCTION vd vd_erfc(vd x) { FNN_LANES_D(erfc, x); }

/* 1 - erf x up to 1/2; above e^(-t^2) G(u) / (1 + 2 t), t = |x|, u = (t - 3.75) / (t + 3.75), and from 2 for negative x.
 * t^2 is taken in two parts: its rounding would cost t^2 / 2 ULP. */
FNN_FUNCTION vf vf_erfc(vf x) {
    const vf t = vf_min(vf_set1(10.1f), vf_abs(x)), one = vf_set1(1.0f);
    const vf wide = vf_add(t, vf_set1(3.75f)), odd = vf_fma(t, vf_set1(2.0f), one), over = vf_div(one, vf_mul(wide, odd));
    const vf u = vf_mul(vf_sub(t, vf_set1(3.75f)), vf_mul(odd, over));
    vf g = FNN_POLY(vf, u, 1.2375126f, -0.14024061f, 0.0035907528f, 0.082279444f, -0.10891032f, 0.09220482f, -0.05801047f,
                    0.029308544f, -0.010987976f, -8.4580755e-4f, -5.036339e-4f);
    const vf z = vf_mul(t, t), low = vf_fma(t, t, vf_neg(z));
    vf e = vf_exp(vf_neg(z));
    vf y = vf_mul(vf_mul(vf_fma(vf_neg(low), e, e), vf_mul(wide, over)), g);
    y = vf_select(vf_lt(x, vf_set1(0.0f)), vf_sub(vf_set1(2.0f), y), y);
    return vf_select(vf_le(vf_abs(x), vf_set1(0.5f)), vf_sub(one, vf_erf(x)), y);
}

/* The inverse of erf: a start from Giles, "Approximating the erfinv function" (2010), then Newton steps in double. */
static inline double fnn_erfinv_one(double y) {
    double a = fabs(y);
    if (!(a < 1)) return a == 1 ? copysign(INFINITY, y) : NAN;
    double w = -log((1 - a) * (1 + a)), x;
    if (w < 5) {
        w -= 2.5;
        x = ((((((((2.81022636e-08 * w + 3.43273939e-07) * w - 3.5233877e-06) * w - 4.39150654e-06) * w + 0.00021858087) * w -
               0.00125372503) * w - 0.00417768164) * w + 0.246640727) * w + 1.50140941);
    } else {
        w = sqrt(w) - 3;
        x = ((((((((-0.000200214257 * w + 0.000100950558) * w + 0.00134934322) * w - 0.00367342844) * w + 0.00573950773) * w -
               0.0076224613) * w + 0.00943887047) * w + 1.00167406) * w + 2.83297682);
    }
    x *= a;
    /* Newton on erf for small a; near 1, where 1 - a is exact, on log erfc: close to a parabola, which erfc itself is far from */
    for (int i = 0; i < 4; i++) {
        double slope = 1.1283791670955126 * exp(-x * x), rest = erfc(x);
        x -= (a < 0.5 ? erf(x) - a : rest * log((1 - a) / rest)) / slope;
    }
    return copysign(x, y);
}
FNN_FUNCTION vd vd_erfinv(vd x) { FNN_LANES_D(fnn_erfinv_one, x); }
/* erfinv: x P(w), w = -log(1 - x^2), as in Giles, "Approximating the erfinv function" (2010): one fit in w below 5, one in
 * sqrt(w) up to 16.7, where float ends. The polynomials in double. */
FNN_FUNCTION vd vd_erfinv_factor(vd w) {
    vd p = FNN_POLY(vd, w, 0.8862269274520125, 0.2320135560091025, 0.011550335507201907, -0.0023385405314679405,
                    -0.00012200270953032664, 4.0486837306345384e-05, 5.835617478536524e-06, -2.4978823746062355e-06,
                    3.0979784956132187e-07, -1.716148233855006e-08, 3.355470774770508e-10);
    vd s = vd_sqrt(vd_max(vd_set1(0.0), w));
    vd q = FNN_POLY(vd, s, -1.6029008494777401, 8.325248271186346, -11.795768743165087, 9.7937200406142, -4.913690114460519,
                    1.5846713200891445, -0.33267576906834007, 0.04415150420208261, -0.0033760249103934846,
                    0.00011363990845548117);
    return vd_select(vd_lt(w, vd_set1(5.0)), p, q);
}
FNN_FUNCTION vf vf_erfinv(vf x) {
    const vf t = vf_abs(x), one = vf_set1(1.0f);
    vf w = vf_neg(vf_log(vf_fma(vf_neg(t), t, one)));
    vd lo = vd_mul(vd_from_f32(x, 0), vd_erfinv_factor(vd_from_f32(w, 0)));
    vd hi = vd_mul(vd_from_f32(x, 1), vd_erfinv_factor(vd_from_f32(w, 1)));
    vf y = vf_select(vf_eq(t, one), vf_copysign(vf_set1(INFINITY), x), vf_from_f64(lo, hi));
    return vf_select(vf_le(t, one), y, vf_set1(NAN));
}

/* a^b = e^(b log a) in double for positive finite a and finite b; everything else, where C has many rules, by libm */
FNN_FUNCTION vf vf_pow(vf a, vf b) {
    vd lo = vd_exp(vd_mul(vd_from_f32(b, 0), vd_log(vd_from_f32(a, 0))));
    vd hi = vd_exp(vd_mul(vd_from_f32(b, 1), vd_log(vd_from_f32(a, 1))));
    vf y = vf_from_f64(lo, hi);
    const vf big = vf_set1(3.402823466e+38f);
    vf_mask plain = vf_mask_and(vf_lt(vf_set1(0.0f), a), vf_mask_and(vf_le(a, big), vf_le(vf_abs(b), big)));
    if (!vf_mask_any(vf_mask_not(plain))) return y;
    float s[16], t[16], r[16];
    vf_store(s, a);
    vf_store(t, b);
    vf_store(r, y);
    for (int i = 0; i < 16; i++)
        if (!(s[i] > 0 && s[i] <= 3.402823466e+38f && fabsf(t[i]) <= 3.402823466e+38f)) r[i] = powf(s[i], t[i]);
    return vf_load(r);
}
FNN_FUNCTION vd vd_pow(vd a, vd b) {
    double s[8], t[8];
    vd_store(s, a);
    vd_store(t, b);
    for (int i = 0; i < 8; i++) s[i] = pow(s[i], t[i]);
    return vd_load(s);
}
#endif
