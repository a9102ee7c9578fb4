/* Functions about shapes that are not one op call: reshape, flatten, split, chunk, to, ... Bound by signatures.def. */
#include <string.h>

#include "signature.h"

/* One op on one tensor, wrapped. */
static PyObject *one(const fnn_op *op, const fnn_tensor *in, const fnn_attrs *attrs, PyTypeObject *type) {
    fnn_tensor out;
    fnn_status status = fnn_apply_op(op, &out, 1, &in, 1, attrs);
    return status ? fnn_raise(status) : fnn_wrap_as(type, &out);
}

static PyObject *reshape_to(const fnn_tensor *in, const fnn_ints *shape, PyTypeObject *type) {
    fnn_attrs attrs = {.list[0] = *shape}, contiguous = {.v[0].i = 1};
    fnn_status status;
    if (fnn_can_view(in, shape, &status)) return one(&fnn_op_VIEW, in, &attrs, type);
    if (status) return fnn_raise(status);
    fnn_tensor copy, out;
    status = fnn_apply_op(&fnn_op_CLONE, &copy, 1, &in, 1, &contiguous);
    if (status) return fnn_raise(status);
    const fnn_tensor *from = &copy;
    status = fnn_apply_op(&fnn_op_VIEW, &out, 1, &from, 1, &attrs);
    if (!status) { /* nobody sees the copy: the result is no view */
        out.flags &= (uint8_t)~FNN_T_VIEW;
        if (out.meta && out.meta->view) out.meta->view->former = true;
        if (out.meta && out.meta->grad_fn) out.meta->grad_fn->name = "UnsafeViewBackward0";
    }
    fnn_tensor_unref(&copy);
    return status ? fnn_raise(status) : fnn_wrap_as(type, &out);
}

PyObject *fnn_fn_reshape(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    return reshape_to(f->in[0], &f->attrs.list[0], type);
}

PyObject *fnn_fn_reshape_as(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    fnn_ints shape = {.n = f->in[1]->ndim};
    memcpy(shape.v, f->in[1]->shape, sizeof shape.v);
    return reshape_to(f->in[0], &shape, type);
}

PyObject *fnn_fn_view_as(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    fnn_attrs attrs = {.list[0].n = f->in[1]->ndim};
    memcpy(attrs.list[0].v, f->in[1]->shape, sizeof attrs.list[0].v);
    return one(&fnn_op_VIEW, f->in[0], &attrs, type);
}

PyObject *fnn_fn_expand_as(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    fnn_attrs attrs = {.list[0].n = f->in[1]->ndim};
    memcpy(attrs.list[0].v, f->in[1]->shape, sizeof attrs.list[0].v);
    return one(&fnn_op_EXPAND, f->in[0], &attrs, type);
}

PyObject *fnn_fn_flatten(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    const fnn_tensor *in = f->in[0];
    int64_t first = f->attrs.v[0].i, last = f->attrs.v[1].i;
    fnn_status status = fnn_wrap_dim("flatten", &first, in->ndim);
    if (!status) status = fnn_wrap_dim("flatten", &last, in->ndim);
    if (!status && first > last) status = fnn_fail(FNN_ERR_RUNTIME, "flatten: start_dim cannot come after end_dim, found %lld and %lld", (long long)first, (long long)last);
    if (status) return fnn_raise(status);
    if (in->ndim && first == last) return Py_NewRef(self);
    fnn_ints shape = {0};
    for (int d = 0; d < in->ndim; d++) {
        if (d > first && d <= last)
            shape.v[shape.n - 1] *= in->shape[d];
        else
            shape.v[shape.n++] = in->shape[d];
    }
    if (!in->ndim) shape = (fnn_ints){.n = 1, .v = {1}};
    return reshape_to(in, &shape, type);
}

PyObject *fnn_fn_unflatten(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    int64_t dim = f->attrs.v[0].i, known = 1;
    const fnn_ints *sizes = &f->attrs.list[0];
    fnn_status status = fnn_wrap_dim("unflatten", &dim, in->ndim);
    for (int i = 0; i < sizes->n; i++) known *= sizes->v[i] == -1 ? 1 : sizes->v[i];
    if (!status && (known == 0 ? in->shape[dim] != 0 : in->shape[dim] % known != 0))
        status = fnn_fail(FNN_ERR_RUNTIME, "unflatten: the provided sizes don't multiply up to the size of dim %lld (%lld) in the input tensor", (long long)dim, (long long)in->shape[dim]);
    if (!status && in->ndim - 1 + sizes->n > FNN_MAX_DIMS) status = fnn_fail(FNN_ERR_RUNTIME, "unflatten: more than %d dimensions", FNN_MAX_DIMS);
    if (status) return fnn_raise(status);
    fnn_ints shape = {0};
    for (int d = 0; d < in->ndim; d++) {
        if (d != dim) {
            shape.v[shape.n++] = in->shape[d];
            continue;
        }
        for (int i = 0; i < sizes->n; i++) shape.v[shape.n++] = sizes->v[i] == -1 ? (known ? in->shape[d] / known : 0) : sizes->v[i];
    }
    return reshape_to(in, &shape, type);
}

PyObject *fnn_fn_contiguous(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    if (f->in[0]->contiguous) return Py_NewRef(self);
    fnn_attrs attrs = {.v[0].i = 1};
    return one(&fnn_op_CLONE, f->in[0], &attrs, type);
}

PyObject *fnn_fn_narrow(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    int64_t dim = f->attrs.v[0].i, start = f->attrs.v[1].i, length = f->attrs.v[2].i;
    fnn_status status = !in->ndim     ? fnn_fail(FNN_ERR_RUNTIME, "narrow() cannot be applied to a 0-dim tensor.")
                        : length < 0 ? fnn_fail(FNN_ERR_RUNTIME, "narrow(): length must be non-negative.")
                                     : fnn_wrap_dim("narrow", &dim, in->ndim);
    if (status) return fnn_raise(status);
    int64_t size = in->shape[dim];
    if (start < -size || start > size)
        return PyErr_Format(PyExc_IndexError, "narrow: start out of range (expected to be in range of [%lld, %lld], but got %lld)", (long long)-size, (long long)size, (long long)start);
    if (start < 0) start += size;
    if (length > size - start)
        status = fnn_fail(FNN_ERR_RUNTIME, "narrow: start (%lld) + length (%lld) exceeds dimension size (%lld).", (long long)start, (long long)length, (long long)size);
    if (status) return fnn_raise(status);
    fnn_attrs attrs = {.v = {{.i = dim}, {.i = start}, {.i = start + length}, {.i = 1}}};
    return one(&fnn_op_SLICE, in, &attrs, type);
}

PyObject *fnn_fn_as_strided(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    int64_t own = (in->data - in->storage->data) / fnn_itemsize[in->dtype];
    fnn_attrs attrs = f->attrs;
    attrs.v[0].i = attrs.v[0].i == FNN_NONE ? 0 : attrs.v[0].i - own;
    attrs.v[1].i = 0;
    return one(&fnn_op_AS_STRIDED, in, &attrs, type);
}

PyObject *fnn_fn_movedim(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    const fnn_ints *from = &f->attrs.list[0], *to = &f->attrs.list[1];
    fnn_attrs attrs = {.list[0].n = in->ndim};
    int64_t *dims = attrs.list[0].v;
    unsigned used = 0;
    fnn_status status = from->n == to->n ? FNN_OK : fnn_fail(FNN_ERR_RUNTIME, "movedim: Invalid source or destination dims: source (%lld) and destination (%lld) should contain the same number of dims", (long long)from->n, (long long)to->n);
    for (int d = 0; d < FNN_MAX_DIMS; d++) dims[d] = -1;
    for (int i = 0; i < from->n && !status; i++) {
        int64_t s = from->v[i], t = to->v[i];
        status = fnn_wrap_dim("movedim", &s, in->ndim);
        if (!status) status = fnn_wrap_dim("movedim", &t, in->ndim);
        if (!status && ((used >> s & 1) || dims[t] >= 0)) status = fnn_fail(FNN_ERR_RUNTIME, "movedim: repeated dim in source or destination");
        if (status) break;
        used |= 1u << s;
        dims[t] = s;
    }
    if (status) return fnn_raise(status);
    int next = 0;
    for (int d = 0; d < in->ndim; d++) {
        if (dims[d] >= 0) continue;
        while (used >> next & 1) next++;
        dims[d] = next++;
    }
    return one(&fnn_op_PERMUTE, in, &attrs, type);
}

/* ---- several views at once ---- */

static PyObject *pieces(const fnn_op *op, const fnn_tensor *in, int64_t n, const fnn_attrs *attrs, PyTypeObject *type) {
    if (n > INT32_MAX) return PyErr_NoMemory();
    fnn_tensor few[16], *out = n <= 16 ? few : PyMem_New(fnn_tensor, n);
    PyObject *tuple = out ? PyTuple_New((Py_ssize_t)n) : PyErr_NoMemory();
    fnn_status status = tuple ? fnn_apply_op(op, out, (int)n, &in, 1, attrs) : FNN_ERR_MEMORY;
    for (int64_t i = 0; i < n && !status; i++) {
        PyObject *piece = tuple ? fnn_wrap_as(type, &out[i]) : NULL;
        if (piece) {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, piece);
        } else {
            fnn_tensor_unref(&out[i]); /* the one that failed is gone already */
            Py_CLEAR(tuple);
        }
    }
    if (status && tuple) {
        Py_CLEAR(tuple);
        fnn_raise(status);
    }
    if (out != few) PyMem_Free(out);
    return tuple;
}

PyObject *fnn_fn_unbind(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    fnn_attrs attrs = {.v[0] = f->attrs.v[0]};
    fnn_status status = in->ndim ? fnn_wrap_dim("unbind", &attrs.v[0].i, in->ndim) : fnn_fail(FNN_ERR_INDEX, "unbind: Dimension specified as 0 but tensor has no dimensions");
    return status ? fnn_raise(status) : pieces(&fnn_op_UNBIND, in, in->shape[attrs.v[0].i], &attrs, type);
}

static PyObject *split_even(const fnn_tensor *in, int64_t size, int64_t dim, PyTypeObject *type) {
    fnn_status status = !in->ndim ? fnn_fail(FNN_ERR_RUNTIME, "split: expects at least a 1-dimensional tensor")
                        : size < 0 ? fnn_fail(FNN_ERR_RUNTIME, "split expects split_size be non-negative, but got split_size=%lld", (long long)size)
                                   : fnn_wrap_dim("split", &dim, in->ndim);
    if (!status && size == 0 && in->shape[dim])
        status = fnn_fail(FNN_ERR_RUNTIME, "split: split_size=%lld is not valid for dimension of size %lld", (long long)size, (long long)in->shape[dim]);
    if (status) return fnn_raise(status);
    int64_t n = size ? (in->shape[dim] + size - 1) / size : 1;
    fnn_attrs attrs = {.v = {{.i = dim}, {.i = size}}};
    return pieces(&fnn_op_SPLIT, in, n ? n : 1, &attrs, type);
}

/* Sizes that differ: up to eight travel in the op's list; more become slices of their own. */
static PyObject *split_sizes(const fnn_tensor *in, PyObject *sizes, int64_t dim, PyTypeObject *type) {
    Py_ssize_t n = PySequence_Size(sizes);
    fnn_status status = in->ndim ? fnn_wrap_dim("split", &dim, in->ndim) : fnn_fail(FNN_ERR_RUNTIME, "split: expects at least a 1-dimensional tensor");
    if (status) return fnn_raise(status);
    int64_t sum = 0, at = 0;
    bool negative = false;
    fnn_attrs attrs = {.v[0].i = dim};
    int64_t *size = PyMem_New(int64_t, n + 1);
    if (!size) return PyErr_NoMemory();
    PyObject *tuple = NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_GetItem(sizes, i);
        int failed = !item || fnn_as_int(item, &size[i]);
        Py_XDECREF(item);
        if (failed) goto done;
        if (i < FNN_MAX_DIMS) attrs.list[0].v[i] = size[i];
        sum += size[i];
        negative |= size[i] < 0;
    }
    if (negative || sum != in->shape[dim]) {
        PyErr_Format(PyExc_RuntimeError, "split_with_sizes expects split_sizes to sum exactly to %lld (input tensor's size at dimension %lld), "
                     "but got split_sizes=%R", (long long)in->shape[dim], (long long)dim, sizes);
        goto done;
    }
    attrs.list[0].n = n;
    if (n <= FNN_MAX_DIMS) {
        tuple = pieces(&fnn_op_SPLIT, in, n, &attrs, type);
        goto done;
    }
    tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; i < n && tuple; i++) {
        fnn_attrs slice = {.v = {{.i = dim}, {.i = at}, {.i = at + size[i]}, {.i = 1}}};
        PyObject *piece = one(&fnn_op_SLICE, in, &slice, type);
        if (piece)
            PyTuple_SET_ITEM(tuple, i, piece);
        else
            Py_CLEAR(tuple);
        at += size[i];
    }
done:
    PyMem_Free(size);
    return tuple;
}

/* split(size) and split([sizes]): a list may be longer than an op's list, so it is bound by hand. */
static PyObject *split(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *input = nargs > 0 ? args[0] : NULL, *sizes = nargs > 1 ? args[1] : NULL, *dim_object = nargs > 2 ? args[2] : NULL;
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(kwnames, i));
        if (!name) return NULL;
        if (!strcmp(name, "dim") || !strcmp(name, "axis"))
            dim_object = args[nargs + i];
        else if (!strcmp(name, "split_size_or_sections") || !strcmp(name, "split_size") || !strcmp(name, "split_sizes"))
            sizes = args[nargs + i];
        else if (!strcmp(name, "tensor") || !strcmp(name, "input"))
            input = args[nargs + i];
        else
            return PyErr_Format(PyExc_TypeError, "split() got an unexpected keyword argument '%s'", name), NULL;
    }
    if (!input || !sizes || nargs > 3 || !fnn_is_tensor(input))
        return PyErr_SetString(PyExc_TypeError, "split(): expected (Tensor tensor, int or list split_size_or_sections, int dim=0)"), NULL;
    int64_t dim = 0, size;
    if (dim_object && fnn_as_int(dim_object, &dim)) return NULL;
    PyTypeObject *type = fnn_result_type(&input, 1);
    if (PyList_Check(sizes) || PyTuple_Check(sizes)) return split_sizes(TENSOR(input), sizes, dim, type);
    if (fnn_as_int(sizes, &size)) return NULL;
    return split_even(TENSOR(input), size, dim, type);
}

PyObject *fnn_split_function(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    (void)module;
    return split(args, nargs, kwnames);
}

/* The method: self joins the arguments. */
PyObject *fnn_split_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject *all[8] = {self};
    if (n > 7) return PyErr_SetString(PyExc_TypeError, "split(): too many arguments"), NULL;
    memcpy(all + 1, args, sizeof *all * (size_t)n);
    return split(all, nargs + 1, kwnames);
}

PyObject *fnn_fn_chunk(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    const fnn_tensor *in = f->in[0];
    int64_t chunks = f->attrs.v[0].i, dim = f->attrs.v[1].i;
    fnn_status status = !in->ndim     ? fnn_fail(FNN_ERR_RUNTIME, "chunk: expects at least a 1-dimensional tensor")
                        : chunks <= 0 ? fnn_fail(FNN_ERR_RUNTIME, "chunk expects `chunks` to be greater than 0, got: %lld", (long long)chunks)
                                      : fnn_wrap_dim("chunk", &dim, in->ndim);
    if (status) return fnn_raise(status);
    if (!in->shape[dim]) { /* as many empty pieces as asked for */
        PyObject *zero = PyLong_FromLong(0), *one_size = zero ? PyTuple_Pack(1, zero) : NULL;
        PyObject *sizes = one_size ? PySequence_Repeat(one_size, (Py_ssize_t)chunks) : NULL, *result = sizes ? split_sizes(in, sizes, dim, type) : NULL;
        Py_XDECREF(zero), Py_XDECREF(one_size), Py_XDECREF(sizes);
        return result;
    }
    int64_t size = (in->shape[dim] + chunks - 1) / chunks;
    return split_even(in, size, dim, type);
}
