/* matmul_fused: y = activation(a b + bias) + residual in one pass over y; a and b as they lie or with their last two dimensions
 * swapped. The bits are those of matmul, add, the activation and add, called one after the other.
 *
 * in: a, b (two dimensions or more, leading ones broadcast), bias? (N,), residual? of y's shape.
 * attrs: v[0].i transpose_a, v[1].i transpose_b, v[2].i activation. Saved: a, b, y, and the extra z = a b + bias where the
 * activation's slope needs it: y does for relu and tanh as long as no residual was added to it.
 *   backward: dz = dy activation'(z), da = dz b^T, db = a^T dz, dbias = column sums of dz, dresidual = dy
 * Read next: matmul.c, product.h (fnn_product_finish). */
#include "matmul.h"

#include "kernels/kernels.h"
#include "pointwise.h"

enum { A, B, BIAS, RESIDUAL };

typedef struct activation {
    int loop, slope; /* -1: none */
    bool from_y;     /* the slope can be had from the result */
} activation;
static const activation ACTIVATIONS[] = { /* in the order of the attribute */
    {-1, -1, true},
    {FNN_U_relu, FNN_B_relu_backward, true},
    {FNN_U_tanh, FNN_B_tanh_backward, true},
    {FNN_U_gelu_erf, FNN_B_gelu_erf_backward, false},
    {FNN_U_gelu_tanh, FNN_B_gelu_tanh_backward, false},
};
enum { N_ACTIVATIONS = sizeof ACTIVATIONS / sizeof *ACTIVATIONS };

static fnn_tensor turned(const fnn_tensor *t, bool turn) {
    fnn_tensor out = *t;
    if (!turn) return out;
    const int r = t->ndim - 2, c = t->ndim - 1;
    out.shape[r] = t->shape[c], out.shape[c] = t->shape[r];
    out.stride[r] = t->stride[c], out.stride[c] = t->stride[r];
    fnn_tensor_derive(&out);
    return out;
}

static fnn_status check(const fnn_call *c, int64_t columns) {
    const fnn_tensor *a = c->in[A], *bias = c->in[BIAS];
    FNN_TRY(fnn_want_float("matmul_fused", "input", a));
    if (bias) FNN_TRY(fnn_want_same_dtype("matmul_fused", "bias", bias, a->dtype));
    if (bias && (bias->ndim != 1 || bias->shape[0] != columns))
        return fnn_fail(FNN_ERR_RUNTIME, "matmul_fused: bias has shape %s, expected (%lld,)", fnn_shape_of(bias), (long long)columns);
    const int64_t kind = c->attrs->v[2].i;
    if (kind < 0 || kind >= N_ACTIVATIONS)
        return fnn_fail(FNN_ERR_RUNTIME, "matmul_fused: activation is %lld, expected 0 to %d", (long long)kind, N_ACTIVATIONS - 1);
    return FNN_OK;
}

static fnn_status plan(fnn_call *c) {
    for (int i = A; i <= B; i++)
        if (c->in[i]->ndim < 2)
            return fnn_fail(FNN_ERR_RUNTIME, "matmul_fused: %s has shape %s, expected 2 dimensions or more", i == A ? "input" : "other", fnn_shape_of(c->in[i]));
    const fnn_tensor a = turned(c->in[A], c->attrs->v[0].i), b = turned(c->in[B], c->attrs->v[1].i);
    fnn_product p;
    bool copy;
    FNN_TRY(fnn_matmul_product("matmul_fused", &a, &b, &p, &copy));
    FNN_TRY(check(c, p.N));
    fnn_matmul_result(c, &a, &b, &p);
    const fnn_tensor *residual = c->in[RESIDUAL];
    if (residual) {
        FNN_TRY(fnn_want_same_dtype("matmul_fused", "residual", residual, a.dtype));
        bool same = residual->ndim == c->out->ndim;
        for (int d = 0; same && d < residual->ndim; d++) same = residual->shape[d] == c->out->shape[d];
        if (!same)
            return fnn_fail(FNN_ERR_RUNTIME, "matmul_fused: residual has shape %s, expected %s", fnn_shape_of(residual), fnn_shape_of(c->out));
    }
    const activation *f = &ACTIVATIONS[c->attrs->v[2].i];
    c->extra[0].numel = -1; /* nothing to keep */
    if (f->loop >= 0 && (residual || !f->from_y)) {
        fnn_tensor_set_geometry(&c->extra[0], c->out->ndim, c->out->shape, NULL);
        c->extra[0].dtype = a.dtype;
    }
    p.has_bias = c->in[BIAS] != NULL;
    c->scratch_bytes = fnn_matmul_scratch(&p, a.dtype);
    return FNN_OK;
}

static fnn_status forward(fnn_call *c) {
    const fnn_tensor a = turned(c->in[A], c->attrs->v[0].i), b = turned(c->in[B], c->attrs->v[1].i);
    fnn_tensor rows = {0}, bias = {0}, residual = {0};
    fnn_product p;
    bool copy;
    FNN_TRY(fnn_matmul_product("matmul_fused", &a, &b, &p, &copy));
    p.has_bias = c->in[BIAS] != NULL;
    fnn_status status = copy ? fnn_contiguous(&rows, &a) : FNN_OK;
    if (!status && p.has_bias) status = fnn_contiguous(&bias, c->in[BIAS]);
    if (!status && c->in[RESIDUAL]) status = fnn_contiguous(&residual, c->in[RESIDUAL]);
    if (!status) {
        const fnn_product_finish finish = {.activation = ACTIVATIONS[c->attrs->v[2].i].loop, .sums = c->save ? c->extra[0].data : NULL, .residual = residual.data};
        if (finish.activation >= 0 || finish.residual) p.finish = &finish;
        fnn_matmul_run(&p, a.dtype, c->out->data, copy ? rows.data : a.data, b.data, bias.data, c->scratch);
    }
    fnn_tensor_unref(&rows);
    fnn_tensor_unref(&bias);
    fnn_tensor_unref(&residual);
    return status;
}

/* ---- backward ---- */

static const fnn_tensor *swapped_if(fnn_expr *x, const fnn_tensor *t, bool swap) { return swap ? fnn_swapped(x, t) : t; }

/* The gradient of a: dz b^T, or its transpose b dz^T where a was swapped. */
static const fnn_tensor *gradient_a(fnn_expr *x, const fnn_backcall *b, const fnn_tensor *dz) {
    const fnn_tensor *right = &b->in[B];
    if (b->attrs->v[0].i) return fnn_x2(x, &fnn_op_MATMUL, swapped_if(x, right, b->attrs->v[1].i), fnn_swapped(x, dz));
    return fnn_x2(x, &fnn_op_MATMUL, dz, swapped_if(x, right, !b->attrs->v[1].i));
}

/* The gradient of b: a^T dz, or its transpose dz^T a where b was swapped. One long product where b is a single matrix. */
static const fnn_tensor *gradient_b(fnn_expr *x, const fnn_backcall *b, const fnn_tensor *dz) {
    const fnn_tensor *left = swapped_if(x, &b->in[A], b->attrs->v[0].i);
    if (b->in_geom[B].ndim == 2 && dz->ndim > 2) {
        left = left ? fnn_rows_of(x, left, left->shape[left->ndim - 1]) : NULL;
        dz = left ? fnn_rows_of(x, dz, dz->shape[dz->ndim - 1]) : NULL;
    }
    if (!left || !dz) return NULL;
    if (b->attrs->v[1].i) return fnn_x2(x, &fnn_op_MATMUL, fnn_swapped(x, dz), left);
    return fnn_x2(x, &fnn_op_MATMUL, fnn_swapped(x, left), dz);
}

static fnn_status gradient(fnn_backcall *b, int input, const fnn_tensor *dz) {
    FNN_EXPR(x);
    if (input == A) return fnn_give_sum(&x, &b->dx[A], gradient_a(&x, b, dz), &b->in_geom[A]);
    if (input == B) return fnn_give_sum(&x, &b->dx[B], gradient_b(&x, b, dz), &b->in_geom[B]);
    if (input == BIAS) return fnn_sum_to(&b->dx[BIAS], dz, &b->in_geom[BIAS]);
    fnn_tensor_ref_data(&b->dx[RESIDUAL], b->dy[0]);
    return FNN_OK;
}

/* dz = dy activation'(z), from y, or from z where y is not kept alone */
static fnn_status inner_gradient(const fnn_backcall *b, fnn_tensor *dz) {
    const activation *f = &ACTIVATIONS[b->attrs->v[2].i];
    const fnn_tensor *z = &b->extra[0];
    if (f->slope < 0) {
        fnn_tensor_ref_data(dz, b->dy[0]);
        return FNN_OK;
    }
    if (!z->data) return fnn_slope(dz, f->slope, b->dy[0], &b->out[0]);
    if (f->loop != FNN_U_tanh) return fnn_slope(dz, f->slope, b->dy[0], z); /* relu's slope is that of z as well */
    fnn_tensor y = {0};
    FNN_TRY(fnn_run1(&fnn_op_TANH, &y, z, NULL));
    const fnn_status status = fnn_slope(dz, f->slope, b->dy[0], &y);
    fnn_tensor_unref(&y);
    return status;
}

static fnn_status backward(fnn_backcall *b) {
    fnn_tensor dz = {0};
    fnn_status status = b->need[A] || b->need[B] || b->need[BIAS] ? inner_gradient(b, &dz) : FNN_OK;
    for (int i = 0; i < b->n_in && !status; i++)
        if (b->need[i]) status = gradient(b, i, &dz);
    fnn_tensor_unref(&dz);
    return status;
}

const fnn_op fnn_op_MATMUL_FUSED = {.name = "matmul_fused", .grad_name = "MatmulFusedBackward0", .n_in = 4, .n_out = 1, .n_extra = 1, .optional_in = 12,
                                    .save_in = {2, 1}, .save_out = 1, .plan = plan, .forward = forward, .backward = backward};
