/* Elements where something is true: nonzero gives their places, masked_select the elements themselves, masked_scatter puts others there.
 *
 * NONZERO        in: x; out: (count, x.ndim) int64, places in row-major order. As in torch the columns lie contiguous.
 * MASKED_SELECT  in: x, mask (bool), broadcast together; out: (count,) in row-major order. Saved: mask.
 * MASKED_SCATTER in: x, mask (bool), broadcast together, source: its first elements, in row-major order, go where the mask is set,
 *                the others stay unused; out: of the broadcast shape. Saved: mask.
 * What depends on the values, the size of the result or whether the source suffices, inspect counts before memory is allocated. */
#include <string.h>

#include "expr.h"

/* ---- nonzero ---- */

static fnn_status plan_nonzero(fnn_call *c) {
    c->out->dtype = FNN_I64;
    c->work = (double)c->in[0]->numel;
    return FNN_OK;
}

static int64_t count_true(const fnn_tensor *bytes) {
    int64_t count = 0;
    for (int64_t i = 0; i < bytes->numel; i++) count += bytes->data[i] != 0;
    return count;
}

static fnn_status inspect_nonzero(fnn_call *c) {
    fnn_tensor bytes;
    FNN_TRY(fnn_contiguous_as(&bytes, c->in[0], FNN_BOOL));
    int64_t count = count_true(&bytes), shape[2] = {count, bytes.ndim}, stride[2] = {1, count ? count : 1};
    fnn_tensor_unref(&bytes);
    fnn_tensor_set_geometry(c->out, 2, shape, stride);
    return FNN_OK;
}

static fnn_status forward_nonzero(fnn_call *c) {
    fnn_tensor bytes;
    FNN_TRY(fnn_contiguous_as(&bytes, c->in[0], FNN_BOOL));
    int last = bytes.ndim - 1;
    int64_t *y = (int64_t *)c->out->data, at[FNN_MAX_DIMS] = {0}, n = bytes.ndim ? bytes.shape[last] : 0;
    int64_t count = c->out->shape[0], found = 0;
    for (int64_t i = 0; i < bytes.numel && n; i += n) {
        int64_t row = found;
        for (int64_t j = 0; j < n && found < count; j++) { /* no branch on the values: most masks are unpredictable */
            y[last * count + found] = j;
            found += bytes.data[i + j] != 0;
        }
        for (int d = 0; d < last; d++)
            for (int64_t k = row; k < found; k++) y[d * count + k] = at[d];
        for (int d = last - 1; d >= 0 && ++at[d] == bytes.shape[d]; d--) at[d] = 0;
    }
    fnn_tensor_unref(&bytes);
    return FNN_OK;
}

const fnn_op fnn_op_NONZERO = {.name = "nonzero", .n_in = 1, .n_out = 1, .flags = FNN_F_NO_GRAD, .plan = plan_nonzero, .inspect = inspect_nonzero, .forward = forward_nonzero};

/* ---- masked_select ---- */

static fnn_status plan_select(fnn_call *c) {
    fnn_tensor both = {0};
    if (c->in[1]->dtype != FNN_BOOL)
        return fnn_fail(FNN_ERR_RUNTIME, "masked_select: expected BoolTensor for mask, found %s", fnn_dtype_name((fnn_dtype)c->in[1]->dtype));
    FNN_TRY(fnn_broadcast("masked_select", &both, c->in, 2));
    c->out->dtype = c->in[0]->dtype;
    c->work = (double)both.numel * 1.5;
    return FNN_OK;
}

/* t seen in the given shape. */
static fnn_tensor widened(const fnn_tensor *t, const fnn_tensor *shape) {
    fnn_tensor wide = *t;
    int shift = shape->ndim - t->ndim;
    for (int d = shape->ndim - 1; d >= 0; d--) {
        int own = d - shift;
        wide.shape[d] = shape->shape[d];
        wide.stride[d] = own < 0 || t->shape[own] == 1 ? 0 : t->stride[own];
    }
    wide.ndim = shape->ndim;
    fnn_tensor_derive(&wide);
    return wide;
}

/* t in the given shape, contiguous (owned). */
static fnn_status spread(fnn_tensor *out, const fnn_tensor *t, const fnn_tensor *shape) {
    fnn_tensor wide = widened(t, shape);
    return fnn_contiguous(out, &wide);
}

/* How often the mask is set when it is seen in the given shape. */
static fnn_status count_spread(int64_t *count, const fnn_tensor *mask, const fnn_tensor *shape) {
    fnn_tensor bytes;
    FNN_TRY(fnn_contiguous(&bytes, mask));
    *count = bytes.numel ? count_true(&bytes) * (shape->numel / bytes.numel) : 0;
    fnn_tensor_unref(&bytes);
    return FNN_OK;
}

static fnn_status inspect_select(fnn_call *c) {
    fnn_tensor both = {0};
    int64_t count;
    FNN_TRY(fnn_broadcast("masked_select", &both, c->in, 2));
    FNN_TRY(count_spread(&count, c->in[1], &both));
    fnn_tensor_set_geometry(c->out, 1, &count, NULL);
    return FNN_OK;
}

/* y = the `count` x[i] whose mask[i] is set, without a branch on the mask: y[k] is written again until it counts. */
#define PACK(type)                                                                     \
    static void pack_##type(type *y, const type *x, const char *mask, int64_t count) {  \
        for (int64_t i = 0, k = 0; k < count; i++) {                                    \
            y[k] = x[i];                                                                \
            k += mask[i] != 0;                                                          \
        }                                                                               \
    }
PACK(uint64_t)
PACK(uint32_t)
PACK(uint8_t)

static void pack(char *y, const fnn_tensor *x, const fnn_tensor *mask, int64_t count) {
    switch (fnn_itemsize[x->dtype]) {
    case 8: pack_uint64_t((uint64_t *)y, (uint64_t *)x->data, mask->data, count); break;
    case 4: pack_uint32_t((uint32_t *)y, (uint32_t *)x->data, mask->data, count); break;
    default: pack_uint8_t((uint8_t *)y, (uint8_t *)x->data, mask->data, count);
    }
}

static fnn_status forward_select(fnn_call *c) {
    fnn_tensor both = {0}, x = {0}, mask = {0};
    FNN_TRY(fnn_broadcast("masked_select", &both, c->in, 2));
    fnn_status status = spread(&x, c->in[0], &both);
    if (!status) status = spread(&mask, c->in[1], &both);
    if (!status) pack(c->out->data, &x, &mask, c->out->numel);
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&mask);
    return status;
}

/* x[i] = the next of dy where mask[i] is set, else 0 */
#define UNPACK(type)                                                                    \
    static void unpack_##type(type *x, const type *dy, const char *mask, int64_t n) {   \
        for (int64_t i = 0; i < n; i++) x[i] = mask[i] ? *dy++ : 0;                     \
    }
UNPACK(float)
UNPACK(double)

/* dy at the selected places, zero elsewhere, summed where x was broadcast */
static fnn_status back_select(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    fnn_tensor both = {0}, shape = {0}, full = {0}, mask = {0}, dy = {0};
    fnn_tensor_set_geometry(&shape, g->ndim, g->shape, NULL);
    const fnn_tensor *in[2] = {&shape, &b->in[1]};
    FNN_TRY(fnn_broadcast("masked_select", &both, in, 2));
    fnn_status status = spread(&mask, &b->in[1], &both);
    if (!status) status = fnn_contiguous(&dy, b->dy[0]);
    if (!status) status = fnn_empty(&full, (fnn_dtype)g->dtype, both.ndim, both.shape);
    if (!status) {
        if (g->dtype == FNN_F32)
            unpack_float((float *)full.data, (float *)dy.data, mask.data, full.numel);
        else
            unpack_double((double *)full.data, (double *)dy.data, mask.data, full.numel);
        status = fnn_sum_to(&b->dx[0], &full, g);
    }
    fnn_tensor_unref(&full);
    fnn_tensor_unref(&mask);
    fnn_tensor_unref(&dy);
    return status;
}

const fnn_op fnn_op_MASKED_SELECT = {.name = "masked_select", .grad_name = "MaskedSelectBackward0", .n_in = 2, .n_out = 1, .no_grad_in = 2, .save_in = {2},
                                     .plan = plan_select, .inspect = inspect_select, .forward = forward_select, .backward = back_select};

/* ---- masked_scatter ---- */

static fnn_status plan_scatter(fnn_call *c) {
    if (c->in[1]->dtype != FNN_BOOL)
        return fnn_fail(FNN_ERR_RUNTIME, "masked_scatter: only supports boolean masks, found mask with dtype %s", fnn_dtype_name((fnn_dtype)c->in[1]->dtype));
    if (c->in[2]->dtype != c->in[0]->dtype)
        return fnn_fail(FNN_ERR_RUNTIME, "masked_scatter: expected self and source to have same dtypes but got %s and %s",
                        fnn_dtype_name((fnn_dtype)c->in[0]->dtype), fnn_dtype_name((fnn_dtype)c->in[2]->dtype));
    FNN_TRY(fnn_broadcast("masked_scatter", c->out, c->in, 2));
    fnn_tensor_set_geometry(c->out, c->out->ndim, c->out->shape, NULL);
    c->out->dtype = c->in[0]->dtype;
    c->work = (double)c->out->numel * 2;
    return FNN_OK;
}

static fnn_status inspect_scatter(fnn_call *c) {
    int64_t count;
    FNN_TRY(count_spread(&count, c->in[1], c->out));
    if (count <= c->in[2]->numel) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "masked_scatter: source has %lld elements, the mask is set %lld times: Number of elements of source < number of ones in mask",
                    (long long)c->in[2]->numel, (long long)count);
}

/* y[i] = the next of source where mask[i] is set */
#define PUT(type)                                                                          \
    static void put_##type(type *y, const type *source, const char *mask, int64_t n) {     \
        for (int64_t i = 0; i < n; i++)                                                    \
            if (mask[i]) y[i] = *source++;                                                 \
    }
PUT(uint64_t)
PUT(uint32_t)
PUT(uint8_t)

static fnn_status forward_scatter(fnn_call *c) {
    fnn_tensor mask, source = {0}, x = widened(c->in[0], c->out);
    FNN_TRY(spread(&mask, c->in[1], c->out));
    fnn_status status = fnn_contiguous(&source, c->in[2]);
    if (!status) status = fnn_copy_into(c->out, &x);
    if (!status) {
        char *y = c->out->data;
        switch (fnn_itemsize[source.dtype]) {
        case 8: put_uint64_t((uint64_t *)y, (uint64_t *)source.data, mask.data, c->out->numel); break;
        case 4: put_uint32_t((uint32_t *)y, (uint32_t *)source.data, mask.data, c->out->numel); break;
        default: put_uint8_t((uint8_t *)y, (uint8_t *)source.data, mask.data, c->out->numel);
        }
    }
    fnn_tensor_unref(&mask);
    fnn_tensor_unref(&source);
    return status;
}

/* d_source = dy where the mask is set, packed, then zeros: what was not used */
static fnn_status back_source(fnn_backcall *b) {
    fnn_tensor *dx = &b->dx[2], dy = {0}, mask = {0};
    int64_t count;
    FNN_TRY(count_spread(&count, &b->in[1], b->dy[0]));
    FNN_TRY(fnn_zeros(dx, &b->in_geom[2]));
    fnn_status status = fnn_contiguous(&dy, b->dy[0]);
    if (!status) status = spread(&mask, &b->in[1], b->dy[0]);
    if (!status) pack(dx->data, &dy, &mask, count);
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&mask);
    return status;
}

/* d_x = dy, zero where the mask is set, summed where x was broadcast */
static fnn_status back_scatter(fnn_backcall *b) {
    if (b->need[2]) FNN_TRY(back_source(b));
    if (!b->need[0]) return FNN_OK;
    FNN_EXPR(x);
    return fnn_give_sum(&x, &b->dx[0], fnn_x3(&x, &fnn_op_MASKED_FILL, b->dy[0], &b->in[1], fnn_xnum(&x, 0)), &b->in_geom[0]);
}

const fnn_op fnn_op_MASKED_SCATTER = {.name = "masked_scatter", .grad_name = "MaskedScatterBackward0", .n_in = 3, .n_out = 1, .flags = FNN_F_NUMBER,
                                      .no_grad_in = 2, .save_in = {2, 0, 2}, .plan = plan_scatter, .inspect = inspect_scatter,
                                      .forward = forward_scatter, .backward = back_scatter};
