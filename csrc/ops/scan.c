/* Running sums and products along one dimension: cumsum, cumprod.
 *
 * attrs: v[0].i dim, v[1].i dtype (-1: the input's, int64 for integers and bool).
 * Floats run in double and are rounded when stored, as in torch; integers wrap. Rows are independent, each is taken in order. */
#include "along.h"
#include "core/threads.h"
#include "expr.h"
#include "kernels/kernels.h"

#define CHUNK 16384 /* elements a thread takes at a time */

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    int64_t dim = c->attrs->v[0].i, want = c->attrs->v[1].i;
    FNN_TRY(fnn_wrap_dim(c->op->name, &dim, x->ndim));
    int dtype = want >= 0 ? (int)want : fnn_dtype_is_float(x->dtype) ? x->dtype : FNN_I64;
    if (dtype == FNN_BOOL) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for bool", c->op->name);
    fnn_tensor_set_geometry(c->out, x->ndim, x->shape, NULL);
    c->out->dtype = (uint8_t)dtype;
    c->work = (double)x->numel * 1.5;
    return FNN_OK;
}

/* y[i] = x[0] * ... * x[i] */
#define PRODUCTS(type, wide)                                                            \
    static void products_##type(type *y, const type *x, int64_t rows, int64_t n) {      \
        for (int64_t r = 0; r < rows; r++, y += n, x += n) {                            \
            wide product = 1;                                                           \
            for (int64_t i = 0; i < n; i++) y[i] = (type)(product *= (wide)x[i]);       \
        }                                                                               \
    }
PRODUCTS(float, double)
PRODUCTS(double, double)
PRODUCTS(int64_t, uint64_t)

typedef struct task {
    const fnn_op *op;
    int dtype;
    char *y, *x;
    int64_t rows, n, rows_per_chunk;
} task;

static void run_chunk(void *ctx, int64_t i) {
    const task *t = ctx;
    int64_t first = i * t->rows_per_chunk, left = t->rows - first, n = t->n;
    int64_t rows = left < t->rows_per_chunk ? left : t->rows_per_chunk, skip = first * n * fnn_itemsize[t->dtype];
    void *y = t->y + skip, *x = t->x + skip;
    bool sums = t->op == &fnn_op_CUMSUM;
    switch (t->dtype) {
    case FNN_F32: sums ? fnn_k.f32.cumsum_rows(y, x, rows, n, n, n) : products_float(y, x, rows, n); break;
    case FNN_F64: sums ? fnn_k.f64.cumsum_rows(y, x, rows, n, n, n) : products_double(y, x, rows, n); break;
    default: sums ? fnn_k.i64_cumsum_rows(y, x, rows, n, n, n) : products_int64_t(y, x, rows, n);
    }
}

/* Integers of all sizes run in int64 and are cast back. */
static fnn_status forward(fnn_call *c) {
    const fnn_tensor *out = c->out;
    if (!out->numel) return FNN_OK;
    int dim = out->ndim ? (int)(c->attrs->v[0].i < 0 ? c->attrs->v[0].i + out->ndim : c->attrs->v[0].i) : 0;
    int dtype = fnn_dtype_is_float(out->dtype) ? out->dtype : FNN_I64;
    fnn_tensor cast, x, y;
    FNN_TRY(fnn_cast(&cast, c->in[0], dtype));
    fnn_status status = fnn_along_read(&cast, dim, &x);
    fnn_tensor_unref(&cast);
    if (status) return status;
    status = fnn_along_begin(out, dim, dtype, &y);
    if (!status) {
        task t = {.op = c->op, .dtype = dtype, .y = y.data, .x = x.data, .n = fnn_along_size(out, dim)};
        t.rows = out->numel / t.n;
        t.rows_per_chunk = t.n >= CHUNK ? 1 : CHUNK / t.n;
        fnn_parallel((t.rows + t.rows_per_chunk - 1) / t.rows_per_chunk, c->work, run_chunk, &t);
        status = fnn_along_end(out, dim, &y);
    }
    fnn_tensor_unref(&x);
    return status;
}

/* ---- backward ---- */

/* dx[i] = dy[i] + ... + dy[n-1] */
static const fnn_tensor *suffix_sums(fnn_expr *x, const fnn_tensor *dy, const fnn_attrs *attrs) {
    fnn_attrs flip = {.list[0] = {.n = 1, .v = {attrs->v[0].i}}}, sum = {.v = {{.i = attrs->v[0].i}, {.i = -1}}};
    const fnn_tensor *turned = dy ? fnn_xa(x, &fnn_op_FLIP, dy, &flip) : NULL;
    const fnn_tensor *summed = turned ? fnn_xa(x, &fnn_op_CUMSUM, turned, &sum) : NULL;
    return summed ? fnn_xa(x, &fnn_op_FLIP, summed, &flip) : NULL;
}

static fnn_status back_cumsum(fnn_backcall *b) {
    FNN_EXPR(x);
    return fnn_give_sum(&x, &b->dx[0], suffix_sums(&x, b->dy[0], b->attrs), &b->in_geom[0]);
}

/* One row. y[j] holds x[i] for j >= i, so dx[i] = sum over j >= i of dy[j] y[j] / x[i]. Where x has a zero at z, y is zero from
 * there on: dx[i] as before for i < z; dx[z] is the sum up to the next zero of dy[j] times the product without x[z]; behind z
 * everything is zero. */
#define PRODUCT_GRADIENTS(type)                                                                          \
    static void product_gradients_##type(type *dx, const type *dy, const type *x, int64_t n) {           \
        int64_t z = 0;                                                                                   \
        double before = 1, sum = 0;                                                                      \
        while (z < n && x[z] != 0) before *= (double)x[z++];                                             \
        for (int64_t i = z; i < n; i++) dx[i] = 0;                                                       \
        double product = before;                                                                         \
        for (int64_t j = z; j < n; j++) {                                                                \
            if (j > z) product *= (double)x[j];                                                          \
            sum += (double)dy[j] * product;                                                              \
        }                                                                                                \
        if (z < n) dx[z] = (type)sum;                                                                    \
        sum = 0;                                                                                         \
        product = before;                                                                                \
        for (int64_t i = z - 1; i >= 0; product /= (double)x[i--]) {                                     \
            sum += (double)dy[i] * product;                                                              \
            dx[i] = (type)(sum / (double)x[i]);                                                          \
        }                                                                                                \
    }
PRODUCT_GRADIENTS(float)
PRODUCT_GRADIENTS(double)

typedef struct gradient_task {
    int dtype;
    char *dx;
    const char *dy, *x; /* (rows, n) all */
    int64_t rows, n, rows_per_chunk;
} gradient_task;

static void gradient_chunk(void *ctx, int64_t chunk) {
    const gradient_task *t = ctx;
    int64_t n = t->n, first = chunk * t->rows_per_chunk, end = first + t->rows_per_chunk < t->rows ? first + t->rows_per_chunk : t->rows;
    for (int64_t i = first * n; i < end * n; i += n) {
        if (t->dtype == FNN_F32)
            product_gradients_float((float *)t->dx + i, (const float *)t->dy + i, (const float *)t->x + i, n);
        else
            product_gradients_double((double *)t->dx + i, (const double *)t->dy + i, (const double *)t->x + i, n);
    }
}

static fnn_status back_cumprod(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    int dim = g->ndim ? (int)(b->attrs->v[0].i < 0 ? b->attrs->v[0].i + g->ndim : b->attrs->v[0].i) : 0, dtype = b->dy[0]->dtype;
    fnn_tensor t[4] = {{0}, {0}, {0}, {0}}, *x = &t[0], *dy = &t[1], *dx = &t[2], *cast = &t[3], out = {.dtype = (uint8_t)dtype};
    fnn_status status = fnn_cast(cast, &b->in[0], dtype);
    if (!status) status = fnn_along_read(cast, dim, x);
    if (!status) status = fnn_along_read(b->dy[0], dim, dy);
    fnn_tensor_set_geometry(&out, g->ndim, g->shape, NULL);
    if (!status) status = fnn_tensor_alloc(&out);
    if (!status) status = fnn_along_begin(&out, dim, dtype, dx);
    int64_t n = fnn_along_size(&out, dim);
    if (!status && out.numel) {
        gradient_task task = {.dtype = dtype, .dx = dx->data, .dy = dy->data, .x = x->data, .n = n, .rows = out.numel / n};
        task.rows_per_chunk = n >= CHUNK ? 1 : CHUNK / n;
        fnn_parallel((task.rows + task.rows_per_chunk - 1) / task.rows_per_chunk, 4.0 * (double)out.numel, gradient_chunk, &task);
    }
    if (!status) status = fnn_along_end(&out, dim, dx);
    if (!status) status = fnn_cast(&b->dx[0], &out, g->dtype);
    for (int i = 0; i < 4; i++) fnn_tensor_unref(&t[i]);
    fnn_tensor_unref(&out);
    return status;
}

const fnn_op fnn_op_CUMSUM = {.name = "cumsum", .grad_name = "CumsumBackward0", .n_in = 1, .n_out = 1, .flags = FNN_F_SCAN, .plan = plan, .forward = forward, .backward = back_cumsum};
const fnn_op fnn_op_CUMPROD = {.name = "cumprod", .grad_name = "CumprodBackward0", .n_in = 1, .n_out = 1, .flags = FNN_F_SCAN, .save_in = {1}, .plan = plan, .forward = forward, .backward = back_cumprod};
