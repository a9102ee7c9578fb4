/* Pointwise ops of one operand. Integers and bools give floats where the function has no integer values.
 *
 * attrs: GELU: v[0].i 0 erf, 1 tanh. Formulas of the gradients stand beside each rule, y the saved output, x the input. */
#include "expr.h"
#include "pointwise.h"

static fnn_status plan_float(fnn_call *c) {
    int dtype = c->in[0]->dtype;
    return fnn_plan_pointwise(c, fnn_dtype_is_float(dtype) ? dtype : fnn_default_dtype, 1);
}
static fnn_status plan_keep(fnn_call *c) { return fnn_plan_pointwise(c, c->in[0]->dtype, 0.3); }
static fnn_status plan_bool(fnn_call *c) { return fnn_plan_pointwise(c, FNN_BOOL, 0.3); }

static fnn_status plan_real(fnn_call *c) { /* activations of torch that refuse integers */
    if (!fnn_dtype_is_float(c->in[0]->dtype))
        return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: input has dtype %s, expected a floating point dtype", c->op->name, fnn_dtype_name(c->in[0]->dtype));
    return plan_float(c);
}
static fnn_status plan_logsigmoid(fnn_call *c) {
    FNN_TRY(plan_real(c));
    fnn_tensor_set_geometry(c->out, c->out->ndim, c->out->shape, NULL); /* contiguous, as torch's */
    return FNN_OK;
}

static fnn_status plan_neg(fnn_call *c) {
    if (c->in[0]->dtype == FNN_BOOL)
        return fnn_fail(FNN_ERR_RUNTIME, "neg: Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert "
                                         "a mask, use the `~` or `logical_not()` operator instead.");
    return plan_keep(c);
}

static fnn_status plan_number(fnn_call *c) { /* abs and roundings: torch refuses truth values */
    if (c->in[0]->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: input has dtype bool, expected a number dtype", c->op->name);
    return plan_keep(c);
}

static fnn_status plan_relu(fnn_call *c) {
    if (c->in[0]->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_RUNTIME, "relu: input has dtype bool: Boolean inputs not supported for relu");
    return plan_keep(c);
}

static fnn_status plan_square(fnn_call *c) { /* x to the power 2, an integer: truth values become integers */
    int dtype = c->in[0]->dtype;
    return fnn_plan_pointwise(c, dtype == FNN_BOOL ? FNN_I64 : dtype, 0.3);
}

static fnn_status plan_bits(fnn_call *c) {
    if (fnn_dtype_is_float(c->in[0]->dtype))
        return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "bitwise_not: input has dtype %s, expected integers or bool", fnn_dtype_name(c->in[0]->dtype));
    return plan_keep(c);
}

static fnn_status forward(fnn_call *c) {
    int dtype = c->out[0].dtype;
    return fnn_run_loop(c->op->name, fnn_k.unary[c->op->loop][dtype], c->out, c->in, 1, dtype, 1);
}

/* Functions that leave integers as they are (floor, abs of bool). */
static fnn_status forward_keep(fnn_call *c) {
    int dtype = c->in[0]->dtype;
    fnn_loop loop = fnn_k.unary[c->op->loop][dtype];
    return fnn_run_loop(c->op->name, loop ? loop : fnn_k.cast[dtype][dtype], c->out, c->in, 1, dtype, 0.3);
}

static fnn_status forward_test(fnn_call *c) {
    int dtype = c->in[0]->dtype;
    fnn_loop loop = fnn_k.unary[c->op->loop][dtype];
    if (loop) return fnn_run_loop(c->op->name, loop, c->out, c->in, 1, dtype, 0.3);
    int64_t value = c->op == &fnn_op_ISFINITE; /* integers are finite, never NaN or infinite */
    fnn_tensor number = fnn_number_i64(&value);
    return fnn_copy_into(c->out, &number);
}

static fnn_status forward_gelu(fnn_call *c) {
    int dtype = c->out[0].dtype, loop = c->attrs && c->attrs->v[0].i ? FNN_U_gelu_tanh : FNN_U_gelu_erf;
    return fnn_run_loop("gelu", fnn_k.unary[loop][dtype], c->out, c->in, 1, dtype, 2);
}

/* ---- gradients ---- */

/* dy * f for a factor made by `slope`. Each is one formula. */
typedef const fnn_tensor *(*slope_fn)(fnn_expr *x, const fnn_tensor *in, const fnn_tensor *out);
#define SLOPE(name, expression)                                                                        \
    static const fnn_tensor *name(fnn_expr *x, const fnn_tensor *in, const fnn_tensor *out) {          \
        (void)x, (void)in, (void)out;                                                                         \
        return expression;                                                                             \
    }
#define NUM(v) fnn_xnum(x, v)
#define MUL(a, b) fnn_x2(x, &fnn_op_MUL, a, b)
#define ADD(a, b) fnn_x2(x, &fnn_op_ADD, a, b)
#define SUB(a, b) fnn_x2(x, &fnn_op_SUB, a, b)
#define F(op, a) fnn_x1(x, &fnn_op_##op, a)

SLOPE(slope_abs, F(SIGN, in))
SLOPE(slope_exp, out)
SLOPE(slope_exp2, MUL(out, NUM(0.69314718055994530942)))
SLOPE(slope_expm1, ADD(out, NUM(1)))
SLOPE(slope_reciprocal, F(NEG, MUL(out, out)))
SLOPE(slope_square, MUL(in, NUM(2)))
SLOPE(slope_sin, F(COS, in))
SLOPE(slope_cos, F(NEG, F(SIN, in)))
SLOPE(slope_tan, ADD(F(SQUARE, out), NUM(1)))
SLOPE(slope_asin, F(RSQRT, SUB(NUM(1), F(SQUARE, in))))
SLOPE(slope_acos, F(NEG, F(RSQRT, SUB(NUM(1), F(SQUARE, in)))))
SLOPE(slope_atan, F(RECIPROCAL, ADD(F(SQUARE, in), NUM(1))))
SLOPE(slope_sinh, F(COSH, in))
SLOPE(slope_cosh, F(SINH, in))
SLOPE(slope_lgamma, F(DIGAMMA, in))
SLOPE(slope_erf, MUL(F(EXP, F(NEG, F(SQUARE, in))), NUM(1.12837916709551257390)))   /* 2/sqrt(pi) e^(-x^2) */
SLOPE(slope_erfc, MUL(F(EXP, F(NEG, F(SQUARE, in))), NUM(-1.12837916709551257390)))
SLOPE(slope_erfinv, MUL(F(EXP, F(SQUARE, out)), NUM(0.88622692545275801365)))        /* sqrt(pi)/2 e^(y^2) */

static fnn_status back_slope(fnn_backcall *b, slope_fn slope) {
    FNN_EXPR(x);
    const fnn_tensor *factor = slope(&x, &b->in[0], &b->out[0]);
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MUL, b->dy[0], factor));
}
#define BACK(name) \
    static fnn_status back_##name(fnn_backcall *b) { return back_slope(b, slope_##name); }
BACK(abs) BACK(exp) BACK(exp2) BACK(expm1) BACK(reciprocal) BACK(square) BACK(sin) BACK(cos) BACK(tan) BACK(asin)
BACK(acos) BACK(atan) BACK(sinh) BACK(cosh) BACK(erf) BACK(erfc) BACK(erfinv) BACK(lgamma)

static fnn_status back_neg(fnn_backcall *b) { return fnn_run1(&fnn_op_NEG, &b->dx[0], b->dy[0], NULL); }

/* dy / (scale * x + shift), the order in which torch divides */
static fnn_status back_quotient(fnn_backcall *b, double scale, double shift) {
    FNN_EXPR(x);
    const fnn_tensor *d = &b->in[0];
    if (scale != 1) d = fnn_x2(&x, &fnn_op_MUL, d, fnn_xnum(&x, scale));
    if (shift != 0) d = fnn_x2(&x, &fnn_op_ADD, d, fnn_xnum(&x, shift));
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_DIV, b->dy[0], d));
}
static fnn_status back_log(fnn_backcall *b) { return back_quotient(b, 1, 0); }
static fnn_status back_log2(fnn_backcall *b) { return back_quotient(b, 0.69314718055994530942, 0); }
static fnn_status back_log10(fnn_backcall *b) { return back_quotient(b, 2.30258509299404568402, 0); }
static fnn_status back_log1p(fnn_backcall *b) { return back_quotient(b, 1, 1); }

static fnn_status back_sqrt(fnn_backcall *b) { /* dy / (2 y) */
    FNN_EXPR(x);
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_DIV, b->dy[0], fnn_x2(&x, &fnn_op_MUL, &b->out[0], fnn_xnum(&x, 2))));
}
static fnn_status back_rsqrt(fnn_backcall *b) { /* (-0.5 dy) y^3 */
    FNN_EXPR(x);
    const fnn_tensor *half = fnn_x2(&x, &fnn_op_MUL, b->dy[0], fnn_xnum(&x, -0.5));
    return fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MUL, half, fnn_x2(&x, &fnn_op_POW, &b->out[0], fnn_xnum(&x, 3))));
}
static fnn_status back_step(fnn_backcall *b) { return fnn_zeros(&b->dx[0], &b->in_geom[0]); }

static fnn_status back_tanh(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_tanh_backward, b->dy[0], &b->out[0]); }
static fnn_status back_sigmoid(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_sigmoid_backward, b->dy[0], &b->out[0]); }
static fnn_status back_relu(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_relu_backward, b->dy[0], &b->out[0]); }
static fnn_status back_silu(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_silu_backward, b->dy[0], &b->in[0]); }
static fnn_status back_softplus(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_softplus_backward, b->dy[0], &b->in[0]); }
static fnn_status back_logsigmoid(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_logsigmoid_backward, b->dy[0], &b->in[0]); }
static fnn_status back_digamma(fnn_backcall *b) { return fnn_slope(&b->dx[0], FNN_B_digamma_backward, b->dy[0], &b->in[0]); }
static fnn_status back_gelu(fnn_backcall *b) {
    int loop = b->attrs && b->attrs->v[0].i ? FNN_B_gelu_tanh_backward : FNN_B_gelu_erf_backward;
    return fnn_slope(&b->dx[0], loop, b->dy[0], &b->in[0]);
}

/* ---- descriptors ---- */

#define UNARY(NAME, text, grad, the_loop, the_plan, the_forward, ...)                                                                \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = 1, .flags = FNN_F_ELEMENTWISE, .loop = FNN_U_##the_loop, \
                                  .plan = the_plan, .forward = the_forward, __VA_ARGS__};
#define FROM_X .save_in = {1}
#define FROM_Y .save_out = 1

UNARY(NEG, "neg", "NegBackward0", neg, plan_neg, forward, .backward = back_neg)
UNARY(ABS, "abs", "AbsBackward0", abs, plan_number, forward_keep, FROM_X, .backward = back_abs)
UNARY(SIGN, "sign", "SignBackward0", sign, plan_keep, forward_keep, .backward = back_step)
UNARY(EXP, "exp", "ExpBackward0", exp, plan_float, forward, FROM_Y, .backward = back_exp)
UNARY(EXP2, "exp2", "Exp2Backward0", exp2, plan_float, forward, FROM_Y, .backward = back_exp2)
UNARY(EXPM1, "expm1", "Expm1Backward0", expm1, plan_float, forward, FROM_Y, .backward = back_expm1)
UNARY(LOG, "log", "LogBackward0", log, plan_float, forward, FROM_X, .backward = back_log)
UNARY(LOG2, "log2", "Log2Backward0", log2, plan_float, forward, FROM_X, .backward = back_log2)
UNARY(LOG10, "log10", "Log10Backward0", log10, plan_float, forward, FROM_X, .backward = back_log10)
UNARY(LOG1P, "log1p", "Log1PBackward0", log1p, plan_float, forward, FROM_X, .backward = back_log1p)
UNARY(SQRT, "sqrt", "SqrtBackward0", sqrt, plan_float, forward, FROM_Y, .backward = back_sqrt)
UNARY(RSQRT, "rsqrt", "RsqrtBackward0", rsqrt, plan_float, forward, FROM_Y, .backward = back_rsqrt)
UNARY(RECIPROCAL, "reciprocal", "ReciprocalBackward0", reciprocal, plan_float, forward, FROM_Y, .backward = back_reciprocal)
UNARY(SQUARE, "square", "PowBackward0", square, plan_square, forward, FROM_X, .backward = back_square)
UNARY(SIN, "sin", "SinBackward0", sin, plan_float, forward, FROM_X, .backward = back_sin)
UNARY(COS, "cos", "CosBackward0", cos, plan_float, forward, FROM_X, .backward = back_cos)
UNARY(TAN, "tan", "TanBackward0", tan, plan_float, forward, FROM_Y, .backward = back_tan)
UNARY(ASIN, "asin", "AsinBackward0", asin, plan_float, forward, FROM_X, .backward = back_asin)
UNARY(ACOS, "acos", "AcosBackward0", acos, plan_float, forward, FROM_X, .backward = back_acos)
UNARY(ATAN, "atan", "AtanBackward0", atan, plan_float, forward, FROM_X, .backward = back_atan)
UNARY(SINH, "sinh", "SinhBackward0", sinh, plan_float, forward, FROM_X, .backward = back_sinh)
UNARY(COSH, "cosh", "CoshBackward0", cosh, plan_float, forward, FROM_X, .backward = back_cosh)
UNARY(TANH, "tanh", "TanhBackward0", tanh, plan_float, forward, FROM_Y, .backward = back_tanh)
UNARY(SIGMOID, "sigmoid", "SigmoidBackward0", sigmoid, plan_float, forward, FROM_Y, .backward = back_sigmoid)
UNARY(ERF, "erf", "ErfBackward0", erf, plan_float, forward, FROM_X, .backward = back_erf)
UNARY(ERFC, "erfc", "ErfcBackward0", erfc, plan_float, forward, FROM_X, .backward = back_erfc)
UNARY(ERFINV, "erfinv", "ErfinvBackward0", erfinv, plan_float, forward, FROM_Y, .backward = back_erfinv)
UNARY(LGAMMA, "lgamma", "LgammaBackward0", lgamma, plan_float, forward, FROM_X, .backward = back_lgamma)
UNARY(DIGAMMA, "digamma", "DigammaBackward0", digamma, plan_float, forward, FROM_X, .backward = back_digamma)
UNARY(FLOOR, "floor", "FloorBackward0", floor, plan_number, forward_keep, .backward = back_step)
UNARY(CEIL, "ceil", "CeilBackward0", ceil, plan_number, forward_keep, .backward = back_step)
UNARY(ROUND, "round", "RoundBackward0", round, plan_number, forward_keep, .backward = back_step)
UNARY(TRUNC, "trunc", "TruncBackward0", trunc, plan_number, forward_keep, .backward = back_step)
UNARY(RELU, "relu", "ReluBackward0", relu, plan_relu, forward_keep, FROM_Y, .backward = back_relu)
UNARY(GELU, "gelu", "GeluBackward0", gelu_erf, plan_real, forward_gelu, FROM_X, .backward = back_gelu)
UNARY(SILU, "silu", "SiluBackward0", silu, plan_real, forward, FROM_X, .backward = back_silu)
UNARY(SOFTPLUS, "softplus", "SoftplusBackward0", softplus, plan_real, forward, FROM_X, .backward = back_softplus)
UNARY(LOGSIGMOID, "log_sigmoid", "LogSigmoidBackward0", logsigmoid, plan_logsigmoid, forward, FROM_X, .backward = back_logsigmoid)

#define FLAT(NAME, text, the_loop, the_plan, the_forward)                                                             \
    const fnn_op fnn_op_##NAME = {.name = text, .n_in = 1, .n_out = 1, .flags = FNN_F_ELEMENTWISE | FNN_F_NO_GRAD, \
                                  .loop = FNN_U_##the_loop, .plan = the_plan, .forward = the_forward};
FLAT(LOGICAL_NOT, "logical_not", logical_not, plan_bool, forward_test)
FLAT(BITWISE_NOT, "bitwise_not", bitwise_not, plan_bits, forward_keep)
FLAT(ISNAN, "isnan", isnan, plan_bool, forward_test)
FLAT(ISINF, "isinf", isinf, plan_bool, forward_test)
FLAT(ISFINITE, "isfinite", isfinite, plan_bool, forward_test)
