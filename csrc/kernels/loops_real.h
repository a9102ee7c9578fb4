/* Elementwise loops over `real` (see isa/unit.inc): activations and their slopes as words, then the loops of loops.def.
 *
 * Invariant: a word loop runs every element through the same word function, whether it came by a full load, a masked tail or
 * a gather of strided elements: lanes do not see each other, so strides and n cannot change a result. */

/* ---- activations over words; formulas as in torch.nn.functional ---- */

/* Both gelus are max(x, 0) - |x| Q(|x|), Q a falling half: nothing cancels at negative x. With erf, x (1 + erf(x / sqrt 2)) / 2,
 * Q is the normal tail; with tanh, x (1 + tanh v) / 2, v = sqrt(2/pi) (x + 0.044715 x^3), it is 1 / (1 + e^(2 v)). */
static inline vr K(gelu_erf_word)(vr x) {
    const vr minus_t = vr_half_line(x);
    return vr_fma(minus_t, vr_normal_tail(minus_t), vr_max(vr_set1((real)-0.0), x));
}
static inline vr K(gelu_tanh_word)(vr x) {
    const vr minus_t = vr_half_line(x);
    return vr_fma(minus_t, vr_tanh_tail(minus_t), vr_max(vr_set1((real)-0.0), x));
}
/* d/dx: D(|x|) for x < 0, 1 - D(|x|) for x > 0, D(t) = (t Q(t))' */
static inline vr K(gelu_slope)(vr x, vr d) { return vr_select(vr_lt(x, vr_set1(0)), d, vr_sub(vr_set1(1), d)); }
static inline vr K(gelu_erf_slope)(vr x) { return K(gelu_slope)(x, vr_normal_bend(vr_half_line(x))); }
static inline vr K(gelu_tanh_slope)(vr x) { return K(gelu_slope)(x, vr_tanh_bend(vr_half_line(x))); }
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

/* a + w (b - a), from the nearer end */
static inline vr K(lerp_word)(vr a, vr b, vr w) {
    vr d = vr_sub(b, a), half = vr_set1((real)0.5);
    return vr_select(vr_lt(vr_abs(w), half), vr_fma(w, d, a), vr_fma(vr_sub(w, vr_set1(1)), d, b));
}

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
/* Operand k of the loops below: pointer and step. A number (stride 0) is laid out as a word and read again and again. */
#define FNN_OPERAND(k) \
    real fill##k[VR]; \
    const real *p##k = (const real *)ptr[k]; \
    const int64_t step##k = s[k] != 0; \
    if (!step##k) { \
        vr_store(fill##k, vr_set1(*p##k)); \
        p##k = fill##k; \
    }
#define FNN_DENSE(k) (s[k] == sizeof(real) || s[k] == 0)
#define FNN_WHOLE(name, k) const vr name = vr_load(p##k + i * step##k)
#define FNN_PART(name, k) const vr name = vr_load_n(p##k + i * step##k, n - i)
#define FNN_GATHER(name, k) \
    real g##k[VR] = {0}; \
    FNN_LOAD_STRIDED(g##k, ptr[k] + i * s[k], s[k], m); \
    const vr name = vr_load(g##k)
/* The same over several operands: ALL(what) applies a macro to each, `dense` tests their strides. */
#define FNN_WORDS(fn, ALL, operands, dense, expr) \
    static void fn(char *const *ptr, const int64_t *s, int64_t n) { \
        if (n <= 0) return; \
        if (s[0] == sizeof(real) && dense) { \
            real *o = (real *)ptr[0]; \
            int64_t i = 0; \
            operands; \
            for (; i + VR <= n; i += VR) { \
                ALL(FNN_WHOLE); \
                vr_store(o + i, expr); \
            } \
            if (i < n) { \
                ALL(FNN_PART); \
                vr_store_n(o + i, n - i, expr); \
            } \
            return; \
        } \
        for (int64_t i = 0; i < n; i += VR) { \
            real r[VR]; \
            const int64_t m = n - i < VR ? n - i : VR; \
            ALL(FNN_GATHER); \
            vr_store(r, expr); \
            FNN_STORE_STRIDED(ptr[0] + i * s[0], s[0], r, m); \
        } \
    }
#define FNN_OPERANDS2(what) what(a, 1); what(b, 2)
#define FNN_OPERANDS3(what) FNN_OPERANDS2(what); what(c, 3)
#define FNN_OPERANDS4(what) FNN_OPERANDS3(what); what(d, 4)
#define FNN_BINARY_WORD(name, expr) \
    FNN_WORDS(K(b_##name), FNN_OPERANDS2, FNN_OPERAND(1) FNN_OPERAND(2), FNN_DENSE(1) && FNN_DENSE(2), expr)
#define FNN_TERNARY_WORD(name, expr) \
    FNN_WORDS(K(t_##name), FNN_OPERANDS3, FNN_OPERAND(1) FNN_OPERAND(2) FNN_OPERAND(3), \
              FNN_DENSE(1) && FNN_DENSE(2) && FNN_DENSE(3), expr)
#define FNN_QUATERNARY_WORD(name, expr) \
    FNN_WORDS(K(t_##name), FNN_OPERANDS4, FNN_OPERAND(1) FNN_OPERAND(2) FNN_OPERAND(3) FNN_OPERAND(4), \
              FNN_DENSE(1) && FNN_DENSE(2) && FNN_DENSE(3) && FNN_DENSE(4), expr)
#define FNN_UNARY_R(name, expr) FNN_LOOP1(K(u_##name), real, real, real, expr)
#define FNN_UNARY_R_TO_BOOL(name, expr) FNN_LOOP1(K(u_##name), uint8_t, real, real, expr)
#define FNN_UNARY_TO_BOOL FNN_UNARY_R_TO_BOOL
#define FNN_BINARY_R(name, expr) FNN_LOOP2(K(b_##name), real, real, real, expr)
#define FNN_BINARY_TO_BOOL(name, expr) FNN_LOOP2(K(b_##name), uint8_t, real, real, expr)
#define FNN_TERNARY_RIU(name, expr) FNN_LOOP3(K(t_##name), real, real, real, expr)
#define FNN_WHERE(name, expr) FNN_LOOP3(K(t_##name), real, uint8_t, real, expr)
#include "kernels/loops.def"
#include "kernels/loops_end.inc"
#undef FNN_OPERAND
#undef FNN_DENSE
#undef FNN_WHOLE
#undef FNN_PART
#undef FNN_GATHER
#undef FNN_WORDS
#undef FNN_OPERANDS2
#undef FNN_OPERANDS3
#undef FNN_OPERANDS4
#undef FNN_LOAD_STRIDED
#undef FNN_STORE_STRIDED
