/* What many plans and backwards need: broadcasting, type promotion, sums down to a shape. See op.h. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "op.h"

fnn_geom fnn_geom_of(const fnn_tensor *t) {
    fnn_geom g;
    memcpy(g.shape, t->shape, sizeof g.shape);
    g.ndim = t->ndim;
    g.dtype = t->dtype;
    return g;
}

/* ---- running one op ---- */

fnn_status fnn_run1(const fnn_op *op, fnn_tensor *out, const fnn_tensor *a, const fnn_attrs *attrs) {
    return fnn_run(op, out, &a, 1, attrs);
}

fnn_status fnn_run2(const fnn_op *op, fnn_tensor *out, const fnn_tensor *a, const fnn_tensor *b) {
    const fnn_tensor *in[2] = {a, b};
    return fnn_run(op, out, in, 2, NULL);
}

bool fnn_even_rows(const fnn_tensor *t, int from, int64_t *apart) {
    int64_t block = 1, next = -1;
    for (int d = t->ndim - 1; d >= from; d--) {
        if (t->shape[d] != 1 && t->stride[d] != block) return false;
        block *= t->shape[d];
    }
    int64_t step = block;
    for (int d = from - 1; d >= 0; d--) {
        if (t->shape[d] == 1) continue;
        if (next == -1) step = t->stride[d];
        else if (t->stride[d] != next) return false;
        next = t->stride[d] * t->shape[d];
    }
    *apart = step;
    return true;
}

fnn_status fnn_contiguous(fnn_tensor *out, const fnn_tensor *t) {
    if (t->contiguous && t->storage) {
        fnn_tensor_ref_data(out, t);
        return FNN_OK;
    }
    FNN_TRY(fnn_empty(out, t->dtype, t->ndim, t->shape));
    return fnn_copy_into(out, t);
}

fnn_status fnn_cast(fnn_tensor *out, const fnn_tensor *t, int dtype) {
    if (t->dtype == dtype && t->storage) {
        fnn_tensor_ref_data(out, t);
        return FNN_OK;
    }
    fnn_tensor cast = {.dtype = (uint8_t)dtype};
    fnn_tensor_set_geometry(&cast, t->ndim, t->shape, fnn_is_dense(t) ? t->stride : NULL);
    FNN_TRY(fnn_tensor_alloc(&cast));
    FNN_TRY(fnn_copy_into(&cast, t));
    *out = cast;
    return FNN_OK;
}

fnn_status fnn_contiguous_as(fnn_tensor *out, const fnn_tensor *t, int dtype) {
    fnn_tensor cast;
    FNN_TRY(fnn_cast(&cast, t, dtype));
    fnn_status status = fnn_contiguous(out, &cast);
    fnn_tensor_unref(&cast);
    return status;
}

fnn_status fnn_fill_zero(const fnn_tensor *dst) {
    if (dst->contiguous || fnn_is_dense(dst)) {
        memset(dst->data, 0, (size_t)dst->numel * fnn_itemsize[dst->dtype]);
        return FNN_OK;
    }
    int64_t zero = 0;
    fnn_tensor number = fnn_number_i64(&zero);
    return fnn_copy_into(dst, &number);
}

fnn_status fnn_zeros(fnn_tensor *out, const fnn_geom *g) {
    FNN_TRY(fnn_empty(out, g->dtype, g->ndim, g->shape));
    return fnn_fill_zero(out);
}

fnn_status fnn_add_into(const fnn_tensor *dst, const fnn_tensor *src) {
    const fnn_tensor *in[2] = {dst, src};
    fnn_tensor out;
    fnn_call c;
    if (!fnn_same_shape(dst, src)) {
        FNN_TRY(fnn_broadcast("add_", &out, in, 2));
        if (!fnn_same_shape(&out, dst))
            return fnn_fail(FNN_ERR_RUNTIME, "add_: output with shape %s doesn't match the broadcast shape %s", fnn_shape_of(dst), fnn_shape_of(&out));
    }
    fnn_call_init(&c, &fnn_op_ADD, &out, 1, in, 2, NULL);
    c.inplace = true;
    c.keep = dst;
    return fnn_run_call(&c);
}

/* ---- broadcasting ---- */

fnn_status fnn_broadcast(const char *op, fnn_tensor *out, const fnn_tensor *const *in, int n) {
    int ndim = 0;
    for (int k = 0; k < n; k++)
        if (in[k] && in[k]->ndim > ndim) ndim = in[k]->ndim;
    int64_t shape[FNN_MAX_DIMS];
    for (int d = 0; d < ndim; d++) shape[d] = 1;
    for (int k = 0; k < n; k++) {
        if (!in[k]) continue;
        int shift = ndim - in[k]->ndim;
        for (int d = 0; d < in[k]->ndim; d++) {
            int64_t size = in[k]->shape[d], *have = &shape[d + shift];
            if (size == *have || size == 1) continue;
            if (*have != 1)
                return fnn_fail(FNN_ERR_RUNTIME, "%s: The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton "
                                                 "dimension %d; found shapes %s and %s", op, (long long)*have, (long long)size, d + shift,
                                fnn_shape_of(in[0] ? in[0] : in[k]), fnn_shape_of(in[k]));
            *have = size;
        }
    }
    fnn_tensor_set_geometry(out, ndim, shape, NULL);
    return FNN_OK;
}

/* How far apart t's elements lie along out's dimension d; 0 where t is repeated. */
static int64_t step_along(const fnn_tensor *t, const fnn_tensor *out, int d) {
    int own = d - (out->ndim - t->ndim);
    return own < 0 || (t->shape[own] == 1 && out->shape[d] != 1) ? 0 : t->stride[own];
}

/* Whether dimension a lies inside b in memory (below 0) or outside (above 0), by the first input that tells. */
static int order_of(const fnn_tensor *out, const fnn_tensor *const *in, int n, int a, int b) {
    for (int k = 0; k < n; k++) {
        if (!in[k]) continue;
        int64_t i = step_along(in[k], out, a), j = step_along(in[k], out, b);
        if (!i || !j) continue;
        if (i != j) return i < j ? -1 : 1;
        if (out->shape[a] > out->shape[b]) return 1;
    }
    return 0;
}

void fnn_keep_layout(fnn_tensor *out, const fnn_tensor *const *in, int n) {
    bool plain = true;
    for (int k = 0; k < n; k++) plain &= !in[k] || (in[k]->contiguous && fnn_same_shape(in[k], out));
    if (plain || !out->numel || out->ndim < 2) return;
    int perm[FNN_MAX_DIMS]; /* innermost first */
    for (int d = 0; d < out->ndim; d++) perm[d] = out->ndim - 1 - d;
    for (int i = 1; i < out->ndim; i++)
        for (int k = i - 1, at = i; k >= 0; k--) {
            int order = order_of(out, in, n, perm[k], perm[at]);
            if (order < 0) break;
            if (!order) continue;
            int swap = perm[k];
            perm[k] = perm[at];
            perm[at] = swap;
            at = k;
        }
    int64_t stride[FNN_MAX_DIMS], step = 1;
    for (int d = 0; d < out->ndim; d++) {
        stride[perm[d]] = step;
        step *= out->shape[perm[d]];
    }
    fnn_tensor_set_geometry(out, out->ndim, out->shape, stride);
}

fnn_status fnn_sum_to(fnn_tensor *out, const fnn_tensor *t, const fnn_geom *g) {
    int lead = t->ndim - g->ndim;
    fnn_attrs attrs;
    fnn_ints *dims = &attrs.list[0];
    dims->n = attrs.list[1].n = 0;
    for (int d = 0; d < t->ndim; d++)
        if (d < lead || (g->shape[d - lead] == 1 && t->shape[d] != 1)) dims->v[dims->n++] = d;
    if (!dims->n) return fnn_cast(out, t, g->dtype);
    attrs.v[0].i = 1;  /* keepdim, so that only the leading dimensions are left to drop */
    attrs.v[1].i = -1; /* no dtype */
    fnn_tensor sum;
    FNN_TRY(fnn_run1(&fnn_op_SUM, &sum, t, &attrs));
    fnn_tensor_set_geometry(&sum, g->ndim, g->shape, NULL);
    if (sum.dtype == g->dtype) {
        *out = sum;
        return FNN_OK;
    }
    fnn_status status = fnn_cast(out, &sum, g->dtype);
    fnn_tensor_unref(&sum);
    return status;
}

/* ---- type promotion ---- */

static int category(int dtype) { return dtype == FNN_BOOL ? 0 : fnn_dtype_is_int(dtype) ? 1 : 2; }

static int promote_pair(int a, int b) {
    static const uint8_t rank[FNN_NDTYPES] = {[FNN_BOOL] = 0, [FNN_U8] = 1, [FNN_I32] = 2, [FNN_I64] = 3, [FNN_F32] = 4, [FNN_F64] = 5};
    return rank[a] >= rank[b] ? a : b;
}

int fnn_default_dtype = FNN_F32;

int fnn_promote(const fnn_tensor *const *in, int n) {
    if (n == 2 && in[0]->dtype == in[1]->dtype) {
        bool numbers = (in[0]->flags & in[1]->flags & FNN_T_NUMBER) != 0;
        return numbers && in[0]->dtype == FNN_F64 ? fnn_default_dtype : in[0]->dtype;
    }
    /* Three priorities: tensors with dimensions, 0-d tensors, numbers. A lower one counts only by a higher category. */
    int best[3] = {-1, -1, -1};
    for (int k = 0; k < n; k++) {
        if (!in[k]) continue;
        int level = in[k]->flags & FNN_T_NUMBER ? 2 : in[k]->ndim ? 0 : 1;
        int dtype = level == 2 && in[k]->dtype == FNN_F64 ? fnn_default_dtype : in[k]->dtype;
        best[level] = best[level] < 0 ? dtype : promote_pair(best[level], dtype);
    }
    int result = -1;
    for (int level = 0; level < 3; level++) {
        if (best[level] < 0) continue;
        if (result < 0)
            result = best[level];
        else if (category(best[level]) > category(result))
            result = promote_pair(result, best[level]);
    }
    return result;
}

/* ---- checks ---- */

fnn_status fnn_wrap_dim(const char *op, int64_t *dim, int ndim) {
    int64_t range = ndim ? ndim : 1;
    if (*dim < -range || *dim >= range)
        return fnn_fail(FNN_ERR_INDEX, "%s: Dimension out of range (expected to be in range of [%lld, %lld], but got %lld)", op,
                        (long long)-range, (long long)range - 1, (long long)*dim);
    if (*dim < 0) *dim += range;
    return FNN_OK;
}

fnn_status fnn_want_float(const char *op, const char *arg, const fnn_tensor *t) {
    if (fnn_dtype_is_float(t->dtype)) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has dtype %s, expected a floating point dtype", op, arg, fnn_dtype_name(t->dtype));
}

fnn_status fnn_want_fit(const char *op, const fnn_tensor *value, int dtype) {
    bool fits = true;
    if (fnn_dtype_is_float(value->dtype)) {
        double v = value->dtype == FNN_F64 ? *(const double *)value->data : (double)*(const float *)value->data;
        if (dtype == FNN_F32) fits = !isfinite(v) || fabs(v) <= (double)FLT_MAX;
        if (dtype == FNN_I64) fits = v >= -9223372036854775808.0 && v < 9223372036854775808.0;
        if (dtype == FNN_I32) fits = v >= INT32_MIN && v <= INT32_MAX;
        if (dtype == FNN_U8) fits = v >= 0 && v <= 255;
    } else if (value->dtype == FNN_I64) {
        int64_t v = *(const int64_t *)value->data;
        if (dtype == FNN_I32) fits = v >= INT32_MIN && v <= INT32_MAX;
        if (dtype == FNN_U8) fits = v >= -255 && v <= 255; /* torch: a negative number may wrap */
    }
    if (fits) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "%s: value cannot be converted to type %s without overflow", op, fnn_dtype_name((fnn_dtype)dtype));
}

fnn_status fnn_want_same_dtype(const char *op, const char *arg, const fnn_tensor *t, int dtype) {
    if (t->dtype == dtype) return FNN_OK;
    return fnn_fail(FNN_ERR_RUNTIME, "%s: %s has dtype %s, expected %s", op, arg, fnn_dtype_name(t->dtype), fnn_dtype_name((fnn_dtype)dtype));
}
