/* matmul and linear: the way from tensors to products (product.h).
 *
 * matmul(a, b) follows torch: 1-D operands get a dimension that is dropped again; leading dimensions broadcast; where b is
 * 2-D all leading dimensions of a fold into one product. linear(x, w, bias?) is x w^T + bias. The folding is decided by
 * shapes alone: an operand whose strides do not allow it is copied, so results do not depend on strides.
 *   forward:  y = a b             linear:  y = x w^T + bias
 *   backward: da = dy b^T, db = a^T dy     dx = dy w, dw = dy^T x, dbias = column sums of dy */
#include "matmul.h"

#include <string.h>

#include "core/pool.h"
#include "grad_names.h"
#include "permuted.h"

/* One operand seen as a matrix with leading dimensions. */
typedef struct side {
    int ndim; /* leading dimensions */
    int64_t shape[FNN_MAX_DIMS], stride[FNN_MAX_DIMS];
    int64_t rows, cols, row, col;
    bool copy; /* must be made contiguous first */
} side;

static void matrix(side *s, const fnn_tensor *t, bool left) {
    s->copy = false;
    s->ndim = t->ndim > 2 ? t->ndim - 2 : 0;
    if (t->ndim == 1) {
        s->rows = left ? 1 : t->shape[0];
        s->cols = left ? t->shape[0] : 1;
        s->row = left ? t->shape[0] * t->stride[0] : t->stride[0];
        s->col = left ? t->stride[0] : 1;
        return;
    }
    for (int d = 0; d < s->ndim; d++) {
        s->shape[d] = t->shape[d];
        s->stride[d] = t->stride[d];
    }
    s->rows = t->shape[s->ndim];
    s->cols = t->shape[s->ndim + 1];
    s->row = t->stride[s->ndim];
    s->col = t->stride[s->ndim + 1];
}

/* Leading dimensions become rows of one matrix. */
static void fold(side *s, bool contiguous) {
    int64_t rows = s->rows;
    for (int d = s->ndim - 1; d >= 0; d--) {
        if (!contiguous && s->shape[d] != 1 && rows != 1 && s->stride[d] != rows * s->row) s->copy = true;
        if (rows == 1 && s->shape[d] != 1) s->row = s->stride[d];
        rows *= s->shape[d];
    }
    if (s->copy || contiguous) {
        s->row = s->cols;
        s->col = 1;
    }
    s->rows = rows;
    s->ndim = 0;
}

static fnn_status build(const char *op, const side *a, const side *b, fnn_product *p) {
    *p = (fnn_product){.M = a->rows, .N = b->cols, .K = a->cols, .a_row = a->row, .a_col = a->col, .b_row = b->row, .b_col = b->col, .c_row = b->cols};
    int n = a->ndim > b->ndim ? a->ndim : b->ndim;
    if (n > FNN_PRODUCT_BATCH_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "%s: found %d leading dimensions, wanted at most %d", op, n, FNN_PRODUCT_BATCH_DIMS);
    p->batch_ndim = n;
    int64_t step = p->M * p->N;
    for (int d = n - 1; d >= 0; d--) {
        int da = d - (n - a->ndim), db = d - (n - b->ndim);
        int64_t sa = da < 0 ? 1 : a->shape[da], sb = db < 0 ? 1 : b->shape[db];
        if (sa != sb && sa != 1 && sb != 1)
            return fnn_fail(FNN_ERR_RUNTIME, "%s: The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %d",
                            op, (long long)sa, (long long)sb, d);
        p->batch[d] = sa == 1 ? sb : sa;
        p->a_batch[d] = da < 0 || sa == 1 ? 0 : a->stride[da];
        p->b_batch[d] = db < 0 || sb == 1 ? 0 : b->stride[db];
        p->c_batch[d] = step;
        step *= p->batch[d];
    }
    return FNN_OK;
}

void fnn_matmul_run(const fnn_product *p, int dtype, char *c, const char *a, const char *b, const char *bias, void *scratch) {
    if (dtype == FNN_F32)
        fnn_product_f32(p, (float *)c, (const float *)a, (const float *)b, (const float *)bias, scratch);
    else
        fnn_product_f64(p, (double *)c, (const double *)a, (const double *)b, (const double *)bias, scratch);
}

static double work(const fnn_product *p) {
    double flops = 2.0 * (double)p->M * (double)p->N * (double)p->K;
    for (int d = 0; d < p->batch_ndim; d++) flops *= (double)p->batch[d];
    return flops / 50; /* 50 GFLOP/s: what a small product reaches */
}

size_t fnn_matmul_scratch(const fnn_product *p, int dtype) { return dtype == FNN_F32 ? fnn_product_scratch_f32(p) : fnn_product_scratch_f64(p); }

/* ---- matmul ---- */

fnn_status fnn_matmul_product(const char *op, const fnn_tensor *a, const fnn_tensor *b, fnn_product *p, bool *copy_a) {
    if (!a->ndim || !b->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: both arguments to matmul need to be at least 1D, but they are %dD and %dD", op, a->ndim, b->ndim);
    if (a->dtype != b->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: expected a and b to have the same dtype, but got: %s != %s", op, fnn_dtype_name(a->dtype), fnn_dtype_name(b->dtype));
    side l, r;
    matrix(&l, a, true);
    matrix(&r, b, false);
    if (l.cols != r.rows)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: mat1 and mat2 shapes cannot be multiplied: %s and %s, expected %lld rows in the second, found %lld",
                        op, fnn_shape_of(a), fnn_shape_of(b), (long long)l.cols, (long long)r.rows);
    if (!r.ndim && l.ndim) fold(&l, a->contiguous);
    *copy_a = l.copy;
    return build(op, &l, &r, p);
}

void fnn_matmul_result(fnn_call *c, const fnn_tensor *a, const fnn_tensor *b, const fnn_product *p) {
    int n = 0;
    int64_t shape[FNN_MAX_DIMS];
    if (p->batch_ndim)
        for (; n < p->batch_ndim; n++) shape[n] = p->batch[n];
    else
        for (; n < a->ndim - 2; n++) shape[n] = a->shape[n];
    if (a->ndim > 1) shape[n++] = a->shape[a->ndim - 2];
    if (b->ndim > 1) shape[n++] = b->shape[b->ndim - 1];
    fnn_tensor_set_geometry(c->out, n, shape, NULL);
    c->out->dtype = a->dtype;
    c->work = work(p);
}

static fnn_status plan_matmul(fnn_call *c) {
    const fnn_tensor *a = c->in[0], *b = c->in[1];
    fnn_product p;
    bool copy;
    FNN_TRY(fnn_matmul_product("matmul", a, b, &p, &copy));
    if (a->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "matmul: not implemented for bool");
    fnn_matmul_result(c, a, b, &p);
    if (fnn_dtype_is_float(a->dtype)) c->scratch_bytes = fnn_matmul_scratch(&p, a->dtype);
    return FNN_OK;
}

/* Integers have no fast kernels: one plain loop, wrapping. */
#define INTEGER_PRODUCT(type, utype)                                                                               \
    static void product_##type(const fnn_product *p, type *c, const type *a, const type *b) {                      \
        for (int64_t i = 0; i < p->M; i++)                                                                         \
            for (int64_t j = 0; j < p->N; j++) {                                                                   \
                utype sum = 0;                                                                                     \
                for (int64_t k = 0; k < p->K; k++)                                                                 \
                    sum += (utype)((utype)a[i * p->a_row + k * p->a_col] * (utype)b[k * p->b_row + j * p->b_col]); \
                c[i * p->c_row + j] = (type)sum;                                                                   \
            }                                                                                                      \
    }
INTEGER_PRODUCT(int64_t, uint64_t)
INTEGER_PRODUCT(int32_t, uint32_t)
INTEGER_PRODUCT(uint8_t, uint8_t)

static void integer_products(const fnn_product *p, int dtype, char *c, const char *a, const char *b) {
    int64_t count = 1, size = fnn_itemsize[dtype];
    for (int d = 0; d < p->batch_ndim; d++) count *= p->batch[d];
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at_a = 0, at_b = 0;
        for (int d = p->batch_ndim - 1; d >= 0; d--) {
            at_a += rest % p->batch[d] * p->a_batch[d];
            at_b += rest % p->batch[d] * p->b_batch[d];
            rest /= p->batch[d];
        }
        char *y = c + i * p->M * p->N * size;
        const char *l = a + at_a * size, *r = b + at_b * size;
        if (dtype == FNN_I64)
            product_int64_t(p, (int64_t *)y, (const int64_t *)l, (const int64_t *)r);
        else if (dtype == FNN_I32)
            product_int32_t(p, (int32_t *)y, (const int32_t *)l, (const int32_t *)r);
        else
            product_uint8_t(p, (uint8_t *)y, (const uint8_t *)l, (const uint8_t *)r);
    }
}

static fnn_status forward_matmul(fnn_call *c) {
    fnn_product p;
    bool copy;
    fnn_tensor a = {0};
    FNN_TRY(fnn_matmul_product("matmul", c->in[0], c->in[1], &p, &copy));
    if (copy) FNN_TRY(fnn_contiguous(&a, c->in[0]));
    const fnn_tensor *left = copy ? &a : c->in[0];
    if (fnn_dtype_is_float(left->dtype))
        fnn_matmul_run(&p, left->dtype, c->out->data, left->data, c->in[1]->data, NULL, c->scratch);
    else
        integer_products(&p, left->dtype, c->out->data, left->data, c->in[1]->data);
    fnn_tensor_unref(&a);
    return FNN_OK;
}

/* ---- backward of both ---- */

const fnn_tensor *fnn_rows_of(fnn_expr *x, const fnn_tensor *t, int64_t cols) {
    fnn_tensor *out = fnn_xslot(x);
    if (!out) return NULL;
    x->status = fnn_contiguous(out, t);
    if (x->status) return NULL;
    int64_t shape[2] = {cols ? out->numel / cols : 0, cols};
    fnn_tensor_set_geometry(out, 2, shape, NULL);
    return out;
}

const fnn_tensor *fnn_swapped(fnn_expr *x, const fnn_tensor *t) {
    fnn_tensor *out = t ? fnn_xslot(x) : NULL;
    if (!out) return NULL;
    fnn_tensor_ref_data(out, t);
    int r = t->ndim - 2, c = t->ndim - 1;
    out->shape[r] = t->shape[c];
    out->shape[c] = t->shape[r];
    out->stride[r] = t->stride[c];
    out->stride[c] = t->stride[r];
    fnn_tensor_derive(out);
    return out;
}

/* t with a dimension of one put in at `at` (1-D operands and their gradients). */
static const fnn_tensor *with_dim(fnn_expr *x, const fnn_tensor *t, int at) {
    fnn_attrs attrs = {.v[0].i = at};
    return fnn_xa(x, &fnn_op_UNSQUEEZE, t, &attrs);
}

static void turn(side *s) {
    const int64_t rows = s->rows, row = s->row;
    s->rows = s->cols;
    s->row = s->col;
    s->cols = rows;
    s->col = row;
}

/* Many products of matrices, nothing broadcast: the gradient of operand i is written as the operand lies, so that the views that
 * made it (heads of attention: split, view, transpose) are undone without a copy. False: not such a product. */
static bool back_batched(fnn_backcall *b, int i, fnn_status *status) {
    const fnn_tensor *own = &b->in[i], *other = &b->in[1 - i], *dy = b->dy[0];
    if (!own->data || !own->numel || own->ndim < 3 || own->ndim != other->ndim) return false;
    const int r = own->ndim - 2, c = own->ndim - 1;
    if (memcmp(own->shape, other->shape, sizeof *own->shape * (size_t)r)) return false;
    fnn_tensor *dx = &b->dx[i];
    *status = fnn_empty_as(dx, own, 2);
    if (*status) return true;
    const fnn_tensor *left = i == 0 ? dy : other, *right = i == 0 ? other : dy; /* dy b^T, a^T dy */
    side l, n;
    matrix(&l, left, true);
    matrix(&n, right, false);
    turn(i == 0 ? &n : &l);
    const bool by_columns = dx->stride[c] != 1; /* then the transpose is computed: the same sums */
    if (by_columns) {
        const fnn_tensor *first = left;
        const side s = l;
        left = right;
        right = first;
        l = n;
        n = s;
        turn(&l);
        turn(&n);
    }
    fnn_product p;
    *status = build("matmul", &l, &n, &p);
    if (*status) return true;
    p.c_row = dx->stride[by_columns ? c : r];
    for (int d = 0; d < r; d++) p.c_batch[d] = dx->stride[d];
    const size_t bytes = fnn_matmul_scratch(&p, dx->dtype);
    void *scratch = bytes ? fnn_pool_alloc(bytes) : NULL;
    if (bytes && !scratch)
        *status = fnn_fail(FNN_ERR_MEMORY, "matmul: out of memory for %zu bytes of scratch", bytes);
    else
        fnn_matmul_run(&p, dx->dtype, dx->data, left->data, right->data, NULL, scratch);
    if (scratch) fnn_pool_free(scratch, bytes);
    return true;
}

/* A factor of a gradient: a matrix (strides as they are) or its transpose. */
typedef struct factor {
    const fnn_tensor *t;
    bool turned;
} factor;

static side side_of(factor f, bool left) {
    side s;
    matrix(&s, f.t, left);
    if (f.turned) turn(&s);
    return s;
}

/* out[i] = a[i] b[i] for the gradients of both operands at once; factors have two dimensions. */
static fnn_status two_gradients(fnn_tensor *out, const factor a[2], const factor b[2]) {
    fnn_product p[2];
    size_t bytes[2];
    const int dtype = a[0].t->dtype;
    for (int i = 0; i < 2; i++) {
        const side l = side_of(a[i], true), r = side_of(b[i], false);
        FNN_TRY(build("matmul", &l, &r, &p[i]));
        FNN_TRY(fnn_empty(&out[i], dtype, 2, (const int64_t[]){p[i].M, p[i].N}));
        bytes[i] = fnn_matmul_scratch(&p[i], dtype);
    }
    const size_t all = bytes[0] + bytes[1];
    char *scratch = all ? fnn_pool_alloc(all) : NULL;
    if (all && !scratch) return fnn_fail(FNN_ERR_MEMORY, "matmul: out of memory for %zu bytes of scratch", all);
    const fnn_product_run run[2] = {{&p[0], out[0].data, a[0].t->data, b[0].t->data, scratch},
                                    {&p[1], out[1].data, a[1].t->data, b[1].t->data, scratch + bytes[0]}};
    (dtype == FNN_F32 ? fnn_product_two_f32 : fnn_product_two_f64)(run);
    if (scratch) fnn_pool_free(scratch, all);
    return FNN_OK;
}

/* The gradients of x (.., K) and w, where dy (.., N) and x are rows of one matrix each:
 * dx = dy w^T, dw = x^T dy; or, for a w kept as (N, K), dx = dy w, dw = dy^T x. */
static fnn_status back_rows(fnn_backcall *b, bool kept_turned) {
    FNN_EXPR(x);
    const fnn_tensor *dy = b->dy[0], *left = &b->in[0];
    const fnn_tensor *d = dy->ndim == 2 ? dy : fnn_rows_of(&x, dy, dy->shape[dy->ndim - 1]);
    const fnn_tensor *l = left->ndim == 2 ? left : fnn_rows_of(&x, left, left->shape[left->ndim - 1]);
    fnn_status status = x.status;
    if (!status) {
        const factor first[2] = {{d, false}, {kept_turned ? d : l, true}}, second[2] = {{&b->in[1], !kept_turned}, {kept_turned ? l : d, false}};
        status = two_gradients(b->dx, first, second);
    }
    if (!status) fnn_tensor_set_geometry(&b->dx[0], b->in_geom[0].ndim, b->in_geom[0].shape, NULL);
    for (int i = 0; i < x.n; i++) fnn_tensor_unref(&x.temp[i]);
    return status;
}

static fnn_status back_matmul(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *left = &b->in[0], *right = &b->in[1];
    const fnn_geom *ga = &b->in_geom[0], *gb = &b->in_geom[1];
    if (b->need[0] && b->need[1] && ga->ndim > 1 && gb->ndim == 2) return back_rows(b, false);
    for (int i = 0; i < 2; i++) {
        if (!b->need[i]) continue;
        fnn_status done = FNN_OK;
        if (back_batched(b, i, &done)) {
            FNN_TRY(done);
            continue;
        }
        FNN_EXPR(x);
        const fnn_tensor *d = dy, *product, *l = left, *r = right;
        if (gb->ndim == 1) d = with_dim(&x, d, -1);                         /* (.., M) -> (.., M, 1) */
        if (ga->ndim == 1 && d) d = with_dim(&x, d, -2);                    /* (.., N) -> (.., 1, N) */
        if (i == 0) {
            if (gb->ndim == 1) r = with_dim(&x, right, 1);
            product = r && d ? fnn_x2(&x, &fnn_op_MATMUL, d, fnn_swapped(&x, r)) : NULL;
        } else if (gb->ndim <= 2) { /* folded: one long product */
            if (ga->ndim == 1) l = with_dim(&x, left, 0);
            int64_t k = ga->shape[ga->ndim - 1], n = gb->ndim == 1 ? 1 : gb->shape[1];
            const fnn_tensor *l2 = l ? (l->ndim == 2 ? l : fnn_rows_of(&x, l, k)) : NULL, *d2 = d ? (d->ndim == 2 ? d : fnn_rows_of(&x, d, n)) : NULL;
            product = l2 && d2 ? fnn_x2(&x, &fnn_op_MATMUL, fnn_swapped(&x, l2), d2) : NULL;
        } else {
            if (ga->ndim == 1) l = with_dim(&x, left, 0);
            product = l && d ? fnn_x2(&x, &fnn_op_MATMUL, fnn_swapped(&x, l), d) : NULL;
        }
        const fnn_geom *g = i == 0 ? ga : gb;
        fnn_geom padded = *g; /* what broadcasting sums to: the operand with its added dimension */
        if (g->ndim == 1) {
            padded.ndim = 2;
            padded.shape[1 - i] = g->shape[0]; /* left: a row (1, K); right: a column (K, 1) */
            padded.shape[i] = 1;
        }
        const fnn_tensor *sum = x.status ? NULL : fnn_xsum_to(&x, product, &padded);
        fnn_status status = x.status;
        if (!status) {
            status = fnn_contiguous(&b->dx[i], sum);
            if (!status) fnn_tensor_set_geometry(&b->dx[i], g->ndim, g->shape, NULL);
        }
        for (int k = 0; k < x.n; k++) fnn_tensor_unref(&x.temp[k]);
        if (status) return status;
    }
    return FNN_OK;
}

const fnn_op fnn_op_MATMUL = {.name = "matmul", .grad_name_of = fnn_grad_name_matmul, .n_in = 2, .n_out = 1, .save_in = {2, 1},
                              .plan = plan_matmul, .forward = forward_matmul, .backward = back_matmul};

const fnn_op fnn_op_BMM = {.name = "bmm", .grad_name = "BmmBackward0", .n_in = 2, .n_out = 1, .save_in = {2, 1},
                           .plan = plan_matmul, .forward = forward_matmul, .backward = back_matmul};

/* ---- linear ---- */

static fnn_status linear_product(const fnn_tensor *x, const fnn_tensor *w, fnn_product *p, bool *copy_x) {
    side l, r;
    matrix(&l, x, true);
    r.ndim = 0;
    r.rows = w->shape[1];
    r.cols = w->shape[0];
    r.row = w->stride[1];
    r.col = w->stride[0];
    if (l.ndim) fold(&l, x->contiguous);
    *copy_x = l.copy;
    return build("linear", &l, &r, p);
}

static fnn_status plan_linear(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *w = c->in[1], *bias = c->in[2];
    if (x->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "linear: not implemented for bool");
    FNN_TRY(fnn_want_same_dtype("linear", "weight", w, x->dtype));
    if (bias) FNN_TRY(fnn_want_same_dtype("linear", "bias", bias, x->dtype));
    if (w->ndim != 2 && w->ndim != 1) return fnn_fail(FNN_ERR_RUNTIME, "linear: weight has shape %s, expected (out_features, in_features)", fnn_shape_of(w));
    if (w->ndim == 1) return fnn_fail(FNN_ERR_RUNTIME, "linear: weight has shape %s, expected 2 dimensions", fnn_shape_of(w));
    if (!x->ndim || x->shape[x->ndim - 1] != w->shape[1])
        return fnn_fail(FNN_ERR_RUNTIME, "linear: mat1 and mat2 shapes cannot be multiplied: input %s, weight %s; expected the last size of input to be %lld",
                        fnn_shape_of(x), fnn_shape_of(w), (long long)w->shape[1]);
    if (bias && (bias->ndim != 1 || (bias->shape[0] != w->shape[0])))
        return fnn_fail(FNN_ERR_RUNTIME, "linear: bias has shape %s, expected (%lld,)", fnn_shape_of(bias), (long long)w->shape[0]);
    fnn_product p;
    bool copy;
    FNN_TRY(linear_product(x, w, &p, &copy));
    int64_t shape[FNN_MAX_DIMS];
    for (int d = 0; d < x->ndim; d++) shape[d] = x->shape[d];
    shape[x->ndim - 1] = w->shape[0];
    fnn_tensor_set_geometry(c->out, x->ndim, shape, NULL);
    c->out->dtype = x->dtype;
    p.has_bias = bias != NULL;
    c->scratch_bytes = fnn_matmul_scratch(&p, x->dtype);
    c->work = work(&p);
    return FNN_OK;
}

/* Integers: by the ops it is made of. */
static fnn_status forward_linear_whole(fnn_call *c) {
    FNN_EXPR(x);
    const fnn_tensor *y = fnn_x2(&x, &fnn_op_MATMUL, c->in[0], fnn_swapped(&x, c->in[1]));
    if (c->in[2]) y = fnn_x2(&x, &fnn_op_ADD, y, c->in[2]);
    fnn_tensor result;
    FNN_TRY(fnn_give(&x, &result, y));
    fnn_status status = fnn_copy_into(c->out, &result);
    fnn_tensor_unref(&result);
    return status;
}

static fnn_status forward_linear(fnn_call *c) {
    if (!fnn_dtype_is_float(c->out->dtype)) return forward_linear_whole(c);
    fnn_product p;
    bool copy;
    fnn_tensor x = {0}, bias = {0};
    FNN_TRY(linear_product(c->in[0], c->in[1], &p, &copy));
    p.has_bias = c->in[2] != NULL;
    fnn_status status = copy ? fnn_contiguous(&x, c->in[0]) : FNN_OK;
    if (!status && p.has_bias) status = fnn_contiguous(&bias, c->in[2]);
    if (!status) fnn_matmul_run(&p, c->out->dtype, c->out->data, copy ? x.data : c->in[0]->data, c->in[1]->data, bias.data, c->scratch);
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&bias);
    return status;
}

static fnn_status back_linear(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0];
    int64_t in = b->in_geom[1].shape[1], out = b->in_geom[1].shape[0];
    const bool both = b->need[0] && b->need[1] && b->in_geom[0].ndim > 1;
    if (both) FNN_TRY(back_rows(b, true));
    if (b->need[0] && !both) {
        FNN_EXPR(x);
        FNN_TRY(fnn_give(&x, &b->dx[0], fnn_x2(&x, &fnn_op_MATMUL, dy, &b->in[1])));
    }
    if (b->need[1] && !both) {
        FNN_EXPR(x);
        const fnn_tensor *d2 = dy->ndim == 2 ? dy : fnn_rows_of(&x, dy, out), *x2 = b->in[0].ndim == 2 ? &b->in[0] : fnn_rows_of(&x, &b->in[0], in);
        FNN_TRY(fnn_give(&x, &b->dx[1], d2 && x2 ? fnn_x2(&x, &fnn_op_MATMUL, fnn_swapped(&x, d2), x2) : NULL));
    }
    return b->need[2] ? fnn_sum_to(&b->dx[2], dy, &b->in_geom[2]) : FNN_OK;
}

const fnn_op fnn_op_LINEAR = {.name = "linear", .grad_name_of = fnn_grad_name_linear, .n_in = 3, .n_out = 1, .optional_in = 4, .save_in = {2, 1, 0},
                              .plan = plan_linear, .forward = forward_linear, .backward = back_linear};
