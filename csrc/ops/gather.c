/* Reading and writing along one dimension at given indices: gather, scatter, scatter_add, index_select, index_add.
 *
 * attrs: v[0].i dim; SCATTER v[1].i reduce (0 none, 1 add, 2 multiply); INDEX_ADD v[1].f alpha.
 *   GATHER       y[.., i, ..] = x[.., index[.., i, ..], ..]          index of x's number of dimensions
 *   SCATTER(_ADD) y = x; y[.., index[.., i, ..], ..] = (+=) src[.., i, ..]   src of index's, or a number
 *   INDEX_SELECT y[.., i, ..] = x[.., index[i], ..]                  index of one dimension
 *   INDEX_ADD    y = x; y[.., index[i], ..] += alpha source[.., i, ..]
 * A 0-d tensor counts as one of one element. Where several indices name one place, writes come in the order of the index. */
#include <string.h>

#include "expr.h"
#include "places.h"

static int dims(const fnn_tensor *t) { return t->ndim ? t->ndim : 1; }
static int64_t size_at(const fnn_tensor *t, int64_t d) { return t->ndim ? t->shape[d] : 1; }
static int64_t stride_at(const fnn_tensor *t, int64_t d) { return t->ndim ? t->stride[d] : 1; }
static int dim_of(const fnn_attrs *a, int ndim) { return (int)(!ndim ? 0 : a->v[0].i < 0 ? a->v[0].i + ndim : a->v[0].i); }

static fnn_status want_index(const char *op, const fnn_tensor *index) {
    if (index->dtype == FNN_I64 || index->dtype == FNN_I32) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected dtype int32/int64 for index, found %s", op, fnn_dtype_name((fnn_dtype)index->dtype));
}

/* ---- grids ---- */

/* One index per element: over the index's shape. y may be larger than it; NULL repeats one element. */
static fnn_places grid_each(const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *index, int dim) {
    fnn_places p = {.step = stride_at(x, dim), .size = size_at(x, dim)};
    for (int d = 0; d < dims(index); d++)
        fnn_places_add(&p, size_at(index, d), d == dim ? 0 : stride_at(x, d), y ? stride_at(y, d) : 0, stride_at(index, d));
    return p;
}

/* One index per slice: over y's shape. */
static fnn_places grid_slices(const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *index, int dim) {
    fnn_places p = {.step = stride_at(x, dim), .size = size_at(x, dim)};
    for (int d = 0; d < dims(y); d++)
        fnn_places_add(&p, size_at(y, d), d == dim ? 0 : stride_at(x, d), stride_at(y, d), d == dim ? stride_at(index, 0) : 0);
    return p;
}

typedef fnn_places (*grid_fn)(const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *index, int dim);

static fnn_status move(grid_fn grid, const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *index, int dim, fnn_move what) {
    fnn_tensor at;
    FNN_TRY(fnn_index_tensor(&at, index, what == FNN_MOVE_READ ? y : x));
    fnn_places_run(grid(x, y, &at, dim), x->data, y->data, (const int64_t *)at.data, x->dtype, what);
    fnn_tensor_unref(&at);
    return FNN_OK;
}

static fnn_status check_range(fnn_call *c, fnn_status kind, int64_t low) {
    int64_t dim = dim_of(c->attrs, c->in[0]->ndim);
    fnn_tensor at;
    FNN_TRY(fnn_cast(&at, c->in[1], FNN_I64));
    fnn_status status = fnn_check_indices(c->op->name, kind, &at, low, dim, size_at(c->in[0], dim));
    fnn_tensor_unref(&at);
    return status;
}

/* ---- gather ---- */

static fnn_status plan_gather(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *index = c->in[1];
    int64_t dim = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim("gather", &dim, x->ndim));
    if (index->numel) { /* an empty index may have any dtype and shape */
        FNN_TRY(want_index("gather", index));
        if (dims(index) != dims(x))
            return fnn_fail(FNN_ERR_RUNTIME, "gather: Index tensor must have the same number of dimensions as input tensor, found shapes %s and %s", fnn_shape_of(index), fnn_shape_of(x));
        for (int d = 0; d < dims(x); d++)
            if (d != dim && size_at(index, d) > size_at(x, d))
                return fnn_fail(FNN_ERR_RUNTIME, "gather: Size does not match at dimension %d expected index %s to be no larger than self %s apart from dimension %lld", d,
                                fnn_shape_of(index), fnn_shape_of(x), (long long)dim);
    }
    fnn_tensor_set_geometry(c->out, index->ndim, index->shape, NULL);
    c->out->dtype = x->dtype;
    c->work = (double)index->numel * 1.5;
    return FNN_OK;
}
/* torch: an IndexError from index_add to a vector, a RuntimeError from the others. */
static fnn_status inspect_each(fnn_call *c) {
    return check_range(c, c->op == &fnn_op_INDEX_ADD && c->in[0]->ndim < 2 ? FNN_ERR_INDEX : FNN_ERR_RUNTIME, 0);
}
static fnn_status forward_gather(fnn_call *c) {
    if (!c->out->numel) return FNN_OK;
    return move(grid_each, c->in[0], c->out, c->in[1], dim_of(c->attrs, c->in[0]->ndim), FNN_MOVE_READ);
}
static fnn_status into_gather(fnn_backcall *b, fnn_tensor *acc) {
    if (!b->dy[0]->numel) return FNN_OK;
    return move(grid_each, acc, b->dy[0], &b->in[1], dim_of(b->attrs, acc->ndim), FNN_MOVE_ADD);
}
static fnn_status back_gather(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    return into_gather(b, &b->dx[0]);
}

/* ---- scatter, scatter_add ---- */

static bool is_number(const fnn_tensor *t) { return (t->flags & FNN_T_NUMBER) != 0; }

static fnn_status fits_source(const char *op, const fnn_tensor *x, const fnn_tensor *index, const fnn_tensor *src, int64_t dim) {
    bool number = is_number(src), fits = true;
    int d;
    if (dims(index) != dims(x))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Index tensor must have the same number of dimensions as self tensor, found shapes %s and %s", op, fnn_shape_of(index), fnn_shape_of(x));
    for (d = 0; d < dims(x) && fits; d++) fits = d == dim || size_at(index, d) <= size_at(x, d);
    for (d = 0; d < dims(x) && fits && !number; d++) {
        if (src->ndim && d >= src->ndim)
            return fnn_fail(FNN_ERR_INDEX, "%s: Dimension out of range: src of shape %s has no dimension %d", op, fnn_shape_of(src), d);
        fits = size_at(index, d) <= size_at(src, d);
    }
    if (!number && dims(index) != dims(src))
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Index tensor must have the same number of dimensions as src tensor, found shapes %s and %s", op, fnn_shape_of(index), fnn_shape_of(src));
    if (fits) return FNN_OK;
    if (number)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected index %s to be no larger than self %s apart from dimension %lld", op, fnn_shape_of(index), fnn_shape_of(x), (long long)dim);
    return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected index %s to be no larger than self %s apart from dimension %lld and to be no larger size than src %s", op,
                    fnn_shape_of(index), fnn_shape_of(x), (long long)dim, fnn_shape_of(src));
}

static fnn_status plan_like_self(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    fnn_tensor_set_geometry(c->out, x->ndim, x->shape, NULL);
    c->out->dtype = x->dtype;
    c->work = (double)x->numel * 0.3 + (double)c->in[2]->numel * 2;
    return FNN_OK;
}

static fnn_status plan_scatter(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *index = c->in[1], *src = c->in[2];
    int64_t dim = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim(c->op->name, &dim, x->ndim));
    if (index->numel) FNN_TRY(want_index(c->op->name, index)); /* an empty one may have any dtype and shape */
    if (!is_number(src) && src->dtype != x->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "%s: Expected self.dtype to be equal to src.dtype, found %s and %s", c->op->name, fnn_dtype_name((fnn_dtype)x->dtype),
                        fnn_dtype_name((fnn_dtype)src->dtype));
    if (index->numel) FNN_TRY(fits_source(c->op->name, x, index, src, dim));
    return plan_like_self(c);
}

/* The tensor that is written: a copy of the input, or in place the input itself. */
static fnn_status start(fnn_call *c) { return c->out->data == c->in[0]->data ? FNN_OK : fnn_copy_into(c->out, c->in[0]); }

/* src as it can be read while `written` changes: a number as one element of its dtype (borrowed slot), shared memory as a copy. */
static fnn_status source(fnn_tensor *out, const fnn_tensor *src, const fnn_tensor *written) {
    if (!is_number(src) && src->storage != written->storage) {
        fnn_tensor_ref_data(out, src);
        return FNN_OK;
    }
    FNN_TRY(fnn_empty(out, (fnn_dtype)written->dtype, src->ndim, src->shape));
    fnn_status status = fnn_copy_into(out, src);
    if (is_number(src)) memset(out->stride, 0, sizeof out->stride);
    return status;
}

static fnn_places grid_number(const fnn_tensor *x, const fnn_tensor *y, const fnn_tensor *index, int dim) {
    (void)y;
    return grid_each(x, NULL, index, dim);
}

static fnn_status forward_scatter(fnn_call *c) {
    static const fnn_move by_reduce[] = {FNN_MOVE_STORE, FNN_MOVE_ADD, FNN_MOVE_MUL};
    FNN_TRY(start(c));
    if (!c->in[1]->numel) return FNN_OK;
    fnn_tensor src;
    FNN_TRY(source(&src, c->in[2], c->out));
    fnn_move what = c->op == &fnn_op_SCATTER_ADD ? FNN_MOVE_ADD : by_reduce[c->attrs->v[1].i];
    fnn_status status = move(is_number(c->in[2]) ? grid_number : grid_each, c->out, &src, c->in[1], dim_of(c->attrs, c->out->ndim), what);
    fnn_tensor_unref(&src);
    return status;
}

/* d_src is read from dy at the indices; where scatter stored over x, d_x is zero. */
static fnn_status back_scatter(fnn_backcall *b) {
    const fnn_tensor *dy = b->dy[0], *index = &b->in[1];
    int dim = dim_of(b->attrs, dy->ndim);
    bool adds = b->op == &fnn_op_SCATTER_ADD || b->attrs->v[1].i == 1;
    if (!adds && b->attrs->v[1].i) return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "scatter: derivative for reduce='multiply' is not implemented");
    if (b->need[2]) {
        FNN_TRY(fnn_zeros(&b->dx[2], &b->in_geom[2]));
        if (index->numel) FNN_TRY(move(grid_each, dy, &b->dx[2], index, dim, FNN_MOVE_READ));
    }
    if (!b->need[0]) return FNN_OK;
    if (adds) {
        fnn_tensor_ref_data(&b->dx[0], dy);
        return FNN_OK;
    }
    double zero = 0;
    fnn_tensor number = fnn_number_f64(&zero);
    const fnn_tensor *in[3] = {dy, index, &number};
    return fnn_run(&fnn_op_SCATTER, &b->dx[0], in, 3, b->attrs);
}

/* ---- index_select, index_add ---- */

static fnn_status plan_select(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *index = c->in[1];
    int64_t dim = c->attrs->v[0].i, shape[FNN_MAX_DIMS];
    FNN_TRY(fnn_wrap_dim("index_select", &dim, x->ndim));
    if (index->ndim > 1) return fnn_fail(FNN_ERR_INDEX, "index_select: Index is supposed to be a vector, found shape %s", fnn_shape_of(index));
    FNN_TRY(want_index("index_select", index));
    if (!x->ndim && index->numel != 1)
        return fnn_fail(FNN_ERR_RUNTIME, "index_select: Index to scalar can have only 1 value, got %lld value(s)", (long long)index->numel);
    memcpy(shape, x->shape, sizeof shape);
    shape[dim] = index->numel;
    fnn_tensor_set_geometry(c->out, x->ndim, shape, NULL);
    c->out->dtype = x->dtype;
    c->work = (double)c->out->numel * 0.5;
    return FNN_OK;
}
/* torch: a RuntimeError along dimension 1, which it reads in a way of its own, and where there is nothing to read; else an IndexError. */
static fnn_status inspect_select(fnn_call *c) {
    int dim = dim_of(c->attrs, c->in[0]->ndim);
    bool runtime = dim == 1 || (c->in[0]->ndim > 1 && !c->in[0]->shape[dim]);
    return check_range(c, runtime ? FNN_ERR_RUNTIME : FNN_ERR_INDEX, 0);
}
static fnn_status forward_select(fnn_call *c) {
    return move(grid_slices, c->in[0], c->out, c->in[1], dim_of(c->attrs, c->in[0]->ndim), FNN_MOVE_READ);
}
static fnn_status into_select(fnn_backcall *b, fnn_tensor *acc) {
    return move(grid_slices, acc, b->dy[0], &b->in[1], dim_of(b->attrs, acc->ndim), FNN_MOVE_ADD);
}
static fnn_status back_select(fnn_backcall *b) {
    FNN_TRY(fnn_zeros(&b->dx[0], &b->in_geom[0]));
    return into_select(b, &b->dx[0]);
}

static fnn_status plan_add(fnn_call *c) {
    const fnn_tensor *x = c->in[0], *index = c->in[1], *src = c->in[2];
    int64_t dim = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim("index_add", &dim, x->ndim));
    if (index->ndim > 1) return fnn_fail(FNN_ERR_INDEX, "index_add: Index is supposed to be a vector, found shape %s", fnn_shape_of(index));
    FNN_TRY(want_index("index_add", index));
    if (src->dtype != x->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "index_add: self (%s) and source (%s) must have the same scalar type", fnn_dtype_name((fnn_dtype)x->dtype), fnn_dtype_name((fnn_dtype)src->dtype));
    bool alike = src->ndim == x->ndim;
    for (int d = 0; d < x->ndim && alike; d++) alike = d == dim || src->shape[d] == x->shape[d];
    if (!src->ndim && index->numel != 1)
        return fnn_fail(dim ? FNN_ERR_RUNTIME : FNN_ERR_INDEX, "index_add: Dimension specified as %lld but source has no dimensions", (long long)dim);
    if ((dim < dims(src) ? size_at(src, dim) : 0) != index->numel)
        return fnn_fail(FNN_ERR_RUNTIME, "index_add: Number of indices (%lld) should be equal to source.size(dim), found source of shape %s and dim %lld", (long long)index->numel,
                        fnn_shape_of(src), (long long)dim);
    if (!alike)
        return fnn_fail(FNN_ERR_RUNTIME, "index_add: source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = %s source.shape = %s",
                        fnn_shape_of(x), fnn_shape_of(src));
    return plan_like_self(c);
}

/* t times alpha, in t's dtype; t itself for 1. */
static fnn_status scaled(fnn_tensor *out, const fnn_tensor *t, double alpha) {
    int64_t whole = (int64_t)alpha;
    fnn_tensor number = fnn_dtype_is_float(t->dtype) ? fnn_number_f64(&alpha) : fnn_number_i64(&whole), product;
    if (alpha != 1) {
        FNN_TRY(fnn_run2(&fnn_op_MUL, &product, t, &number));
        fnn_status status = fnn_cast(out, &product, t->dtype); /* truth values times a number are integers */
        fnn_tensor_unref(&product);
        return status;
    }
    fnn_tensor_ref_data(out, t);
    return FNN_OK;
}

static fnn_status forward_add(fnn_call *c) {
    FNN_TRY(start(c));
    fnn_tensor own, src;
    FNN_TRY(source(&own, c->in[2], c->out));
    fnn_status status = scaled(&src, &own, c->attrs->v[1].f);
    fnn_tensor_unref(&own);
    if (status) return status;
    status = move(grid_slices, c->out, &src, c->in[1], dim_of(c->attrs, c->out->ndim), FNN_MOVE_ADD);
    fnn_tensor_unref(&src);
    return status;
}

static fnn_status back_add(fnn_backcall *b) {
    if (b->need[0]) fnn_tensor_ref_data(&b->dx[0], b->dy[0]);
    if (!b->need[2]) return FNN_OK;
    const fnn_tensor *in[2] = {b->dy[0], &b->in[1]};
    fnn_tensor picked;
    FNN_TRY(fnn_run(&fnn_op_INDEX_SELECT, &picked, in, 2, b->attrs));
    fnn_status status = scaled(&b->dx[2], &picked, b->attrs->v[1].f);
    fnn_tensor_unref(&picked);
    return status;
}

const fnn_op fnn_op_GATHER = {.name = "gather", .grad_name = "GatherBackward0", .n_in = 2, .n_out = 1, .flags = FNN_F_PLACES, .no_grad_in = 2, .save_in = {2}, .plan = plan_gather,
                              .inspect = inspect_each, .forward = forward_gather, .backward = back_gather, .backward_into = into_gather};
const fnn_op fnn_op_INDEX_SELECT = {.name = "index_select", .grad_name = "IndexSelectBackward0", .n_in = 2, .n_out = 1, .flags = FNN_F_PLACES, .no_grad_in = 2, .save_in = {2}, .plan = plan_select,
                                    .inspect = inspect_select, .forward = forward_select, .backward = back_select, .backward_into = into_select};

/* These write into a copy of the input, or into the input itself: each place is read no more once it is written. `saved`: what the
 * input's own gradient needs; where the op adds, that is the output's gradient alone. */
#define WRITER(NAME, text, grad, saved, the_plan, the_forward, the_backward)                                                                \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 3, .n_out = 1, .flags = FNN_F_ELEMENTWISE | FNN_F_PLACES, .no_grad_in = 2, \
                                  .save_in = {saved, 0, 2}, .plan = the_plan, .inspect = inspect_each, .forward = the_forward, .backward = the_backward};
WRITER(SCATTER, "scatter", "ScatterBackward0", 2, plan_scatter, forward_scatter, back_scatter)
WRITER(SCATTER_ADD, "scatter_add", "ScatterAddBackward0", 0, plan_scatter, forward_scatter, back_scatter)
WRITER(INDEX_ADD, "index_add", "IndexAddBackward0", 0, plan_add, forward_add, back_add)
