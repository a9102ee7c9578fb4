/* Ops that move whole parts of a tensor, or blank some: flip, roll, tril, triu, one_hot.
 *
 * attrs: FLIP list[0] dims. ROLL list[0] shifts, list[1] dims (n <= 0: of the flattened tensor). TRIL, TRIU v[0].i diagonal.
 * ONE_HOT v[0].i number of classes (-1: one more than the largest value, found by inspect).
 * All but one_hot only move data, so their results and gradients are exact. */
#include <string.h>

#include "expr.h"
#include "iter.h"

/* ---- flip ---- */

static fnn_status flipped(const fnn_call *c, unsigned *dims) {
    const fnn_ints *list = &c->attrs->list[0];
    *dims = 0;
    for (int i = 0; i < list->n; i++) {
        int64_t d = list->v[i];
        FNN_TRY(fnn_wrap_dim("flip", &d, c->in[0]->ndim));
        if (*dims >> d & 1) return fnn_fail(FNN_ERR_RUNTIME, "flip: dim %lld appears multiple times in the list of dims", (long long)d);
        *dims |= 1u << d;
    }
    return FNN_OK;
}

static fnn_status plan_flip(fnn_call *c) {
    unsigned dims;
    const fnn_tensor *in = c->in[0];
    FNN_TRY(flipped(c, &dims));
    fnn_tensor_set_geometry(c->out, in->ndim, in->shape, NULL);
    fnn_keep_layout(c->out, c->in, 1);
    c->out->dtype = in->dtype;
    c->work = (double)in->numel * 0.5;
    return FNN_OK;
}

/* An elementwise loop (kernels/loops.def) that copies; made for the reversed rows of a flip. */
#define COPY(type)                                                                          \
    static void copy_##type(char *const *ptr, const int64_t *stride, int64_t n) {           \
        char *y = ptr[0];                                                                   \
        const char *x = ptr[1];                                                             \
        if (stride[0] == sizeof(type) && stride[1] == -(int64_t)sizeof(type)) {             \
            const type *from = (const type *)x - (n - 1);                                   \
            for (int64_t i = 0; i < n; i++) ((type *)y)[i] = from[n - 1 - i];               \
        } else {                                                                            \
            for (int64_t i = 0; i < n; i++, y += stride[0], x += stride[1]) *(type *)y = *(const type *)x; \
        }                                                                                   \
    }
COPY(uint64_t)
COPY(uint32_t)
COPY(uint8_t)

/* A copy of a view that starts at the other end and steps backwards. Such strides exist nowhere else. */
static fnn_status forward_flip(fnn_call *c) {
    unsigned dims;
    fnn_tensor from = *c->in[0];
    const fnn_tensor *in = &from;
    FNN_TRY(flipped(c, &dims));
    for (int d = 0; d < from.ndim; d++) {
        if (!(dims >> d & 1) || from.shape[d] < 2) continue;
        from.data += (from.shape[d] - 1) * from.stride[d] * fnn_itemsize[from.dtype];
        from.stride[d] = -from.stride[d];
        from.contiguous = 0;
    }
    bool turned = from.ndim && from.stride[from.ndim - 1] < 0; /* else the innermost rows are copied as they are */
    int size = fnn_itemsize[from.dtype];
    fnn_loop reversed = size == 8 ? copy_uint64_t : size == 4 ? copy_uint32_t : copy_uint8_t;
    fnn_iterate(turned ? reversed : fnn_k.cast[from.dtype][from.dtype], c->out, &in, 1, 0.5);
    return FNN_OK;
}

static fnn_status back_flip(fnn_backcall *b) { return fnn_run1(&fnn_op_FLIP, &b->dx[0], b->dy[0], b->attrs); }

/* ---- roll ---- */

/* How far each dimension is rolled, in [0, size); of the flattened tensor where no dims are given. */
static fnn_status distances(const fnn_call *c, int64_t *by) {
    const fnn_tensor *in = c->in[0];
    const fnn_ints *shifts = &c->attrs->list[0], *dims = &c->attrs->list[1];
    if (!shifts->n) return fnn_fail(FNN_ERR_RUNTIME, "roll: `shifts` required");
    bool flat = dims->n <= 0;
    if (flat ? shifts->n != 1 : shifts->n != dims->n)
        return fnn_fail(FNN_ERR_RUNTIME, "roll: shifts and dimensions must align. shifts: %lld, dims:%lld", (long long)shifts->n, (long long)(flat ? 0 : dims->n));
    if (!flat && !in->ndim) return fnn_fail(FNN_ERR_INDEX, "roll: Dimension specified as %lld but tensor has no dimensions", (long long)dims->v[0]);
    memset(by, 0, sizeof *by * FNN_MAX_DIMS);
    if (!in->numel) return FNN_OK; /* nothing to roll: torch does not even look at the dimensions */
    for (int i = 0; i < shifts->n; i++) {
        int64_t d = flat ? 0 : dims->v[i];
        if (!flat) FNN_TRY(fnn_wrap_dim("roll", &d, in->ndim));
        int64_t size = flat ? in->numel : in->shape[d];
        by[d] = (by[d] + shifts->v[i] % size + size) % size;
    }
    return FNN_OK;
}

static fnn_status plan_roll(fnn_call *c) {
    int64_t by[FNN_MAX_DIMS];
    FNN_TRY(distances(c, by));
    fnn_tensor_set_geometry(c->out, c->in[0]->ndim, c->in[0]->shape, NULL);
    c->out->dtype = c->in[0]->dtype;
    c->work = (double)c->in[0]->numel * 0.5;
    return FNN_OK;
}

/* Rows [from, from + n) of dimension d. */
static fnn_tensor rows_of(const fnn_tensor *t, int d, int64_t from, int64_t n) {
    fnn_tensor part = *t;
    part.data += from * t->stride[d] * fnn_itemsize[t->dtype];
    part.shape[d] = n;
    fnn_tensor_derive(&part);
    return part;
}

/* Each rolled dimension falls into two pieces, which change places. */
static fnn_status roll_from(const fnn_tensor *y, const fnn_tensor *x, const int64_t *by, int d) {
    while (d < y->ndim && !by[d]) d++;
    if (d == y->ndim) return fnn_copy_into(y, x);
    int64_t n = x->shape[d], s = by[d];
    fnn_tensor to = rows_of(y, d, s, n - s), from = rows_of(x, d, 0, n - s);
    FNN_TRY(roll_from(&to, &from, by, d + 1));
    to = rows_of(y, d, 0, s);
    from = rows_of(x, d, n - s, s);
    return roll_from(&to, &from, by, d + 1);
}

static fnn_status forward_roll(fnn_call *c) {
    int64_t by[FNN_MAX_DIMS];
    FNN_TRY(distances(c, by));
    if (c->attrs->list[1].n > 0) return roll_from(c->out, c->in[0], by, 0);
    fnn_tensor x, y = *c->out;
    FNN_TRY(fnn_contiguous(&x, c->in[0]));
    fnn_tensor_set_geometry(&x, 1, &x.numel, NULL);
    fnn_tensor_set_geometry(&y, 1, &y.numel, NULL);
    fnn_status status = roll_from(&y, &x, by, 0);
    fnn_tensor_unref(&x);
    return status;
}

static fnn_status back_roll(fnn_backcall *b) {
    fnn_attrs back = *b->attrs;
    for (int i = 0; i < back.list[0].n; i++) back.list[0].v[i] = -back.list[0].v[i];
    return fnn_run1(&fnn_op_ROLL, &b->dx[0], b->dy[0], &back);
}

/* ---- tril, triu ---- */

static fnn_status plan_triangle(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    if (in->ndim < 2) return fnn_fail(FNN_ERR_RUNTIME, "%s: input tensor must have at least 2 dimensions, found %d", c->op->name, in->ndim);
    fnn_tensor_set_geometry(c->out, in->ndim, in->shape, NULL);
    c->out->dtype = in->dtype;
    c->work = (double)in->numel * 0.5;
    return FNN_OK;
}

static void blank(char *row, int64_t from, int64_t to, int64_t stride, int64_t size) {
    if (from >= to) return;
    if (stride == 1) {
        memset(row + from * size, 0, (size_t)((to - from) * size));
        return;
    }
    for (int64_t j = from; j < to; j++) memset(row + j * stride * size, 0, (size_t)size);
}

/* tril keeps column j of row i where j - i <= diagonal, triu where j - i >= diagonal */
static fnn_status forward_triangle(fnn_call *c) {
    const fnn_tensor *y = c->out;
    if (y->data != c->in[0]->data) FNN_TRY(fnn_copy_into(y, c->in[0]));
    if (!y->numel) return FNN_OK;
    bool lower = c->op == &fnn_op_TRIL;
    int last = y->ndim - 1;
    int64_t cols = y->shape[last], size = fnn_itemsize[y->dtype], index[FNN_MAX_DIMS] = {0};
    /* Beyond the matrix one diagonal is as good as another; a bounded one cannot overflow i + diagonal. */
    int64_t far = cols + y->shape[last - 1], diagonal = c->attrs->v[0].i;
    diagonal = diagonal > far ? far : diagonal < -far ? -far : diagonal;
    char *row = y->data;
    for (int64_t r = 0, rows = y->numel / cols; r < rows; r++) {
        int64_t edge = index[last - 1] + diagonal + lower;
        edge = edge < 0 ? 0 : edge > cols ? cols : edge;
        blank(row, lower ? edge : 0, lower ? cols : edge, y->stride[last], size);
        for (int d = last - 1; d >= 0; d--) {
            row += y->stride[d] * size;
            if (++index[d] < y->shape[d]) break;
            row -= y->shape[d] * y->stride[d] * size;
            index[d] = 0;
        }
    }
    return FNN_OK;
}

static fnn_status back_triangle(fnn_backcall *b) { return fnn_run1(b->op, &b->dx[0], b->dy[0], b->attrs); }

/* ---- one_hot ---- */

static fnn_status plan_one_hot(fnn_call *c) {
    const fnn_tensor *in = c->in[0];
    if (in->dtype != FNN_I64)
        return fnn_fail(FNN_ERR_RUNTIME, "one_hot: one_hot is only applicable to index tensor of type LongTensor, found %s", fnn_dtype_name((fnn_dtype)in->dtype));
    if (in->ndim == FNN_MAX_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "one_hot: found %d dimensions, wanted at most %d", in->ndim, FNN_MAX_DIMS - 1);
    if (!in->numel && c->attrs->v[0].i <= 0) return fnn_fail(FNN_ERR_RUNTIME, "one_hot: Can not infer total number of classes from empty tensor.");
    c->out->dtype = FNN_I64;
    c->work = (double)in->numel;
    return FNN_OK;
}

/* Range of the classes; fixes the size of the new dimension. */
static fnn_status inspect_one_hot(fnn_call *c) {
    fnn_tensor t;
    FNN_TRY(fnn_contiguous(&t, c->in[0]));
    const int64_t *v = (const int64_t *)t.data;
    int64_t low = 0, high = -1, classes = c->attrs->v[0].i, shape[FNN_MAX_DIMS];
    for (int64_t i = 0; i < t.numel; i++) {
        low = v[i] < low ? v[i] : low;
        high = v[i] > high ? v[i] : high;
    }
    fnn_tensor_unref(&t);
    if (low < 0) return fnn_fail(FNN_ERR_RUNTIME, "one_hot: Class values must be non-negative. Found %lld", (long long)low);
    if (classes == -1) classes = high + 1;
    if (high >= classes)
        return fnn_fail(FNN_ERR_RUNTIME, "one_hot: Class values must be smaller than num_classes. Found %lld and num_classes %lld", (long long)high, (long long)classes);
    memcpy(shape, c->in[0]->shape, sizeof shape);
    shape[c->in[0]->ndim] = classes;
    fnn_tensor_set_geometry(c->out, c->in[0]->ndim + 1, shape, NULL);
    return FNN_OK;
}

static fnn_status forward_one_hot(fnn_call *c) {
    fnn_tensor t;
    FNN_TRY(fnn_contiguous(&t, c->in[0]));
    int64_t *y = (int64_t *)c->out->data, classes = c->out->shape[c->out->ndim - 1];
    memset(y, 0, (size_t)c->out->numel * sizeof *y);
    for (int64_t i = 0; i < t.numel; i++) y[i * classes + ((const int64_t *)t.data)[i]] = 1;
    fnn_tensor_unref(&t);
    return FNN_OK;
}

#define ARRANGE(NAME, text, grad, the_plan, the_forward, the_backward, ...)              \
    const fnn_op fnn_op_##NAME = {.name = text, .grad_name = grad, .n_in = 1, .n_out = 1, \
                                  .plan = the_plan, .forward = the_forward, .backward = the_backward, __VA_ARGS__};
ARRANGE(FLIP, "flip", "FlipBackward0", plan_flip, forward_flip, back_flip, .flags = 0)
ARRANGE(ROLL, "roll", "RollBackward0", plan_roll, forward_roll, back_roll, .flags = 0)
ARRANGE(TRIL, "tril", "TrilBackward0", plan_triangle, forward_triangle, back_triangle, .flags = FNN_F_ELEMENTWISE | FNN_F_REPEATS)
ARRANGE(TRIU, "triu", "TriuBackward0", plan_triangle, forward_triangle, back_triangle, .flags = FNN_F_ELEMENTWISE | FNN_F_REPEATS)
ARRANGE(ONE_HOT, "one_hot", NULL, plan_one_hot, forward_one_hot, NULL, .flags = FNN_F_NO_GRAD, .inspect = inspect_one_hot)
