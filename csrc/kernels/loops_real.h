/* Elementwise loops over `real` (see isa/unit.inc): activations and their slopes as words, then the loops of loops.def.
 *
 * Invariant: a word loop runs every element through the same word function, whether it came by a full load, a masked tail or
 * a gather of strided elements: lanes do not see each other, so strides and n cannot change a result. */

/* ---- activations over words; formulas as in torch.nn.functional ---- */

/* x (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| Q(|x|), Q the normal tail: nothing cancels at negative x */
static inline vr K(gelu_erf_word)(vr x) {
    vr t = vr_min(vr_set1(40), vr_abs(x)), positive = vr_max(vr_set1((real)-0.0), x); /* infinity times 0 is no number */
    return vr_fma(vr_neg(t), vr_normal_tail(t), positive);
}
/* d/dx: D(|x|) for x < 0, 1 - D(|x|) for x > 0, D(t) = (t Q(t))' */
static inline vr K(gelu_erf_slope)(vr x) {
    vr d = vr_normal_bend(vr_abs(x));
    return vr_select(vr_lt(x, vr_set1(0)), d, vr_sub(vr_set1(1), d));
}
/* sqrt(2/pi) (x + 0.044715 x^3) */
static inline vr K(gelu_tanh_inner)(vr x) {
    vr cube = vr_mul(vr_mul(x, x), x);
    return vr_mul(vr_set1((real)0.79788456080286535588), vr_fma(vr_set1((real)0.044715), cube, x));
}
/* 0.5 x (1 + tanh(inner)), as x sigmoid(2 inner): the same value without the cancellation at negative x */
static inline vr K(gelu_tanh_word)(vr x) {
    vr u = K(gelu_tanh_inner)(x);
    return vr_mul(x, vr_sigmoid(vr_add(u, u)));
}
/* d/dx: s + x s (1 - s) 2 inner'(x), s = sigmoid(2 inner); s and 1 - s are 1/(1 + e) and e/(1 + e), e = e^-|2 inner|, in
 * one order or the other: both exact where s is near 0 or 1 */
static inline vr K(gelu_tanh_slope)(vr x) {
    vr u = K(gelu_tanh_inner)(x), u2 = vr_add(u, u), one = vr_set1(1);
    vr e = vr_exp(vr_neg(vr_abs(u2))), large = vr_div(one, vr_add(one, e)), small = vr_mul(e, large);
    vr di = vr_mul(vr_set1((real)(2 * 0.79788456080286535588)), vr_fma(vr_mul(x, x), vr_set1((real)(3 * 0.044715)), one));
    vr s = vr_select(vr_lt(u2, vr_set1(0)), small, large);
    return vr_fma(vr_mul(x, vr_mul(large, small)), di, s);
}
/* d/dx x sigmoid(x): s (1 + x (1 - s)) */
static inline vr K(silu_slope)(vr x) {
    vr s = vr_sigmoid(x), one = vr_set1(1);
    return vr_mul(s, vr_fma(x, vr_sub(one, s), one));
}
/* log(1 + e^x) for all x: max(x, 0) + log1p(e^-|x|) */
static inline vr K(softplus_all_word)(vr x) {
    vr positive = vr_select(vr_le(x, vr_set1(0)), vr_set1(0), x);
    return vr_add(positive, vr_log1p(vr_exp(vr_neg(vr_abs(x)))));
}
/* torch's softplus is x itself above its threshold of 20 */
static inline vr K(softplus_word)(vr x) { return vr_select(vr_lt(vr_set1(20), x), x, vr_log1p(vr_exp(x))); }

/* ---- scalar helpers ---- */

/* fmod moved to the sign of b: torch's remainder, Python's % */
static inline real K(remainder_one)(real a, real b) {
    real m = FNN_LIBM(fmod)(a, b);
    return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
/* torch's floor division: (a - fmod) / b, moved down where the signs differ, and to the nearest integer */
static inline real K(floor_divide_one)(real a, real b) {
    if (b == 0) return a / b;
    real m = FNN_LIBM(fmod)(a, b), q = (a - m) / b;
    if (m != 0 && (b < 0) != (m < 0)) q -= 1;
    if (q == 0) return FNN_LIBM(copysign)(0, a / b);
    real f = FNN_LIBM(floor)(q);
    return q - f > (real)0.5 ? f + 1 : f;
}
/* The inverse of erf: a start from Giles, "Approximating the erfinv function" (2010), then Newton steps in double. */
static inline real K(erfinv_one)(real y) {
    double a = fabs((double)y);
    if (!(a < 1)) return a == 1 ? (real)copysign(INFINITY, (double)y) : (real)NAN;
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
    /* Newton on erf for small a, on erfc near 1, where 1 - a is exact */
    for (int i = 0; i < 3; i++) {
        double err = a < 0.5 ? erf(x) - a : (1 - a) - erfc(x);
        double slope = 1.1283791670955126 * exp(-x * x);
        if (slope > 0) x -= err / slope;
    }
    return (real)copysign(x, (double)y);
}

/* psi = lgamma': its asymptotic series from 10 on, psi(x) = psi(x + 1) - 1/x below, psi(x) = psi(1 - x) - pi / tan(pi x)
 * left of 0, where it has a pole at every integer. */
static inline real K(digamma_one)(real a) {
    double x = (double)a, sum = 0;
    if (x == 0) return (real)copysign(INFINITY, -x);
    if (x < 0) {
        const double part = x - floor(x);
        if (!(part > 0)) return (real)NAN;
        sum = -3.14159265358979323846 / tan(3.14159265358979323846 * part);
        x = 1 - x;
    }
    for (; x < 10; x++) sum -= 1 / x;
    const double z = 1 / (x * x);
    const double tail = z * (1 / 12.0 - z * (1 / 120.0 - z * (1 / 252.0 - z * (1 / 240.0 - z * (1 / 132.0 - z * (691 / 32760.0 - z / 12))))));
    return (real)(sum + (log(x) - 0.5 / x - tail));
}
/* psi' in the same way: psi'(x) = psi'(x + 1) + 1/x^2, psi'(x) = pi^2 / sin^2(pi x) - psi'(1 - x) */
static inline real K(trigamma_one)(real a) {
    double x = (double)a, sum = 0, sign = 1;
    if (x < 0.5) {
        const double turn = 3.14159265358979323846 / sin(3.14159265358979323846 * (x - floor(x)));
        sum = turn * turn;
        sign = -1;
        x = 1 - x;
    }
    for (; x < 10; x++) sum += sign / (x * x);
    const double z = 1 / (x * x);
    const double tail = z * (1 / 6.0 - z * (1 / 30.0 - z * (1 / 42.0 - z * (1 / 30.0 - z * (5 / 66.0 - z * (691 / 2730.0 - z * 7 / 6))))));
    return (real)(sum + sign * ((1 + tail + 0.5 / x) / x));
}

/* ---- loops over words ---- */

#define FNN_LOAD_STRIDED(buffer, p, stride, count) \
    for (int64_t j = 0; j < (count); j++) (buffer)[j] = *(const real *)((p) + j * (stride))
#define FNN_STORE_STRIDED(p, stride, buffer, count) \
    for (int64_t j = 0; j < (count); j++) *(real *)((p) + j * (stride)) = (buffer)[j]

#define FNN_UNARY_WORD(name, expr) \
    static void K(u_##name)(char *const *ptr, const int64_t *s, int64_t n) { \
        int64_t i = 0; \
        if (s[0] == sizeof(real) && s[1] == sizeof(real)) { \
            real *o = (real *)ptr[0]; \
            const real *x = (const real *)ptr[1]; \
            for (; i + VR <= n; i += VR) { \
                vr a = vr_load(x + i); \
                vr_store(o + i, expr); \
            } \
            if (i < n) { \
                vr a = vr_load_n(x + i, n - i); \
                vr_store_n(o + i, n - i, expr); \
            } \
            return; \
        } \
        for (; i < n; i += VR) { \
            real t[VR] = {0}; \
            int64_t m = n - i < VR ? n - i : VR; \
            FNN_LOAD_STRIDED(t, ptr[1] + i * s[1], s[1], m); \
            vr a = vr_load(t); \
            vr_store(t, expr); \
            FNN_STORE_STRIDED(ptr[0] + i * s[0], s[0], t, m); \
        } \
    }
#define FNN_BINARY_WORD(name, expr) \
    static void K(b_##name)(char *const *ptr, const int64_t *s, int64_t n) { \
        int64_t i = 0; \
        if (s[0] == sizeof(real) && s[1] == sizeof(real) && s[2] == sizeof(real)) { \
            real *o = (real *)ptr[0]; \
            const real *x = (const real *)ptr[1], *y = (const real *)ptr[2]; \
            for (; i + VR <= n; i += VR) { \
                vr a = vr_load(x + i), b = vr_load(y + i); \
                vr_store(o + i, expr); \
            } \
            if (i < n) { \
                vr a = vr_load_n(x + i, n - i), b = vr_load_n(y + i, n - i); \
                vr_store_n(o + i, n - i, expr); \
            } \
            return; \
        } \
        for (; i < n; i += VR) { \
            real t[VR] = {0}, u[VR] = {0}; \
            int64_t m = n - i < VR ? n - i : VR; \
            FNN_LOAD_STRIDED(t, ptr[1] + i * s[1], s[1], m); \
            FNN_LOAD_STRIDED(u, ptr[2] + i * s[2], s[2], m); \
            vr a = vr_load(t), b = vr_load(u); \
            vr_store(t, expr); \
            FNN_STORE_STRIDED(ptr[0] + i * s[0], s[0], t, m); \
        } \
    }
#define FNN_UNARY_R(name, expr) FNN_LOOP1(K(u_##name), real, real, real, expr)
#define FNN_UNARY_R_TO_BOOL(name, expr) FNN_LOOP1(K(u_##name), uint8_t, real, real, expr)
#define FNN_UNARY_TO_BOOL FNN_UNARY_R_TO_BOOL
#define FNN_BINARY_R(name, expr) FNN_LOOP2(K(b_##name), real, real, real, expr)
#define FNN_BINARY_TO_BOOL(name, expr) FNN_LOOP2(K(b_##name), uint8_t, real, real, expr)
#define FNN_TERNARY_R(name, expr) FNN_LOOP3(K(t_##name), real, real, real, expr)
#define FNN_TERNARY_RIU FNN_TERNARY_R
#define FNN_WHERE(name, expr) FNN_LOOP3(K(t_##name), real, uint8_t, real, expr)
#define FNN_QUATERNARY_R(name, expr) FNN_LOOP4(K(t_##name), real, expr)
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
#undef FNN_LOAD_STRIDED
#undef FNN_STORE_STRIDED
