/* More functions that are one op after a check of their own: mm, bmm, mv, dot, clone, zero_, dropout, where as a method, var and std. */
#include "signature.h"

static PyObject *call(const fnn_op *op, const fnn_tensor *const *in, int n, const fnn_attrs *attrs, PyTypeObject *type) {
    fnn_tensor out;
    fnn_status status = fnn_apply_op(op, &out, 1, in, n, attrs);
    return status ? fnn_raise(status) : fnn_wrap_as(type, &out);
}

/* matmul of operands that must have exactly these numbers of dimensions. */
static PyObject *product(fnn_frame *f, PyTypeObject *type, const char *name, int a, int b) {
    const fnn_tensor *l = f->in[0], *r = f->in[1];
    if (l->ndim != a || r->ndim != b)
        return fnn_raise(fnn_fail(FNN_ERR_RUNTIME, "%s: found tensors of %d and %d dimensions with shapes %s and %s, expected %dD and %dD tensors", name,
                                  l->ndim, r->ndim, fnn_shape_of(l), fnn_shape_of(r), a, b));
    if (a == 3 && l->shape[0] != r->shape[0])
        return fnn_raise(fnn_fail(FNN_ERR_RUNTIME, "bmm: Expected size for first two dimensions of batch2 tensor to be: [%lld, %lld] but got shape %s",
                                  (long long)l->shape[0], (long long)l->shape[2], fnn_shape_of(r)));
    if (l->shape[a - 1] != r->shape[b > 1 ? b - 2 : 0])
        return fnn_raise(fnn_fail(FNN_ERR_RUNTIME, "%s: shapes %s and %s cannot be multiplied: expected size %lld, found %lld", name, fnn_shape_of(l),
                                  fnn_shape_of(r), (long long)l->shape[a - 1], (long long)r->shape[b > 1 ? b - 2 : 0]));
    return call(a == 3 ? &fnn_op_BMM : &fnn_op_MATMUL, f->in, 2, NULL, type);
}
#define UNUSED(x) (void)(x)
PyObject *fnn_fn_mm(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), product(f, type, "mm", 2, 2); }
PyObject *fnn_fn_bmm(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), product(f, type, "bmm", 3, 3); }
PyObject *fnn_fn_mv(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), product(f, type, "mv", 2, 1); }
PyObject *fnn_fn_dot(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), product(f, type, "dot", 1, 1); }

PyObject *fnn_fn_clone(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), call(&fnn_op_CLONE, f->in, 1, &f->attrs, type); }

PyObject *fnn_fn_zero_(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    UNUSED(type);
    if (!self) return PyErr_SetString(PyExc_TypeError, "zero_() missing 1 required positional argument: 'input'"), NULL;
    int64_t zero = 0;
    fnn_tensor number = fnn_number_i64(&zero);
    const fnn_tensor *in[2] = {f->in[0], &number};
    fnn_status status = fnn_apply_inplace_op(&fnn_op_FILL_, TENSOR(self), in, 2, NULL);
    return status ? fnn_raise(status) : Py_NewRef(self);
}

/* Where nothing is dropped the input itself comes back, as from torch. */
PyObject *fnn_fn_dropout(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    bool idle = f->attrs.v[0].f == 0 || !f->attrs.v[1].i || !f->in[0]->numel;
    if (idle && self && TENSOR(self) == f->in[0]) return Py_NewRef(self);
    f->attrs.v[2].p = NULL; /* the default generator */
    return call(idle ? &fnn_op_ALIAS : &fnn_op_DROPOUT, f->in, 1, idle ? NULL : &f->attrs, type);
}

/* x.where(condition, other) is where(condition, x, other) */
PyObject *fnn_fn_where_method(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    UNUSED(self);
    const fnn_tensor *in[3] = {f->in[1], f->in[0], f->in[2]};
    return call(&fnn_op_WHERE, in, 3, NULL, type);
}

/* round(x 10^d) / 10^d; a negative d divides first. */
PyObject *fnn_fn_round_decimals(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    UNUSED(self);
    int64_t decimals = f->attrs.v[0].i;
    double power = 1;
    for (int64_t i = decimals < 0 ? -decimals : decimals; i > 0 && power < 1e300; i--) power *= 10;
    fnn_tensor number = fnn_number_f64(&power), scaled, whole, out;
    if (!fnn_dtype_is_float(f->in[0]->dtype) && decimals > 0) return call(&fnn_op_CLONE, f->in, 1, NULL, type);
    const fnn_op *up = decimals < 0 ? &fnn_op_DIV : &fnn_op_MUL, *down = decimals < 0 ? &fnn_op_MUL : &fnn_op_DIV;
    const fnn_tensor *in[2] = {f->in[0], &number};
    fnn_status status = fnn_apply_op(up, &scaled, 1, in, 2, NULL);
    if (status) return fnn_raise(status);
    in[0] = &scaled;
    status = fnn_apply_op(&fnn_op_ROUND, &whole, 1, in, 1, NULL);
    fnn_tensor_unref(&scaled);
    if (status) return fnn_raise(status);
    in[0] = &whole;
    status = fnn_apply_op(down, &out, 1, in, 2, NULL);
    fnn_tensor_unref(&whole);
    return status ? fnn_raise(status) : fnn_wrap_as(type, &out);
}

/* ---- where a tensor is not zero ---- */

/* The rows of indices; one index per dimension with as_tuple. */
static PyObject *places(const fnn_tensor *x, PyTypeObject *type, bool as_tuple) {
    fnn_tensor rows, column, row;
    fnn_tensor_ref_data(&row, x);
    if (as_tuple && !x->ndim) fnn_tensor_set_geometry(&row, 1, &(int64_t){1}, NULL); /* a number counts as a row of one */
    const fnn_tensor *in = &row;
    fnn_status status = fnn_apply_op(&fnn_op_NONZERO, &rows, 1, &in, 1, NULL);
    fnn_tensor_unref(&row);
    if (status) return fnn_raise(status);
    if (!as_tuple) return fnn_wrap_as(type, &rows);
    PyObject *tuple = PyTuple_New(rows.shape[1]);
    for (int d = 0; d < rows.shape[1] && tuple; d++) {
        fnn_tensor_ref_data(&column, &rows);
        column.data += (size_t)(d * rows.stride[1]) * sizeof(int64_t);
        fnn_tensor_set_geometry(&column, 1, rows.shape, rows.stride);
        PyObject *index = fnn_wrap_as(type, &column);
        if (index)
            PyTuple_SET_ITEM(tuple, d, index);
        else
            Py_CLEAR(tuple);
    }
    fnn_tensor_unref(&rows);
    return tuple;
}
PyObject *fnn_fn_nonzero(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), places(f->in[0], type, f->attrs.v[0].i); }
PyObject *fnn_fn_where_true(fnn_frame *f, PyTypeObject *type, PyObject *self) { return UNUSED(self), places(f->in[0], type, true); }

PyObject *fnn_fn_result_type(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    UNUSED(self), UNUSED(type);
    return Py_NewRef(fnn_dtype_objects[fnn_promote(f->in, 2)]);
}

/* ---- var and std: their divisor is written as unbiased= or as correction= ---- */

static PyObject *spread(const fnn_op *op, fnn_frame *f, PyTypeObject *type, double correction, bool keepdim, bool all) {
    fnn_attrs attrs = {.v = {{.i = keepdim}, {.f = correction}}};
    attrs.list[0] = f->attrs.list[0];
    if (all) attrs.list[0].n = -1;
    return call(op, f->in, 1, &attrs, type);
}
#define SPREAD(name, op)                                                                                        \
    PyObject *fnn_fn_##name(fnn_frame *f, PyTypeObject *type, PyObject *self) {                                  \
        return UNUSED(self), spread(op, f, type, f->attrs.v[0].i ? 1 : 0, f->attrs.v[1].i, false);               \
    }                                                                                                           \
    PyObject *fnn_fn_##name##_correction(fnn_frame *f, PyTypeObject *type, PyObject *self) {                     \
        double correction = f->attrs.v[0].f == f->attrs.v[0].f ? f->attrs.v[0].f : 1; /* None is NaN */          \
        return UNUSED(self), spread(op, f, type, correction, f->attrs.v[1].i, false);                            \
    }                                                                                                           \
    PyObject *fnn_fn_##name##_flag(fnn_frame *f, PyTypeObject *type, PyObject *self) {                           \
        return UNUSED(self), spread(op, f, type, f->attrs.v[0].i ? 1 : 0, false, true);                          \
    }
SPREAD(var, &fnn_op_VAR)
SPREAD(std, &fnn_op_STD)
