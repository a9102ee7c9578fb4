/* See rows.h. */
#include "rows.h"

#include <stdio.h>

/* A borrowed view with `dim` moved last. */
static fnn_tensor moved(const fnn_tensor *t, int dim) {
    fnn_tensor view = *t;
    if (dim >= t->ndim - 1) return view;
    for (int d = dim; d < t->ndim - 1; d++) {
        view.shape[d] = t->shape[d + 1];
        view.stride[d] = t->stride[d + 1];
    }
    view.shape[t->ndim - 1] = t->shape[dim];
    view.stride[t->ndim - 1] = t->stride[dim];
    fnn_tensor_derive(&view);
    return view;
}

fnn_status fnn_rows_in(fnn_tensor *rows, const fnn_tensor *t, int dim) {
    fnn_tensor view = moved(t, dim);
    return fnn_contiguous(rows, &view);
}

fnn_status fnn_rows_out(fnn_tensor *rows, const fnn_tensor *t, int dim) {
    fnn_tensor view = moved(t, dim);
    if (!view.contiguous) return fnn_empty(rows, view.dtype, view.ndim, view.shape);
    fnn_tensor_ref_data(rows, &view);
    return FNN_OK;
}

fnn_status fnn_rows_done(fnn_tensor *rows, const fnn_tensor *t, int dim) {
    fnn_tensor view = moved(t, dim);
    fnn_status status = rows->data == view.data ? FNN_OK : fnn_copy_into(&view, rows);
    fnn_tensor_unref(rows);
    return status;
}

fnn_status fnn_rows_want_float(const char *op, const fnn_tensor *t) {
    if (fnn_dtype_is_float(t->dtype)) return FNN_OK;
    return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "%s: not implemented for input of dtype %s, expected float32 or float64", op, fnn_dtype_name(t->dtype));
}

const char *fnn_sizes_text(const int64_t *sizes, int64_t n) {
    char *text = fnn_scratch_text();
    int at = snprintf(text, FNN_SCRATCH_TEXT, "[");
    for (int64_t i = 0; i < n && at < FNN_SCRATCH_TEXT - 24; i++) at += snprintf(text + at, (size_t)(FNN_SCRATCH_TEXT - at), "%s%lld", i ? ", " : "", (long long)sizes[i]);
    snprintf(text + at, (size_t)(FNN_SCRATCH_TEXT - at), "]");
    return text;
}
