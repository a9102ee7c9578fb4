/* matmul and bmm, which follow torch: 1-D operands get a dimension that is dropped again; leading dimensions broadcast; where b
 * is 2-D all leading dimensions of a fold into one product.
 *   forward: y = a b     backward: da = dy b^T, db = a^T dy
 * Integers have a plain loop of their own. Read next: matmul.h (the way from tensors to products), linear.c. */
#include "matmul.h"

#include <string.h>

#include "core/pool.h"
#include "grad_names.h"
#include "permuted.h"

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

/* ---- backward ---- */

/* t with a dimension of one put in at `at` (1-D operands and their gradients). */
static const fnn_tensor *with_dim(fnn_expr *x, const fnn_tensor *t, int at) {
    fnn_attrs attrs = {.v[0].i = at};
    return fnn_xa(x, &fnn_op_UNSQUEEZE, t, &attrs);
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
    fnn_side l, n;
    fnn_side_read(&l, left, true);
    fnn_side_read(&n, right, false);
    fnn_side_turn(i == 0 ? &n : &l);
    const bool by_columns = dx->stride[c] != 1; /* then the transpose is computed: the same sums */
    if (by_columns) {
        const fnn_tensor *first = left;
        const fnn_side s = l;
        left = right;
        right = first;
        l = n;
        n = s;
        fnn_side_turn(&l);
        fnn_side_turn(&n);
    }
    fnn_product p;
    *status = fnn_side_product("matmul", &l, &n, &p);
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

static fnn_side side_of(factor f, bool left) {
    fnn_side s;
    fnn_side_read(&s, f.t, left);
    if (f.turned) fnn_side_turn(&s);
    return s;
}

/* out[i] = a[i] b[i] for the gradients of both operands at once; factors have two dimensions. */
static fnn_status two_gradients(fnn_tensor *out, const factor a[2], const factor b[2]) {
    fnn_product p[2];
    size_t bytes[2];
    const int dtype = a[0].t->dtype;
    for (int i = 0; i < 2; i++) {
        const fnn_side l = side_of(a[i], true), r = side_of(b[i], false);
        FNN_TRY(fnn_side_product("matmul", &l, &r, &p[i]));
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

fnn_status fnn_matmul_back_rows(fnn_backcall *b, bool kept_turned) {
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
    if (b->need[0] && b->need[1] && ga->ndim > 1 && gb->ndim == 2) return fnn_matmul_back_rows(b, false);
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
