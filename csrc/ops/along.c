/* See along.h. */
#include "along.h"

/* The view of t with dimension dim last; not counted. */
static fnn_tensor moved(const fnn_tensor *t, int dim) {
    fnn_tensor m = *t;
    if (!t->ndim) return m;
    for (int d = dim; d < t->ndim - 1; d++) {
        m.shape[d] = t->shape[d + 1];
        m.stride[d] = t->stride[d + 1];
    }
    m.shape[t->ndim - 1] = t->shape[dim];
    m.stride[t->ndim - 1] = t->stride[dim];
    fnn_tensor_derive(&m);
    return m;
}

fnn_status fnn_along_read(const fnn_tensor *x, int dim, fnn_tensor *rows) {
    fnn_tensor m = moved(x, dim);
    return fnn_contiguous(rows, &m);
}

fnn_status fnn_along_begin(const fnn_tensor *out, int dim, int dtype, fnn_tensor *rows) {
    fnn_tensor m = moved(out, dim);
    if (m.contiguous && m.dtype == dtype) {
        fnn_tensor_ref_data(rows, &m);
        return FNN_OK;
    }
    return fnn_empty(rows, (fnn_dtype)dtype, m.ndim, m.shape);
}

fnn_status fnn_along_end(const fnn_tensor *out, int dim, fnn_tensor *rows) {
    fnn_tensor m = moved(out, dim);
    fnn_status status = rows->data == out->data ? FNN_OK : fnn_copy_into(&m, rows);
    fnn_tensor_unref(rows);
    return status;
}
