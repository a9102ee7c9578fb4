/* Indexing with tensors: x[i, :, j], x[i, j] = v, and the indices of non-zero elements.
 *
 * INDEX       in: x, index tensors (int64, broadcast together); list[0]: the dimensions they stand at, in order.
 * INDEX_PUT_  in: x, value, index tensors; list[0] as above; v[0].i 1: add instead of store.
 * NONZERO     in: x; out: (count, x.ndim) int64, rows in row-major order.
 * The dimensions of the indices take the place of the indexed ones where those stand side by side, else the front.
 * Elements are visited in the order of the indices, so sums into one place have one order. */
#include <string.h>

#include "core/pool.h"
#include "expr.h"
#include "kernels/kernels.h"

/* The way from index position s and remainder r to an element: offset[s] + sum over the rest dimensions. */
typedef struct route {
    fnn_tensor shape;    /* geometry of the broadcast indices */
    int at;              /* where their dimensions stand in the result */
    int n_rest;
    int64_t rest[FNN_MAX_DIMS], x_stride[FNN_MAX_DIMS], y_stride[FNN_MAX_DIMS]; /* in elements */
    int64_t block;       /* elements that lie together in x and y at the innermost; 1: none */
    int64_t n_index, n_blocks;
    fnn_tensor result;   /* geometry of the result, contiguous */
    int64_t s_stride[FNN_MAX_DIMS]; /* of the index dimensions in the result */
} route;

static fnn_status make_route(const char *op, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims, route *r) {
    int n = (int)dims->n;
    *r = (route){0};
    for (int i = 0; i < n; i++)
        if (index[i]->dtype != FNN_I64)
            return fnn_fail(FNN_ERR_INDEX, "%s: tensors used as indices must be long, found %s", op, fnn_dtype_name(index[i]->dtype));
    if (fnn_broadcast(op, &r->shape, index, n))
        return fnn_fail(FNN_ERR_INDEX, "%s: shape mismatch: indexing tensors could not be broadcast together with shapes %s, %s", op,
                        fnn_shape_of(index[0]), fnn_shape_of(index[n > 1 ? 1 : 0]));
    unsigned indexed = 0;
    bool together = true;
    for (int i = 0; i < n; i++) {
        indexed |= 1u << dims->v[i];
        together &= i == 0 || dims->v[i] == dims->v[i - 1] + 1;
    }
    r->at = together ? (int)dims->v[0] : 0;
    if (x->ndim - n + r->shape.ndim > FNN_MAX_DIMS) return fnn_fail(FNN_ERR_INDEX, "%s: the result has more than %d dimensions", op, FNN_MAX_DIMS);
    int64_t shape[FNN_MAX_DIMS];
    int m = 0, from[FNN_MAX_DIMS];
    for (int d = 0, placed = 0; d <= x->ndim; d++) {
        if (!placed && m == r->at) {
            for (int s = 0; s < r->shape.ndim; s++) {
                from[m] = -1 - s;
                shape[m++] = r->shape.shape[s];
            }
            placed = 1;
        }
        if (d == x->ndim || (indexed >> d & 1)) continue;
        from[m] = d;
        shape[m++] = x->shape[d];
    }
    fnn_tensor_set_geometry(&r->result, m, shape, NULL);
    for (int d = 0; d < m; d++) {
        if (from[d] < 0) {
            r->s_stride[-1 - from[d]] = r->result.stride[d];
            continue;
        }
        r->rest[r->n_rest] = shape[d];
        r->x_stride[r->n_rest] = x->stride[from[d]];
        r->y_stride[r->n_rest++] = r->result.stride[d];
    }
    r->n_index = r->shape.numel;
    r->block = 1;
    while (r->n_rest && r->x_stride[r->n_rest - 1] == r->block && r->y_stride[r->n_rest - 1] == r->block) r->block *= r->rest[--r->n_rest];
    r->n_blocks = 1;
    for (int d = 0; d < r->n_rest; d++) r->n_blocks *= r->rest[d];
    return FNN_OK;
}

/* Offsets into x and the result for every index position; indices are in range. */
static void offsets(const route *r, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims, int64_t *in_x, int64_t *in_y) {
    int64_t at[FNN_MAX_DIMS] = {0};
    for (int64_t s = 0; s < r->n_index; s++) {
        int64_t to_x = 0, to_y = 0;
        for (int i = 0; i < dims->n; i++) {
            const fnn_tensor *t = index[i];
            int64_t place = 0, shift = r->shape.ndim - t->ndim, d = dims->v[i];
            for (int k = 0; k < t->ndim; k++)
                if (t->shape[k] != 1) place += at[k + shift] * t->stride[k];
            int64_t value = ((const int64_t *)t->data)[place];
            to_x += (value < 0 ? value + x->shape[d] : value) * x->stride[d];
        }
        for (int k = 0; k < r->shape.ndim; k++) to_y += at[k] * r->s_stride[k];
        in_x[s] = to_x;
        in_y[s] = to_y;
        for (int k = r->shape.ndim - 1; k >= 0 && ++at[k] == r->shape.shape[k]; k--) at[k] = 0;
    }
}

static fnn_status check_range(const char *op, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims) {
    for (int i = 0; i < dims->n; i++)
        if (!index[i]->numel) return FNN_OK; /* the others broadcast against nothing */
    for (int i = 0; i < dims->n; i++) {
        fnn_tensor t;
        FNN_TRY(fnn_contiguous(&t, index[i]));
        int64_t size = x->shape[dims->v[i]], bad = 0, numel = t.numel;
        const int64_t *v = (const int64_t *)t.data;
        bool found = false;
        for (int64_t k = 0; k < numel; k++)
            if (v[k] < -size || v[k] >= size) {
                bad = v[k];
                found = true;
                break;
            }
        fnn_tensor_unref(&t);
        if (found)
            return fnn_fail(FNN_ERR_INDEX, "%s: index %lld is out of bounds for dimension %lld with size %lld", op, (long long)bad, (long long)dims->v[i], (long long)size);
    }
    return FNN_OK;
}

/* What happens to the elements: read into y, write from y, add from y. */
typedef enum action { READ, WRITE, ADD } action;

static void one_block(char *x, char *y, int64_t n, int dtype, action what) {
    size_t bytes = (size_t)n * fnn_itemsize[dtype];
    if (what == READ) {
        memcpy(y, x, bytes);
    } else if (what == WRITE) {
        memcpy(x, y, bytes);
    } else {
        char *ptr[3] = {x, x, y};
        int64_t step = fnn_itemsize[dtype], stride[3] = {step, step, step};
        fnn_k.binary[FNN_B_add][dtype](ptr, stride, n);
    }
}

static fnn_status travel(const route *r, const fnn_tensor *x, char *x_data, char *y_data, const fnn_tensor *const *index, const fnn_ints *dims, action what) {
    size_t bytes = sizeof(int64_t) * 2 * (size_t)(r->n_index ? r->n_index : 1);
    int64_t *in_x = fnn_pool_alloc(bytes);
    if (!in_x) return fnn_fail(FNN_ERR_MEMORY, "index: out of memory for %lld offsets", (long long)r->n_index);
    int64_t *in_y = in_x + r->n_index, size = fnn_itemsize[x->dtype];
    offsets(r, x, index, dims, in_x, in_y);
    for (int64_t s = 0; s < r->n_index && r->block; s++) {
        int64_t at[FNN_MAX_DIMS] = {0};
        char *px = x_data + in_x[s] * size, *py = y_data + in_y[s] * size;
        for (int64_t b = 0; b < r->n_blocks; b++) {
            one_block(px, py, r->block, x->dtype, what);
            for (int d = r->n_rest - 1; d >= 0; d--) {
                px += r->x_stride[d] * size;
                py += r->y_stride[d] * size;
                if (++at[d] < r->rest[d]) break;
                px -= r->rest[d] * r->x_stride[d] * size;
                py -= r->rest[d] * r->y_stride[d] * size;
                at[d] = 0;
            }
        }
    }
    fnn_pool_free(in_x, bytes);
    return FNN_OK;
}

/* ---- INDEX ---- */

static fnn_status plan_index(fnn_call *c) {
    route r;
    FNN_TRY(make_route("index", c->in[0], c->in + 1, &c->attrs->list[0], &r));
    *c->out = r.result;
    c->out->dtype = c->in[0]->dtype;
    c->work = (double)c->out->numel * 0.5;
    return FNN_OK;
}
static fnn_status inspect_index(fnn_call *c) { return check_range("index", c->in[0], c->in + 1, &c->attrs->list[0]); }
static fnn_status forward_index(fnn_call *c) {
    route r;
    FNN_TRY(make_route("index", c->in[0], c->in + 1, &c->attrs->list[0], &r));
    return travel(&r, c->in[0], c->in[0]->data, c->out->data, c->in + 1, &c->attrs->list[0], READ);
}

/* acc[index] += dy, in the order of the indices */
static fnn_status into_index(fnn_backcall *b, fnn_tensor *acc) {
    const fnn_tensor *index[FNN_MAX_IN];
    for (int i = 1; i < b->n_in; i++) index[i - 1] = &b->in[i];
    route r;
    fnn_tensor dy;
    FNN_TRY(make_route("index", acc, index, &b->attrs->list[0], &r));
    FNN_TRY(fnn_contiguous(&dy, b->dy[0]));
    fnn_status status = travel(&r, acc, acc->data, dy.data, index, &b->attrs->list[0], ADD);
    fnn_tensor_unref(&dy);
    return status;
}
static fnn_status back_index(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    return into_index(b, &b->dx[0]);
}

const fnn_op fnn_op_INDEX = {.name = "index", .grad_name = "IndexBackward0", .n_in = -1, .n_out = 1, .no_grad_in = 0xFE, .save_in = {0xFE},
                             .plan = plan_index, .inspect = inspect_index, .forward = forward_index, .backward = back_index, .backward_into = into_index};

/* ---- INDEX_PUT_ ---- */

static fnn_status plan_put(fnn_call *c) {
    route r;
    fnn_tensor shape = {0};
    FNN_TRY(make_route("index_put_", c->in[0], c->in + 2, &c->attrs->list[0], &r));
    const fnn_tensor *both[2] = {&r.result, c->in[1]};
    fnn_status status = fnn_broadcast("index_put_", &shape, both, 2);
    if (status || !fnn_same_shape(&shape, &r.result))
        return fnn_fail(FNN_ERR_RUNTIME, "index_put_: shape mismatch: value tensor of shape %s cannot be broadcast to indexing result of shape %s",
                        fnn_shape_of(c->in[1]), fnn_shape_of(&r.result));
    if (!(c->in[1]->flags & FNN_T_NUMBER) && c->in[1]->dtype != c->in[0]->dtype && c->in[1]->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "index_put_: Index put requires the source and destination dtypes match, got %s for the destination and %s for the source.",
                        fnn_dtype_name(c->in[0]->dtype), fnn_dtype_name(c->in[1]->dtype));
    c->work = (double)r.result.numel;
    return FNN_OK;
}
static fnn_status inspect_put(fnn_call *c) { return check_range("index_put_", c->in[0], c->in + 2, &c->attrs->list[0]); }

static fnn_status forward_put(fnn_call *c) {
    route r;
    fnn_tensor value = {.dtype = c->in[0]->dtype};
    FNN_TRY(make_route("index_put_", c->in[0], c->in + 2, &c->attrs->list[0], &r));
    fnn_tensor_set_geometry(&value, r.result.ndim, r.result.shape, NULL);
    FNN_TRY(fnn_tensor_alloc(&value));
    fnn_status status = fnn_copy_into(&value, c->in[1]);
    if (!status) status = travel(&r, c->in[0], c->in[0]->data, value.data, c->in + 2, &c->attrs->list[0], c->attrs->v[0].i ? ADD : WRITE);
    fnn_tensor_unref(&value);
    return status;
}

/* d_self = dy, zero where it was overwritten; d_value = dy[index] */
static fnn_status back_put(fnn_backcall *b) {
    const fnn_tensor *in[FNN_MAX_IN];
    const fnn_tensor *dy = b->dy[0];
    for (int i = 2; i < b->n_in; i++) in[i - 1] = &b->in[i];
    if (b->need[1]) {
        fnn_tensor picked;
        in[0] = dy;
        FNN_TRY(fnn_run(&fnn_op_INDEX, &picked, in, b->n_in - 1, b->attrs));
        fnn_status status = fnn_sum_to(&b->dx[1], &picked, &b->in_geom[1]);
        fnn_tensor_unref(&picked);
        if (status) return status;
    }
    if (!b->need[0]) return FNN_OK;
    if (b->attrs->v[0].i) {
        fnn_tensor_ref_data(&b->dx[0], dy);
        return FNN_OK;
    }
    fnn_tensor *dx = &b->dx[0];
    FNN_TRY(fnn_empty(dx, dy->dtype, dy->ndim, dy->shape));
    FNN_TRY(fnn_copy_into(dx, dy));
    double zero = 0;
    fnn_tensor number = fnn_number_f64(&zero);
    const fnn_tensor *put[FNN_MAX_IN] = {dx, &number};
    for (int i = 2; i < b->n_in; i++) put[i] = &b->in[i];
    fnn_tensor none = {0};
    fnn_call c = {.op = &fnn_op_INDEX_PUT_, .n_in = b->n_in, .n_out = 1, .in = put, .attrs = b->attrs, .out = &none, .inplace = true};
    return fnn_run_call(&c);
}

const fnn_op fnn_op_INDEX_PUT_ = {.name = "index_put", .grad_name = "IndexPutBackward0", .n_in = -1, .n_out = 1, .flags = FNN_F_WRITES, .no_grad_in = 0xFC,
                                  .save_in = {0xFC, 0xFC}, .plan = plan_put, .inspect = inspect_put, .forward = forward_put, .backward = back_put};

/* ---- NONZERO ---- */

static fnn_status plan_nonzero(fnn_call *c) {
    int64_t shape[2] = {0, c->in[0]->ndim};
    fnn_tensor_set_geometry(c->out, 2, shape, NULL);
    c->out->dtype = FNN_I64;
    c->work = (double)c->in[0]->numel;
    return FNN_OK;
}

static fnn_status truth(const fnn_tensor *x, fnn_tensor *bytes) {
    fnn_tensor cast;
    FNN_TRY(fnn_cast(&cast, x, FNN_BOOL));
    fnn_status status = fnn_contiguous(bytes, &cast);
    fnn_tensor_unref(&cast);
    return status;
}

/* The size depends on the values: it is fixed here, before memory is allocated. */
static fnn_status inspect_nonzero(fnn_call *c) {
    fnn_tensor bytes;
    FNN_TRY(truth(c->in[0], &bytes));
    int64_t count = 0, shape[2];
    for (int64_t i = 0; i < bytes.numel; i++) count += bytes.data[i] != 0;
    fnn_tensor_unref(&bytes);
    shape[0] = count;
    shape[1] = c->in[0]->ndim;
    fnn_tensor_set_geometry(c->out, 2, shape, (int64_t[]){1, count ? count : 1}); /* each dimension's indices in one piece */
    return FNN_OK;
}
static fnn_status forward_nonzero(fnn_call *c) {
    fnn_tensor bytes;
    FNN_TRY(truth(c->in[0], &bytes));
    int64_t *y = (int64_t *)c->out->data, at[FNN_MAX_DIMS] = {0}, count = c->out->shape[0];
    for (int64_t i = 0; i < bytes.numel; i++) {
        if (bytes.data[i])
            for (int d = 0; d < bytes.ndim; d++) y[d * count] = at[d];
        y += bytes.data[i] != 0;
        for (int d = bytes.ndim - 1; d >= 0 && ++at[d] == bytes.shape[d]; d--) at[d] = 0;
    }
    fnn_tensor_unref(&bytes);
    return FNN_OK;
}

const fnn_op fnn_op_NONZERO = {.name = "nonzero", .n_in = 1, .n_out = 1, .flags = FNN_F_NO_GRAD, .plan = plan_nonzero, .inspect = inspect_nonzero, .forward = forward_nonzero};
