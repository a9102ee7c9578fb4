/* Elements where something is true: nonzero gives their places, masked_select the elements themselves.
 *
 * NONZERO        in: x; out: (count, x.ndim) int64, places in row-major order. As in torch the columns lie contiguous.
 * MASKED_SELECT  in: x, mask (bool), broadcast together; out: (count,) in row-major order. Saved: mask.
 * The size of the result depends on the values: inspect counts and fixes it before memory is allocated. */
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

/* t in the given shape, contiguous (owned). */
static fnn_status spread(fnn_tensor *out, const fnn_tensor *t, const fnn_tensor *shape) {
    fnn_tensor wide = *t;
    int shift = shape->ndim - t->ndim;
    for (int d = shape->ndim - 1; d >= 0; d--) {
        int own = d - shift;
        wide.shape[d] = shape->shape[d];
        wide.stride[d] = own < 0 || t->shape[own] == 1 ? 0 : t->stride[own];
    }
    wide.ndim = shape->ndim;
    fnn_tensor_derive(&wide);
    return fnn_contiguous(out, &wide);
}

static fnn_status inspect_select(fnn_call *c) {
    fnn_tensor both = {0}, bytes;
    FNN_TRY(fnn_broadcast("masked_select", &both, c->in, 2));
    FNN_TRY(fnn_contiguous(&bytes, c->in[1]));
    int64_t repeats = bytes.numel ? both.numel / bytes.numel : 0, count = count_true(&bytes) * repeats;
    fnn_tensor_unref(&bytes);
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

static fnn_status forward_select(fnn_call *c) {
    fnn_tensor both = {0}, x = {0}, mask = {0};
    FNN_TRY(fnn_broadcast("masked_select", &both, c->in, 2));
    fnn_status status = spread(&x, c->in[0], &both);
    if (!status) status = spread(&mask, c->in[1], &both);
    if (!status) {
        switch (fnn_itemsize[x.dtype]) {
        case 8: pack_uint64_t((uint64_t *)c->out->data, (uint64_t *)x.data, mask.data, c->out->numel); break;
        case 4: pack_uint32_t((uint32_t *)c->out->data, (uint32_t *)x.data, mask.data, c->out->numel); break;
        default: pack_uint8_t((uint8_t *)c->out->data, (uint8_t *)x.data, mask.data, c->out->numel);
        }
    }
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
