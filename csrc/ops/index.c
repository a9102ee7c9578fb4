/* Indexing with tensors: x[i, :, j] and x[i, j] = v.
 *
 * INDEX       in: x, index tensors (int64, broadcast together); list[0]: the dimensions they stand at, in order.
 * INDEX_PUT_  in: x, value, index tensors; list[0] as above; v[0].i 1: add instead of store.
 * The dimensions of the indices take the place of the indexed ones where those stand side by side, else they come first.
 * Elements are visited in row-major order of the result, so sums into one place have one order. One index tensor goes to the
 * loops of places.c as it is, several are turned into offsets first. Masks are mask.c; keys are python/index.c. */
#include <string.h>

#include "expr.h"
#include "places.h"

/* Where each dimension of the result comes from. */
typedef struct shape_map {
    fnn_tensor index;            /* geometry of the broadcast indices */
    fnn_tensor result;           /* geometry of the result, contiguous */
    int8_t from[FNN_MAX_DIMS];   /* a dimension of x, or -1 - a dimension of the indices */
} shape_map;

static fnn_status map_shapes(const char *op, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims, shape_map *m) {
    int n = (int)dims->n, at = (int)dims->v[0], count = 0;
    unsigned indexed = 0;
    if (n > FNN_MAX_IN - 2) return fnn_fail(FNN_ERR_INDEX, "%s: found more than %d index tensors", op, FNN_MAX_IN - 2);
    for (int i = 0; i < n; i++) {
        if (index[i]->dtype != FNN_I64)
            return fnn_fail(FNN_ERR_INDEX, "%s: tensors used as indices must be long, found %s", op, fnn_dtype_name((fnn_dtype)index[i]->dtype));
        indexed |= 1u << dims->v[i];
        if (i && dims->v[i] != dims->v[i - 1] + 1) at = 0;
    }
    if (fnn_broadcast(op, &m->index, index, n))
        return fnn_fail(FNN_ERR_INDEX, "%s: shape mismatch: indexing tensors could not be broadcast together with shapes %s, %s", op, fnn_shape_of(index[0]),
                        fnn_shape_of(index[n > 1 ? 1 : 0]));
    if (x->ndim - n + m->index.ndim > FNN_MAX_DIMS) return fnn_fail(FNN_ERR_INDEX, "%s: the result has more than %d dimensions", op, FNN_MAX_DIMS);
    int64_t shape[FNN_MAX_DIMS];
    for (int d = 0; d <= x->ndim; d++) {
        if (count == at && (!count || m->from[count - 1] >= 0))
            for (int s = 0; s < m->index.ndim; s++) {
                shape[count] = m->index.shape[s];
                m->from[count++] = (int8_t)(-1 - s);
            }
        if (d == x->ndim || (indexed >> d & 1)) continue;
        shape[count] = x->shape[d];
        m->from[count++] = (int8_t)d;
    }
    fnn_tensor_set_geometry(&m->result, count, shape, NULL);
    return FNN_OK;
}

/* ---- indices ---- */

/* Where the result is empty no index is used, so each may hold anything; but none fits into a dimension of size 0. */
static fnn_status check_ranges(const char *op, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims) {
    shape_map m = {0};
    FNN_TRY(map_shapes(op, x, index, dims, &m));
    for (int i = 0; i < dims->n && m.index.numel; i++) {
        int64_t d = dims->v[i], size = x->shape[d];
        if (m.result.numel || !size) FNN_TRY(fnn_check_indices(op, FNN_ERR_INDEX, index[i], -size, d, size));
    }
    return FNN_OK;
}

/* off[p] += value * stride over the grid of the indices' broadcast shape, off being contiguous; a negative value counts from size. */
static void add_offsets(const fnn_tensor *off, const fnn_tensor *index, int64_t stride, int64_t size, bool first) {
    int last = off->ndim - 1, shift = off->ndim - index->ndim;
    int64_t step[FNN_MAX_DIMS] = {0}, pos[FNN_MAX_DIMS] = {0}, n = off->ndim ? off->shape[last] : 1;
    for (int d = 0; d < index->ndim; d++) step[d + shift] = index->shape[d] == 1 ? 0 : index->stride[d];
    const int64_t *v = (const int64_t *)index->data;
    int64_t *to = (int64_t *)off->data, along = off->ndim ? step[last] : 0;
    for (int64_t i = 0; i < off->numel; i += n) {
        for (int64_t j = 0; j < n; j++) {
            int64_t value = v[j * along];
            to[i + j] = (first ? 0 : to[i + j]) + (value + (size & (value >> 63))) * stride;
        }
        for (int d = last - 1; d >= 0; d--) {
            v += step[d];
            if (++pos[d] < off->shape[d]) break;
            v -= off->shape[d] * step[d];
            pos[d] = 0;
        }
    }
}

/* One tensor of places (owned): the only index, seen in the broadcast shape, or offsets in elements of x. */
static fnn_status one_index(fnn_tensor *out, const fnn_tensor *x, const fnn_tensor *const *index, const fnn_ints *dims, const shape_map *m, const fnn_tensor *written) {
    if (dims->n == 1) return fnn_index_tensor(out, index[0], written);
    FNN_TRY(fnn_empty(out, FNN_I64, m->index.ndim, m->index.shape));
    for (int i = 0; i < dims->n; i++) add_offsets(out, index[i], x->stride[dims->v[i]], x->shape[dims->v[i]], i == 0);
    return FNN_OK;
}

/* Moves between x at the indices and y, whose shape broadcasts to the result's. */
static fnn_status run(const char *op, const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *const *index, const fnn_ints *dims, fnn_move what) {
    shape_map m = {0};
    fnn_tensor at;
    FNN_TRY(map_shapes(op, x, index, dims, &m));
    if (!m.result.numel) return FNN_OK;
    FNN_TRY(one_index(&at, x, index, dims, &m, what == FNN_MOVE_READ ? NULL : x));
    fnn_places p = {.step = dims->n == 1 ? x->stride[dims->v[0]] : 1, .size = dims->n == 1 ? x->shape[dims->v[0]] : 0};
    int shift = m.result.ndim - y->ndim;
    for (int d = 0; d < m.result.ndim; d++) {
        int own = d - shift, from = m.from[d];
        int64_t y_stride = own < 0 || y->shape[own] == 1 ? 0 : y->stride[own];
        fnn_places_add(&p, m.result.shape[d], from < 0 ? 0 : x->stride[from], y_stride, from < 0 ? at.stride[-1 - from] : 0);
    }
    fnn_places_run(p, x->data, y->data, (const int64_t *)at.data, x->dtype, what);
    fnn_tensor_unref(&at);
    return FNN_OK;
}

/* ---- INDEX ---- */

static fnn_status plan_index(fnn_call *c) {
    shape_map m = {0};
    FNN_TRY(map_shapes("index", c->in[0], c->in + 1, &c->attrs->list[0], &m));
    *c->out = m.result;
    c->out->dtype = c->in[0]->dtype;
    c->work = (double)c->out->numel * 0.5;
    return FNN_OK;
}
static fnn_status inspect_index(fnn_call *c) { return check_ranges("index", c->in[0], c->in + 1, &c->attrs->list[0]); }
static fnn_status forward_index(fnn_call *c) { return run("index", c->in[0], c->out, c->in + 1, &c->attrs->list[0], FNN_MOVE_READ); }

/* acc[index] += dy */
static fnn_status into_index(fnn_backcall *b, fnn_tensor *acc) {
    const fnn_tensor *index[FNN_MAX_IN];
    for (int i = 1; i < b->n_in; i++) index[i - 1] = &b->in[i];
    fnn_tensor dy;
    FNN_TRY(fnn_contiguous(&dy, b->dy[0]));
    fnn_status status = run("index", acc, &dy, index, &b->attrs->list[0], FNN_MOVE_ADD);
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

/* A value's leading sizes of one beyond the result's dimensions do not count. */
static fnn_tensor trimmed(const fnn_tensor *value, int ndim) {
    fnn_tensor v = *value;
    int drop = 0;
    while (v.ndim - drop > ndim && v.shape[drop] == 1) drop++;
    v.ndim = (uint8_t)(v.ndim - drop);
    memmove(v.shape, v.shape + drop, sizeof v.shape[0] * v.ndim);
    memmove(v.stride, v.stride + drop, sizeof v.stride[0] * v.ndim);
    return v;
}

static fnn_status plan_put(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *value = c->in[1];
    shape_map m = {0};
    FNN_TRY(map_shapes("index_put_", x, c->in + 2, &c->attrs->list[0], &m));
    fnn_tensor v = trimmed(value, m.result.ndim);
    bool fits = v.ndim <= m.result.ndim;
    for (int d = 0; d < v.ndim && fits; d++) fits = v.shape[d] == 1 || v.shape[d] == m.result.shape[d + m.result.ndim - v.ndim];
    if (!fits)
        return fnn_fail(FNN_ERR_RUNTIME, "index_put_: shape mismatch: value tensor of shape %s cannot be broadcast to indexing result of shape %s", fnn_shape_of(value),
                        fnn_shape_of(&m.result));
    if (!(value->flags & FNN_T_NUMBER) && value->dtype != x->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "index_put_: Index put requires the source and destination dtypes match, got %s for the destination and %s for the source.",
                        fnn_dtype_name((fnn_dtype)x->dtype), fnn_dtype_name((fnn_dtype)value->dtype));
    c->work = (double)m.result.numel;
    return FNN_OK;
}
static fnn_status inspect_put(fnn_call *c) { return check_ranges("index_put_", c->in[0], c->in + 2, &c->attrs->list[0]); }

/* A value that shares memory with x is copied first: x[i] = x[j] reads what was there before. */
static fnn_status forward_put(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    fnn_tensor value;
    fnn_status status = FNN_OK;
    if (c->in[1]->dtype == x->dtype && c->in[1]->storage && c->in[1]->storage != x->storage) {
        fnn_tensor_ref_data(&value, c->in[1]);
    } else {
        FNN_TRY(fnn_empty(&value, (fnn_dtype)x->dtype, c->in[1]->ndim, c->in[1]->shape));
        status = fnn_copy_into(&value, c->in[1]);
    }
    shape_map m = {0};
    if (!status) status = map_shapes("index_put_", x, c->in + 2, &c->attrs->list[0], &m);
    fnn_tensor v = trimmed(&value, m.result.ndim);
    if (!status) status = run("index_put_", x, &v, c->in + 2, &c->attrs->list[0], c->attrs->v[0].i ? FNN_MOVE_ADD : FNN_MOVE_STORE);
    fnn_tensor_unref(&value);
    return status;
}

/* d_value = dy[index], summed where the value was broadcast */
static fnn_status back_value(fnn_backcall *b) {
    const fnn_tensor *in[FNN_MAX_IN] = {b->dy[0]};
    for (int i = 2; i < b->n_in; i++) in[i - 1] = &b->in[i];
    fnn_tensor picked;
    FNN_TRY(fnn_run(&fnn_op_INDEX, &picked, in, b->n_in - 1, b->attrs));
    fnn_geom g = b->in_geom[1], all = g;
    int drop = g.ndim > picked.ndim ? g.ndim - picked.ndim : 0;
    g.ndim = (uint8_t)(g.ndim - drop);
    memmove(g.shape, g.shape + drop, sizeof g.shape[0] * g.ndim);
    fnn_status status = fnn_sum_to(&b->dx[1], &picked, &g);
    fnn_tensor_unref(&picked);
    if (status || !drop) return status;
    fnn_tensor own = b->dx[1];
    status = fnn_contiguous(&b->dx[1], &own);
    fnn_tensor_unref(&own);
    if (!status) fnn_tensor_set_geometry(&b->dx[1], all.ndim, all.shape, NULL);
    return status;
}

/* d_self = dy, zero where it was overwritten */
static fnn_status back_put(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0];
    if (b->need[1]) FNN_TRY(back_value(b));
    if (!b->need[0]) return FNN_OK;
    if (b->attrs->v[0].i) {
        fnn_tensor_ref_data(&b->dx[0], dy);
        return FNN_OK;
    }
    fnn_tensor *dx = &b->dx[0], none = {0};
    FNN_TRY(fnn_empty(dx, (fnn_dtype)dy->dtype, dy->ndim, dy->shape));
    FNN_TRY(fnn_copy_into(dx, dy));
    double zero = 0;
    fnn_tensor number = fnn_number_f64(&zero);
    const fnn_tensor *put[FNN_MAX_IN] = {dx, &number};
    for (int i = 2; i < b->n_in; i++) put[i] = &b->in[i];
    fnn_call c = {.op = &fnn_op_INDEX_PUT_, .n_in = b->n_in, .n_out = 1, .in = put, .attrs = b->attrs, .out = &none, .inplace = true};
    return fnn_run_call(&c);
}

const fnn_op fnn_op_INDEX_PUT_ = {.name = "index_put", .grad_name = "IndexPutBackward0", .n_in = -1, .n_out = 1, .flags = FNN_F_WRITES | FNN_F_PLACES | FNN_F_REPEATS, .no_grad_in = 0xFC,
                                  .save_in = {0xFC, 0xFC}, .plan = plan_put, .inspect = inspect_put, .forward = forward_put, .backward = back_put};
