/* Pointwise ops of three and four operands: where, masked_fill, clamp, lerp, addcmul, addcdiv.
 *
 * attrs: ADDCMUL, ADDCDIV: v[0].f value. */
#include "expr.h"
#include "grad_names.h"
#include "pointwise.h"

#define ZERO(x) fnn_xnum(x, 0)

/* ---- where(condition, a, b) ---- */

static fnn_status plan_where(fnn_call *c) {
    int dtype = c->in[0]->dtype;
    if (dtype != FNN_BOOL && dtype != FNN_U8)
        return fnn_fail(FNN_ERR_RUNTIME, "where: condition has dtype %s, expected bool", fnn_dtype_name((fnn_dtype)dtype));
    FNN_TRY(fnn_broadcast("where", c->out, c->in, 3));
    fnn_keep_layout(c->out, c->in, 3);
    c->out->dtype = (uint8_t)fnn_promote(c->in + 1, 2);
    c->work = (double)c->out->numel * 0.7;
    return FNN_OK;
}

/* A loop whose first operand is a mask of bytes and whose others have out's dtype. */
static fnn_status masked(const fnn_tensor *out, const fnn_tensor *mask, const fnn_tensor *yes, const fnn_tensor *no) {
    fnn_tensor temp[2] = {{0}, {0}};
    const fnn_tensor *in[3] = {mask, yes, no};
    double slot[2];
    fnn_status status = FNN_OK;
    for (int i = 0; i < 2 && !status; i++) {
        const fnn_tensor *t = in[i + 1];
        if (t->dtype == out->dtype) continue;
        if (t->numel == 1) {
            char *ptr[2] = {(char *)&slot[i], t->data};
            int64_t stride[2] = {0, 0};
            fnn_k.cast[t->dtype][out->dtype](ptr, stride, 1);
            temp[i] = *t;
            temp[i].data = (char *)&slot[i];
            temp[i].dtype = out->dtype;
            temp[i].storage = NULL;
            temp[i].version = NULL;
            temp[i].meta = NULL;
        } else {
            status = fnn_cast(&temp[i], t, out->dtype);
        }
        in[i + 1] = &temp[i];
    }
    if (!status) fnn_iterate(fnn_k.ternary[FNN_T_where][out->dtype], out, in, 3, 0.7);
    for (int i = 0; i < 2; i++) fnn_tensor_unref(&temp[i]);
    return status;
}

static fnn_status forward_where(fnn_call *c) { return masked(c->out, c->in[0], c->in[1], c->in[2]); }

static fnn_status back_where(fnn_backcall *b) {
    const fnn_tensor *cond = &b->in[0], *dy = b->dy[0];
    for (int i = 1; i < 3; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *part = i == 1 ? fnn_x3(&x, &fnn_op_WHERE, cond, dy, ZERO(&x)) : fnn_x3(&x, &fnn_op_WHERE, cond, ZERO(&x), dy);
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], part, &b->in_geom[i]));
    }
    return FNN_OK;
}

/* ---- masked_fill(x, mask, value): the dtype of x ---- */

static fnn_status plan_masked_fill(fnn_call *c) {
    if (c->in[1]->dtype != FNN_BOOL)
        return fnn_fail(FNN_ERR_RUNTIME, "masked_fill: mask has dtype %s, expected bool", fnn_dtype_name(c->in[1]->dtype));
    if (c->in[2]->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "masked_fill: value has %d dimensions, expected a 0-dimensional value tensor", c->in[2]->ndim);
    FNN_TRY(fnn_plan_pointwise(c, c->in[0]->dtype, 0.7));
    fnn_tensor_set_geometry(c->out, c->out->ndim, c->out->shape, NULL); /* torch: contiguous, whatever the input's layout */
    return FNN_OK;
}
static fnn_status inspect_masked_fill(fnn_call *c) { return fnn_want_fit("masked_fill", c->in[2], c->in[0]->dtype); }

/* In place, where memory stands for several elements: it is filled if one of them is masked. */
static fnn_status fill_repeated(fnn_call *c) {
    fnn_tensor once = *c->out, wide, any;
    fnn_attrs shape = {.list[0].n = once.ndim}, dims = {.v[0].i = 1};
    for (int d = 0; d < once.ndim; d++) {
        shape.list[0].v[d] = once.shape[d];
        if (once.stride[d]) continue;
        dims.list[0].v[dims.list[0].n++] = d;
        once.shape[d] = 1;
    }
    fnn_tensor_derive(&once);
    FNN_TRY(fnn_run1(&fnn_op_EXPAND, &wide, c->in[1], &shape));
    fnn_status status = fnn_run1(&fnn_op_ANY, &any, &wide, &dims);
    fnn_tensor_unref(&wide);
    if (status) return status;
    status = masked(&once, &any, c->in[2], &once);
    fnn_tensor_unref(&any);
    return status;
}

static fnn_status forward_masked_fill(fnn_call *c) {
    if (c->inplace && fnn_repeats(c->out)) return fill_repeated(c);
    return masked(c->out, c->in[1], c->in[2], c->in[0]);
}
static fnn_status back_masked_fill(fnn_backcall *b) {
    const fnn_tensor *mask = &b->in[1], *dy = b->dy[0];
    if (b->need[0]) {
        FNN_EXPR(x);
        FNN_TRY(fnn_give_sum(&x, &b->dx[0], fnn_x3(&x, &fnn_op_MASKED_FILL, dy, mask, ZERO(&x)), &b->in_geom[0]));
    }
    if (!b->need[2]) return FNN_OK;
    FNN_EXPR(x);
    return fnn_give_sum(&x, &b->dx[2], fnn_x3(&x, &fnn_op_WHERE, mask, dy, ZERO(&x)), &b->in_geom[2]);
}

/* ---- clamp(x, min?, max?) ---- */

static fnn_status plan_clamp(fnn_call *c) {
    if (!c->in[1] && !c->in[2]) return fnn_fail(FNN_ERR_RUNTIME, "clamp: At least one of 'min' or 'max' must not be None");
    FNN_TRY(fnn_broadcast("clamp", c->out, c->in, 3));
    fnn_keep_layout(c->out, c->in, 3);
    c->out->dtype = (uint8_t)fnn_promote(c->in, 3);
    c->work = (double)c->out->numel;
    return FNN_OK;
}

static fnn_status forward_clamp(fnn_call *c) {
    int dtype = c->out->dtype;
    const fnn_tensor *lo = c->in[1], *hi = c->in[2], *both[3] = {c->in[0], lo, hi};
    if (lo && hi) return fnn_run_loop("clamp", fnn_k.ternary[FNN_T_clamp][dtype], c->out, both, 3, dtype, 1);
    const fnn_tensor *one[2] = {c->in[0], lo ? lo : hi};
    return fnn_run_loop("clamp", fnn_k.binary[lo ? FNN_B_maximum : FNN_B_minimum][dtype], c->out, one, 2, dtype, 0.5);
}

/* The gradient goes to x inside the bounds (edges included), else to the bound that is hit. */
static fnn_status back_clamp(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *in = &b->in[0];
    for (int i = 0; i < 3; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *take = NULL;
        if (i == 0) {
            if (b->in[1].data) take = fnn_x2(&x, &fnn_op_GE, in, &b->in[1]);
            if (b->in[2].data) {
                const fnn_tensor *below = fnn_x2(&x, &fnn_op_LE, in, &b->in[2]);
                take = take ? fnn_x2(&x, &fnn_op_LOGICAL_AND, take, below) : below;
            }
        } else {
            take = fnn_x2(&x, i == 1 ? &fnn_op_LT : &fnn_op_GT, in, &b->in[i]);
        }
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], fnn_x3(&x, &fnn_op_WHERE, take, dy, ZERO(&x)), &b->in_geom[i]));
    }
    return FNN_OK;
}

/* ---- lerp(a, b, w) = a + w (b - a) ---- */

static fnn_status plan_promoted(fnn_call *c) {
    fnn_tensor *out = c->out;
    for (int i = 1; i < 3 && c->op == &fnn_op_LERP; i++)
        if (!(c->in[i]->flags & FNN_T_NUMBER)) FNN_TRY(fnn_want_same_dtype("lerp", i == 1 ? "end" : "weight", c->in[i], c->in[0]->dtype));
    FNN_TRY(fnn_broadcast(c->op->name, out, c->in, 3));
    fnn_keep_layout(out, c->in, 3);
    out->dtype = (uint8_t)fnn_promote(c->in, 3);
    bool real = fnn_dtype_is_float(c->op == &fnn_op_LERP ? c->in[0]->dtype : out->dtype);
    if (c->op == &fnn_op_ADDCDIV) FNN_TRY(fnn_want_float("addcdiv", "the result", out));
    if (!real && (c->op == &fnn_op_LERP || out->dtype == FNN_BOOL))
        return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for %s", c->op->name, fnn_dtype_name((fnn_dtype)c->in[0]->dtype));
    c->work = (double)out->numel;
    return FNN_OK;
}
static fnn_status forward_lerp(fnn_call *c) {
    int dtype = c->out->dtype;
    return fnn_run_loop("lerp", fnn_k.ternary[FNN_T_lerp][dtype], c->out, c->in, 3, dtype, 1);
}
static fnn_status back_lerp(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *w = &b->in[2];
    for (int i = 0; i < 3; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *slope = i == 0   ? fnn_x2(&x, &fnn_op_SUB, fnn_xnum(&x, 1), fnn_xto(&x, w, dy->dtype))
                                  : i == 1 ? w
                                           : fnn_x2(&x, &fnn_op_SUB, &b->in[1], &b->in[0]);
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], fnn_x2(&x, &fnn_op_MUL, dy, slope), &b->in_geom[i]));
    }
    return FNN_OK;
}

/* ---- addcmul: x + value a b; addcdiv: x + value a / b ---- */

static fnn_status forward_addc(fnn_call *c) {
    int dtype = c->out->dtype;
    double value = c->attrs ? c->attrs->v[0].f : 1;
    if (!fnn_dtype_is_float(dtype)) { /* addcmul of integers, value cut to one */
        FNN_EXPR(x);
        int64_t whole = (int64_t)value;
        fnn_tensor factor = fnn_number_i64(&whole);
        const fnn_tensor *sum = fnn_x2(&x, &fnn_op_ADD, c->in[0], fnn_x2(&x, &fnn_op_MUL, fnn_x2(&x, &fnn_op_MUL, c->in[1], c->in[2]), &factor));
        fnn_tensor result;
        FNN_TRY(fnn_give(&x, &result, sum));
        fnn_status status = fnn_copy_into(c->out, &result);
        fnn_tensor_unref(&result);
        return status;
    }
    fnn_tensor number = fnn_number_f64(&value);
    const fnn_tensor *in[4] = {c->in[0], c->in[1], c->in[2], &number};
    return fnn_run_loop(c->op->name, fnn_k.ternary[c->op->loop][dtype], c->out, in, 4, dtype, 1);
}
static fnn_status back_addc(fnn_backcall *b) {
    bool divides = b->op == &fnn_op_ADDCDIV;
    if (b->need[0]) FNN_TRY(fnn_sum_to(&b->dx[0], b->dy[0], &b->in_geom[0]));
    for (int i = 1; i < 3; i++) {
        if (!b->need[i]) continue;
        FNN_EXPR(x);
        const fnn_tensor *dy = fnn_x2(&x, &fnn_op_MUL, b->dy[0], fnn_xnum(&x, b->attrs ? b->attrs->v[0].f : 1)), *slope;
        if (!divides)
            slope = fnn_x2(&x, &fnn_op_MUL, dy, &b->in[3 - i]);
        else if (i == 1)
            slope = fnn_x2(&x, &fnn_op_DIV, dy, &b->in[2]);
        else /* -dy a / b^2 */
            slope = fnn_x1(&x, &fnn_op_NEG, fnn_x2(&x, &fnn_op_MUL, dy, fnn_x2(&x, &fnn_op_DIV, &b->in[1], fnn_x1(&x, &fnn_op_SQUARE, &b->in[2]))));
        FNN_TRY(fnn_give_sum(&x, &b->dx[i], slope, &b->in_geom[i]));
    }
    return FNN_OK;
}

#define TERNARY(NAME, text, grad, the_plan, the_forward, the_backward, ...)                                           \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 3, .n_out = 1, .flags = FNN_F_ELEMENTWISE, \
                                  .plan = the_plan, .forward = the_forward, .backward = the_backward, __VA_ARGS__};
TERNARY(WHERE, "where", "WhereBackward0", plan_where, forward_where, back_where, .no_grad_in = 1, .save_in = {0, 1, 1})
const fnn_op fnn_op_MASKED_FILL = {.name = "masked_fill", .grad_name = "MaskedFillBackward0", .n_in = 3, .n_out = 1, .flags = FNN_F_ELEMENTWISE | FNN_F_NUMBER | FNN_F_REPEATS,
                                   .plan = plan_masked_fill, .inspect = inspect_masked_fill, .forward = forward_masked_fill, .backward = back_masked_fill, .no_grad_in = 2, .save_in = {2, 0, 2}};
TERNARY(CLAMP, "clamp", "ClampBackward1", plan_clamp, forward_clamp, back_clamp, .grad_name_of = fnn_grad_name_clamp, .optional_in = 6, .save_in = {7, 7, 7})
TERNARY(LERP, "lerp", "LerpBackward1", plan_promoted, forward_lerp, back_lerp, .grad_name_of = fnn_grad_name_lerp, .save_in = {4, 4, 3})
TERNARY(ADDCMUL, "addcmul", "AddcmulBackward0", plan_promoted, forward_addc, back_addc, .loop = FNN_T_addcmul, .save_in = {0, 4, 2})
TERNARY(ADDCDIV, "addcdiv", "AddcdivBackward0", plan_promoted, forward_addc, back_addc, .loop = FNN_T_addcdiv, .save_in = {0, 4, 6})
