/* Pointwise ops of two operands: arithmetic, comparisons, logic. in[0], in[1] broadcast; either may be a number.
 *
 * The result's dtype follows torch's promotion; comparisons and logic give bool; true division gives floats.
 * attrs: ADD, SUB: v[0].f alpha (NULL attrs: 1). DIV: v[0].i rounding (0 none, 1 trunc, 2 floor). */
#include <math.h>

#include "expr.h"
#include "grad_names.h"
#include "pointwise.h"

/* ---- plans ---- */

static fnn_status plan_arithmetic(fnn_call *c) { return fnn_plan_pointwise(c, fnn_promote(c->in, 2), 0.5); }
static fnn_status plan_activation(fnn_call *c) { /* leaky_relu, elu: torch has them for floats */
    int dtype = c->in[0]->dtype;
    if (!fnn_dtype_is_float(dtype)) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: input has dtype %s, expected a floating point dtype", c->op->name, fnn_dtype_name((fnn_dtype)dtype));
    return plan_arithmetic(c);
}
static fnn_status plan_pow(fnn_call *c) {
    FNN_TRY(plan_arithmetic(c));
    if (c->in[0]->flags & FNN_T_NUMBER) fnn_tensor_set_geometry(c->out, c->out->ndim, c->out->shape, NULL); /* contiguous, as torch's */
    return FNN_OK;
}
static fnn_status plan_compare(fnn_call *c) { return fnn_plan_pointwise(c, FNN_BOOL, 0.5); }

static fnn_status plan_float(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    return fnn_plan_pointwise(c, fnn_dtype_is_float(dtype) ? dtype : fnn_default_dtype, 0.7);
}

/* Quotients and remainders, which truth values have none of. */
static fnn_status plan_slow(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    if (dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for bool", c->op->name);
    return fnn_plan_pointwise(c, dtype, 15);
}

static double alpha_of(const fnn_attrs *attrs) { return attrs ? attrs->v[0].f : 1.0; }

static fnn_status plan_add(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    if (dtype == FNN_BOOL && c->op == &fnn_op_SUB)
        return fnn_fail(FNN_ERR_RUNTIME, "sub: Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                                         "`logical_xor()` operator instead.");
    if (c->op == &fnn_op_SUB && (c->in[0]->dtype == FNN_BOOL || c->in[1]->dtype == FNN_BOOL))
        return fnn_fail(FNN_ERR_RUNTIME, "sub: Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                                         "mask, use the `~` or `logical_not()` operator instead.");
    double alpha = alpha_of(c->attrs);
    if (!fnn_dtype_is_float(dtype) && alpha != floor(alpha))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: For integral input tensors, argument alpha must not be a floating point number.", c->op->name);
    return fnn_plan_pointwise(c, dtype, 0.5);
}

static fnn_status plan_bits(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    if (fnn_dtype_is_float(dtype))
        return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for dtype %s, expected integers or bool", c->op->name, fnn_dtype_name((fnn_dtype)dtype));
    return fnn_plan_pointwise(c, dtype, 0.5);
}

static int rounding(const fnn_attrs *attrs) { return attrs ? (int)attrs->v[0].i : 0; }

static fnn_status plan_div(fnn_call *c) {
    return rounding(c->attrs) ? plan_arithmetic(c) : plan_float(c);
}

/* Integer division by zero has no value to give. */
static fnn_status inspect_divisor(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    if (fnn_dtype_is_float(dtype) || fnn_dtype_is_float(c->out[0].dtype)) return FNN_OK;
    int64_t zero = 0;
    fnn_tensor number = fnn_number_i64(&zero), hit, any;
    FNN_TRY(fnn_run2(&fnn_op_EQ, &hit, c->in[1], &number));
    fnn_attrs all = {.list[0].n = -1};
    fnn_status status = fnn_run1(&fnn_op_ANY, &any, &hit, &all);
    fnn_tensor_unref(&hit);
    if (status) return status;
    bool found = *any.data;
    fnn_tensor_unref(&any);
    if (found && c->out[0].numel) return fnn_fail(FNN_ERR_RUNTIME, "%s: ZeroDivisionError: integer division or modulo by zero", c->op->name);
    return FNN_OK;
}

static fnn_status inspect_pow(fnn_call *c) {
    const fnn_tensor *e = c->in[1];
    if (fnn_dtype_is_float(fnn_promote(c->in, 2)) || !(e->flags & FNN_T_NUMBER) || e->dtype != FNN_I64 || *(int64_t *)e->data >= 0) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "pow: Integers to negative integer powers are not allowed.");
}

/* ---- forward ---- */

static fnn_status forward_same(fnn_call *c) {
    int dtype = c->out[0].dtype;
    return fnn_run_loop(c->op->name, fnn_k.binary[c->op->loop][dtype], c->out, c->in, 2, dtype, 0.5);
}

static fnn_status forward_compare(fnn_call *c) {
    int dtype = fnn_promote(c->in, 2);
    return fnn_run_loop(c->op->name, fnn_k.binary[c->op->loop][dtype], c->out, c->in, 2, dtype, 0.5);
}

/* a + alpha b, rounded once as torch does for floats. */
static fnn_status forward_add(fnn_call *c) {
    double alpha = alpha_of(c->attrs);
    if (alpha == 1) return forward_same(c);
    int dtype = c->out[0].dtype;
    double signed_alpha = c->op == &fnn_op_SUB ? -alpha : alpha;
    fnn_tensor factor = fnn_number_f64(&signed_alpha);
    if (fnn_dtype_is_float(dtype)) {
        const fnn_tensor *in[3] = {c->in[0], c->in[1], &factor};
        return fnn_run_loop(c->op->name, fnn_k.ternary[FNN_T_axpy][dtype], c->out, in, 3, dtype, 0.6);
    }
    int64_t whole = (int64_t)signed_alpha;
    factor = fnn_number_i64(&whole);
    fnn_tensor scaled;
    FNN_TRY(fnn_run2(&fnn_op_MUL, &scaled, c->in[1], &factor));
    const fnn_tensor *in[2] = {c->in[0], &scaled};
    fnn_status status = fnn_run_loop("add", fnn_k.binary[FNN_B_add][dtype], c->out, in, 2, dtype, 0.5);
    fnn_tensor_unref(&scaled);
    return status;
}

static fnn_status forward_div(fnn_call *c) {
    int dtype = c->out[0].dtype, mode = rounding(c->attrs);
    if (mode == 2) return fnn_run_loop("div", fnn_k.binary[FNN_B_floor_divide][dtype], c->out, c->in, 2, dtype, 5);
    if (mode == 1 && !fnn_dtype_is_float(dtype)) return fnn_run_loop("div", fnn_k.binary[FNN_B_trunc_divide][dtype], c->out, c->in, 2, dtype, 5);
    FNN_TRY(forward_same(c));
    if (mode == 1) {
        const fnn_tensor *in = c->out;
        fnn_iterate(fnn_k.unary[FNN_U_trunc][dtype], c->out, &in, 1, 0.5);
    }
    return FNN_OK;
}

/* The exponents torch computes by multiplication and roots. */
static int pow_special(double e) {
    static const double values[] = {2, 3, 0.5, -0.5, -1, -2};
    for (int i = 0; i < 6; i++)
        if (e == values[i]) return i;
    return -1;
}

static fnn_status forward_pow(fnn_call *c) {
    const fnn_tensor *e = c->in[1];
    int dtype = c->out[0].dtype, special = -1;
    if (dtype == FNN_BOOL && (e->flags & FNN_T_NUMBER)) { /* b ** True is b, b ** False is True */
        int64_t yes = 1;
        fnn_tensor one = fnn_number_i64(&yes);
        return fnn_copy_into(&c->out[0], *(bool *)e->data ? c->in[0] : &one);
    }
    if ((e->flags & FNN_T_NUMBER) && fnn_dtype_is_float(dtype))
        special = pow_special(e->dtype == FNN_F64 ? *(double *)e->data : (double)*(int64_t *)e->data);
    if (special < 0) return fnn_run_loop("pow", fnn_k.binary[FNN_B_pow][dtype], c->out, c->in, 2, dtype, 4);
    static const int loops[] = {FNN_U_square, FNN_U_cube, FNN_U_sqrt, FNN_U_rsqrt, FNN_U_reciprocal, FNN_U_reciprocal_square};
    return fnn_run_loop("pow", fnn_k.unary[loops[special]][dtype], c->out, c->in, 1, dtype, 0.6);
}

/* ---- backward ---- */

static fnn_status back_add(fnn_backcall *b) {
    double alpha = alpha_of(b->attrs);
    if (b->need[0]) FNN_TRY(fnn_sum_to(&b->dx[0], b->dy[0], &b->in_geom[0]));
    if (!b->need[1]) return FNN_OK;
    if (b->op == &fnn_op_SUB) alpha = -alpha;
    if (alpha == 1) return fnn_sum_to(&b->dx[1], b->dy[0], &b->in_geom[1]);
    FNN_EXPR(x);
    const fnn_tensor *scaled = alpha == -1 ? fnn_x1(&x, &fnn_op_NEG, b->dy[0]) : fnn_x2(&x, &fnn_op_MUL, b->dy[0], fnn_xnum(&x, alpha));
    return fnn_give_sum(&x, &b->dx[1], scaled, &b->in_geom[1]);
}

static fnn_status back_mul(fnn_backcall *b) {
    for (int i = 0; i < 2; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], fnn_x2(&x, &fnn_op_MUL, b->dy[0], &b->in[1 - i]), &b->in_geom[i]));
    }
    return FNN_OK;
}

static fnn_status back_div(fnn_backcall *b) {
    if (rounding(b->attrs)) { /* steps are flat */
        for (int i = 0; i < 2; i++)
            if (b->need[i]) FNN_TRY(fnn_zeros(&b->dx[i], &b->in_geom[i]));
        return FNN_OK;
    }
    const fnn_tensor *dy = b->dy[0];
    if (b->need[0]) {
        FNN_EXPR(x);
        FNN_TRY(fnn_give_sum(&x, &b->dx[0], fnn_x2(&x, &fnn_op_DIV, dy, &b->in[1]), &b->in_geom[0]));
    }
    if (!b->need[1]) return FNN_OK;
    FNN_EXPR(x); /* -dy * ((a / b) / b) */
    const fnn_tensor *ratio = fnn_x2(&x, &fnn_op_DIV, fnn_x2(&x, &fnn_op_DIV, &b->in[0], &b->in[1]), &b->in[1]);
    return fnn_give_sum(&x, &b->dx[1], fnn_x2(&x, &fnn_op_MUL, fnn_x1(&x, &fnn_op_NEG, dy), ratio), &b->in_geom[1]);
}

/* dx = dy (2 x) or dy (3 x^2) in one pass, rounded as the formula of any other exponent rounds. */
static fnn_status whole_power(fnn_tensor *dx, const fnn_tensor *dy, const fnn_tensor *base, double exponent) {
    const fnn_tensor number = fnn_number_f64(&exponent), *in[3] = {dy, base, &number};
    fnn_tensor out = {.dtype = dy->dtype};
    fnn_tensor_set_geometry(&out, dy->ndim, dy->shape, NULL);
    fnn_keep_layout(&out, in, 2);
    FNN_TRY(fnn_tensor_alloc(&out));
    *dx = out;
    return fnn_run_loop("pow", fnn_k.ternary[exponent == 2 ? FNN_T_square_backward : FNN_T_cube_backward][dy->dtype], &out, in, 3, dy->dtype, 0.7);
}

/* dy * (e * base^(e-1)); zero where e is 0. A number keeps its weight in promotion when it is saved. */
static fnn_status back_base(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *base = &b->in[0], *e = &b->in[1];
    FNN_EXPR(x);
    const fnn_tensor *slope;
    if ((e->flags & FNN_T_NUMBER) || e->ndim == 0) {
        double value = 0;
        char *ptr[2] = {(char *)&value, e->data};
        int64_t stride[2] = {0, 0};
        fnn_k.cast[e->dtype][FNN_F64](ptr, stride, 1);
        if (value == 0) return fnn_zeros(&b->dx[0], &b->in_geom[0]);
        if ((value == 2 || value == 3) && base->dtype == dy->dtype && fnn_same_shape(base, dy)) return whole_power(&b->dx[0], dy, base, value);
        slope = fnn_x2(&x, &fnn_op_MUL, fnn_x2(&x, &fnn_op_POW, base, fnn_xnum(&x, value - 1)), fnn_xnum(&x, value));
    } else {
        const fnn_tensor *less = fnn_x2(&x, &fnn_op_SUB, e, fnn_xnum(&x, 1));
        const fnn_tensor *plain = fnn_x2(&x, &fnn_op_MUL, e, fnn_x2(&x, &fnn_op_POW, base, less));
        slope = fnn_x3(&x, &fnn_op_WHERE, fnn_x2(&x, &fnn_op_EQ, e, fnn_xnum(&x, 0)), fnn_xnum(&x, 0), plain);
    }
    return fnn_give_sum(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MUL, dy, slope), &b->in_geom[0]);
}

/* The exponent's gradient is dy * y * log(base), zero where base is 0 and e >= 0. y is computed anew: an exponent rarely wants
 * a gradient, and a kept y would be one more tensor in memory for each x**3 of a model. */
static fnn_status back_pow(fnn_backcall *b) {
    if (b->need[0]) FNN_TRY(back_base(b));
    if (!b->need[1]) return FNN_OK;
    const fnn_tensor *dy = b->dy[0], *base = &b->in[0], *e = &b->in[1];
    FNN_EXPR(x);
    const fnn_tensor *slope = fnn_x2(&x, &fnn_op_MUL, fnn_x2(&x, &fnn_op_POW, base, e), fnn_x1(&x, &fnn_op_LOG, fnn_xto(&x, base, dy->dtype)));
    const fnn_tensor *flat = fnn_x2(&x, &fnn_op_LOGICAL_AND, fnn_x2(&x, &fnn_op_EQ, base, fnn_xnum(&x, 0)), fnn_x2(&x, &fnn_op_GE, e, fnn_xnum(&x, 0)));
    const fnn_tensor *safe = fnn_x3(&x, &fnn_op_WHERE, flat, fnn_xnum(&x, 0), slope);
    return fnn_give_sum(&x, &b->dx[1], fnn_x2(&x, &fnn_op_MUL, dy, safe), &b->in_geom[1]);
}

/* The larger (smaller) one gets the gradient; equals share it. */
static fnn_status back_extreme(fnn_backcall *b) {
    const fnn_op *wins = b->op == &fnn_op_MAXIMUM ? &fnn_op_GT : &fnn_op_LT;
    for (int i = 0; i < 2; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *half = fnn_x2(&x, &fnn_op_DIV, b->dy[0], fnn_xnum(&x, 2));
        const fnn_tensor *tie = fnn_x2(&x, &fnn_op_EQ, &b->in[i], &b->in[1 - i]);
        const fnn_tensor *win = fnn_x2(&x, wins, &b->in[i], &b->in[1 - i]);
        const fnn_tensor *alone = fnn_x3(&x, &fnn_op_WHERE, win, b->dy[0], fnn_xnum(&x, 0));
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], fnn_x3(&x, &fnn_op_WHERE, tie, half, alone), &b->in_geom[i]));
    }
    return FNN_OK;
}

static fnn_status back_atan2(fnn_backcall *b) {
    for (int i = 0; i < 2; i++) { /* d/da = b / (a^2 + b^2), d/db = -a / (a^2 + b^2) */
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *norm = fnn_x2(&x, &fnn_op_ADD, fnn_x1(&x, &fnn_op_SQUARE, &b->in[0]), fnn_x1(&x, &fnn_op_SQUARE, &b->in[1]));
        const fnn_tensor *top = i == 0 ? &b->in[1] : fnn_x1(&x, &fnn_op_NEG, &b->in[0]);
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], fnn_x2(&x, &fnn_op_MUL, b->dy[0], fnn_x2(&x, &fnn_op_DIV, top, norm)), &b->in_geom[i]));
    }
    return FNN_OK;
}

/* a - b * round(a / b): the quotient is a step function, so d/da = 1 and d/db = -round(a / b). */
static fnn_status back_modulo(fnn_backcall *b) {
    if (b->need[0]) FNN_TRY(fnn_sum_to(&b->dx[0], b->dy[0], &b->in_geom[0]));
    if (!b->need[1]) return FNN_OK;
    FNN_EXPR(x);
    const fnn_op *round = b->op == &fnn_op_FMOD ? &fnn_op_TRUNC : &fnn_op_FLOOR;
    const fnn_tensor *quotient = fnn_x1(&x, round, fnn_x2(&x, &fnn_op_DIV, &b->in[0], &b->in[1]));
    const fnn_tensor *slope = fnn_x1(&x, &fnn_op_NEG, quotient);
    return fnn_give_sum(&x, &b->dx[1], fnn_x2(&x, &fnn_op_MUL, b->dy[0], slope), &b->in_geom[1]);
}

/* x > 0 ? x : slope x */
static fnn_status back_leaky_relu(fnn_backcall *b) {
    FNN_EXPR(x);
    const fnn_tensor *positive = fnn_x2(&x, &fnn_op_GT, &b->in[0], fnn_xnum(&x, 0));
    const fnn_tensor *scaled = fnn_x2(&x, &fnn_op_MUL, b->dy[0], &b->in[1]);
    return fnn_give(&x, &b->dx[0], fnn_x3(&x, &fnn_op_WHERE, positive, b->dy[0], scaled));
}

/* x > 0 ? x : alpha (e^x - 1); the slope below zero is y + alpha */
static fnn_status back_elu(fnn_backcall *b) {
    FNN_EXPR(x);
    const fnn_tensor *positive = fnn_x2(&x, &fnn_op_GT, &b->in[0], fnn_xnum(&x, 0));
    const fnn_tensor *below = fnn_x2(&x, &fnn_op_MUL, b->dy[0], fnn_x2(&x, &fnn_op_ADD, &b->out[0], &b->in[1]));
    return fnn_give(&x, &b->dx[0], fnn_x3(&x, &fnn_op_WHERE, positive, b->dy[0], below));
}

/* ---- descriptors ---- */

#define BINARY(NAME, text, grad, the_loop, the_plan, the_forward, ...)                                                              \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 2, .n_out = 1, .flags = FNN_F_ELEMENTWISE, .loop = FNN_B_##the_loop, \
                                  .plan = the_plan, .forward = the_forward, __VA_ARGS__};
#define FLAT(NAME, text, the_loop, the_plan, the_forward)                                                                  \
    const fnn_op fnn_op_##NAME = {.name = text, .n_in = 2, .n_out = 1, .flags = FNN_F_ELEMENTWISE | FNN_F_NO_GRAD,       \
                                  .loop = FNN_B_##the_loop, .plan = the_plan, .forward = the_forward};

BINARY(ADD, "add", "AddBackward0", add, plan_add, forward_add, .backward = back_add)
BINARY(SUB, "sub", "SubBackward0", sub, plan_add, forward_add, .grad_name_of = fnn_grad_name_sub, .backward = back_add)
BINARY(MUL, "mul", "MulBackward0", mul, plan_arithmetic, forward_same, .save_in = {2, 1}, .backward = back_mul)
BINARY(DIV, "div", "DivBackward0", div, plan_div, forward_div, .grad_name_of = fnn_grad_name_div, .inspect = inspect_divisor, .save_in = {2, 3}, .backward = back_div)
BINARY(POW, "pow", "PowBackward0", pow, plan_pow, forward_pow, .grad_name_of = fnn_grad_name_pow, .inspect = inspect_pow, .save_in = {3, 3}, .backward = back_pow)
BINARY(MAXIMUM, "maximum", "MaximumBackward0", maximum, plan_arithmetic, forward_same, .save_in = {3, 3}, .backward = back_extreme)
BINARY(MINIMUM, "minimum", "MinimumBackward0", minimum, plan_arithmetic, forward_same, .save_in = {3, 3}, .backward = back_extreme)
BINARY(ATAN2, "atan2", "Atan2Backward0", atan2, plan_float, forward_same, .save_in = {3, 3}, .backward = back_atan2)
BINARY(FMOD, "fmod", "FmodBackward0", fmod, plan_slow, forward_same, .inspect = inspect_divisor, .save_in = {0, 3}, .backward = back_modulo)
BINARY(REMAINDER, "remainder", "RemainderBackward0", remainder, plan_slow, forward_same, .inspect = inspect_divisor, .save_in = {0, 3}, .backward = back_modulo)
BINARY(LEAKY_RELU, "leaky_relu", "LeakyReluBackward0", leaky_relu, plan_activation, forward_same, .no_grad_in = 2, .save_in = {3}, .backward = back_leaky_relu)
BINARY(ELU, "elu", "EluBackward0", elu, plan_activation, forward_same, .no_grad_in = 2, .save_in = {3}, .save_out = 1, .backward = back_elu)
FLAT(EQ, "eq", eq, plan_compare, forward_compare)
FLAT(NE, "ne", ne, plan_compare, forward_compare)
FLAT(LT, "lt", lt, plan_compare, forward_compare)
FLAT(LE, "le", le, plan_compare, forward_compare)
FLAT(GT, "gt", gt, plan_compare, forward_compare)
FLAT(GE, "ge", ge, plan_compare, forward_compare)
FLAT(LOGICAL_AND, "logical_and", logical_and, plan_compare, forward_compare)
FLAT(LOGICAL_OR, "logical_or", logical_or, plan_compare, forward_compare)
FLAT(LOGICAL_XOR, "logical_xor", logical_xor, plan_compare, forward_compare)
FLAT(BITWISE_AND, "bitwise_and", bitwise_and, plan_bits, forward_same)
FLAT(BITWISE_OR, "bitwise_or", bitwise_or, plan_bits, forward_same)
FLAT(BITWISE_XOR, "bitwise_xor", bitwise_xor, plan_bits, forward_same)
FLAT(LSHIFT, "bitwise_left_shift", lshift, plan_bits, forward_same)
FLAT(RSHIFT, "bitwise_right_shift", rshift, plan_bits, forward_same)
const fnn_op fnn_op_FLOOR_DIVIDE = {.name = "floor_divide", .n_in = 2, .n_out = 1, .flags = FNN_F_ELEMENTWISE | FNN_F_NO_GRAD,
                                    .loop = FNN_B_floor_divide, .plan = plan_slow, .inspect = inspect_divisor, .forward = forward_same};
