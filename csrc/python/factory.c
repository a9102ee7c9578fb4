/* Creation functions: empty, zeros, ones, full, their *_like and new_* forms. Ranges are range.c, random.c draws.
 *
 * Invariant: options torch accepts on the CPU (layout, pin_memory, device, names) are checked and have no effect; a wrong one
 * raises before memory is taken. *_like keeps the memory order of its input as torch does: random fills depend on it. */
#include "factory.h"

#include <string.h>

int fnn_new_sized(const char *function, PyObject *size, int dtype, fnn_tensor *out) {
    fnn_ints sizes;
    if (fnn_as_ints(size, &sizes)) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s(): argument 'size' must be tuple of ints, found %R", function, size);
        return -1;
    }
    for (int64_t d = 0; d < sizes.n; d++)
        if (sizes.v[d] < 0) {
            PyErr_Format(PyExc_RuntimeError, "%s(): Trying to create tensor with negative dimension %lld: %R", function, (long long)sizes.v[d], size);
            return -1;
        }
    fnn_status status = fnn_empty(out, (fnn_dtype)(dtype < 0 ? fnn_default_dtype : dtype), (int)sizes.n, sizes.v);
    return status ? fnn_raise(status), -1 : 0;
}

/* Insertion sort of the dimensions by stride. A stride of 0 (an expanded dimension) keeps its place; among equal strides
 * the smaller dimension lies further in. This is torch's rule to the letter. */
void fnn_memory_order(const fnn_tensor *t, int *perm) {
    for (int i = 0; i < t->ndim; i++) perm[i] = t->ndim - 1 - i;
    for (int i = 1; i < t->ndim; i++) {
        int at = i;
        for (int k = i - 1; k >= 0; k--) {
            int64_t a = t->stride[perm[k]], b = t->stride[perm[at]];
            if (a == 0 || b == 0) continue;
            if (a < b) break;
            if (a == b && t->shape[perm[k]] <= t->shape[perm[at]]) continue;
            int swap = perm[k];
            perm[k] = perm[at];
            perm[at] = swap;
            at = k;
        }
    }
}

/* Strides of a dense tensor whose dimensions lie in memory in the order of t's. */
static void dense_strides(const fnn_tensor *t, int64_t *stride) {
    int perm[FNN_MAX_DIMS];
    fnn_memory_order(t, perm);
    int64_t step = 1;
    for (int i = 0; i < t->ndim; i++) {
        stride[perm[i]] = step;
        if (t->shape[perm[i]] > 1) step *= t->shape[perm[i]];
    }
}

int fnn_new_like(const char *function, const fnn_tensor *like, int dtype, PyObject *memory_format, fnn_tensor *out) {
    int64_t stride[FNN_MAX_DIMS];
    bool rows = false;
    if (memory_format && memory_format != Py_None && fnn_as_memory_format(function, memory_format, &rows)) return -1;
    fnn_tensor t = {.dtype = (uint8_t)(dtype < 0 ? like->dtype : dtype)};
    if (!rows && fnn_is_dense(like))
        fnn_tensor_set_geometry(&t, like->ndim, like->shape, like->stride);
    else if (!rows)
        dense_strides(like, stride), fnn_tensor_set_geometry(&t, like->ndim, like->shape, stride);
    else
        fnn_tensor_set_geometry(&t, like->ndim, like->shape, NULL);
    fnn_status status = fnn_tensor_alloc(&t);
    if (status) return fnn_raise(status), -1;
    *out = t;
    return 0;
}

/* ---- values ---- */

int fnn_as_scalar(const char *function, const char *name, PyObject *o, fnn_number_slot *slot) {
    int result;
    if (o && fnn_is_tensor(o)) {
        PyObject *number = fnn_item(TENSOR(o));
        result = number ? fnn_as_number(number, slot) : -1;
        Py_XDECREF(number);
    } else {
        result = o ? fnn_as_number(o, slot) : 1;
    }
    if (result > 0) PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be Number, not %.100s", function, name, o ? Py_TYPE(o)->tp_name : "nothing");
    return result ? -1 : 0;
}

double fnn_slot_double(const fnn_number_slot *slot) {
    if (slot->t.dtype == FNN_F64) return slot->value.f;
    return slot->t.dtype == FNN_BOOL ? slot->value.b : (double)slot->value.i;
}

/* The number as an integer within [lo, hi]; floats are cut towards zero. */
static int slot_integer(const fnn_number_slot *slot, int dtype, int64_t *value) {
    static const struct {
        int64_t lo, hi;
    } limits[FNN_NDTYPES] = {[FNN_I64] = {INT64_MIN, INT64_MAX}, [FNN_I32] = {INT32_MIN, INT32_MAX}, [FNN_U8] = {-255, 255}};
    bool fits = true;
    if (slot->t.dtype == FNN_F64) {
        fits = slot->value.f >= -9223372036854775808.0 && slot->value.f < 9223372036854775808.0;
        *value = fits ? (int64_t)slot->value.f : 0;
    } else {
        *value = slot->t.dtype == FNN_BOOL ? slot->value.b : slot->value.i;
    }
    if (fits && *value >= limits[dtype].lo && *value <= limits[dtype].hi) return 0;
    PyErr_Format(PyExc_RuntimeError, "value cannot be converted to type %s without overflow", fnn_dtype_name((fnn_dtype)dtype));
    return -1;
}

#define FILL(T, value)                                     \
    do {                                                   \
        T *p_ = (T *)t->data, v_ = (T)(value);             \
        for (int64_t i_ = 0; i_ < t->numel; i_++) p_[i_] = v_; \
        return 0;                                          \
    } while (0)

int fnn_fill_number(fnn_tensor *t, const fnn_number_slot *slot) {
    int64_t i;
    switch (t->dtype) {
    case FNN_F32: FILL(float, fnn_slot_double(slot));
    case FNN_F64: FILL(double, fnn_slot_double(slot));
    case FNN_BOOL: FILL(uint8_t, fnn_slot_double(slot) != 0);
    }
    if (slot_integer(slot, t->dtype, &i)) return -1;
    switch (t->dtype) {
    case FNN_I64: FILL(int64_t, i);
    case FNN_I32: FILL(int32_t, i);
    default: FILL(uint8_t, i);
    }
}

PyObject *fnn_finish(fnn_tensor *t, const fnn_options *options) {
    PyObject *result = fnn_wrap_leaf(t, options->requires_grad);
    if (!result || !options->out) return result;
    PyObject *stored = fnn_store_out(options->out, result);
    Py_DECREF(result);
    return stored;
}

/* What a function puts into its fresh tensor. */
typedef enum content { NOTHING, ZEROS, ONES } content;

static int put(fnn_tensor *t, content what) {
    static const fnn_number_slot one = {.t = {.dtype = FNN_I64}, .value = {.i = 1}};
    if (what == ZEROS) memset(t->data, 0, (size_t)t->numel * fnn_itemsize[t->dtype]);
    return what == ONES ? fnn_fill_number(t, &one) : 0;
}

/* The dtype of a result: the one asked for, else that of `out`, else the default. */
static int result_dtype(const fnn_options *o) { return o->dtype < 0 && o->out ? TENSOR(o->out)->dtype : o->dtype; }

/* ---- empty, zeros, ones: sizes first ---- */

static PyObject *sized(const char *function, content what, const fnn_tensor *like, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"size", "*", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", "memory_format", "names", NULL};
    PyObject *g[9], *owned;
    fnn_options options;
    fnn_tensor t;
    if (fnn_sort_size_args(function, names, args, n, kwnames, g, &owned)) return NULL;
    int failed = fnn_read_options(function, g[2], g[4], g[3], g[5], g[6], g[1], &options);
    if (!failed && like && options.dtype < 0) options.dtype = like->dtype;
    failed = failed || fnn_new_sized(function, g[0], result_dtype(&options), &t) || put(&t, what);
    Py_XDECREF(owned);
    return failed ? NULL : fnn_finish(&t, &options);
}

static PyObject *empty(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, sized("empty", NOTHING, NULL, args, n, kw); }
static PyObject *zeros(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, sized("zeros", ZEROS, NULL, args, n, kw); }
static PyObject *ones(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, sized("ones", ONES, NULL, args, n, kw); }
static PyObject *new_empty(PyObject *s, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return sized("new_empty", NOTHING, TENSOR(s), args, n, kw); }
static PyObject *new_zeros(PyObject *s, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return sized("new_zeros", ZEROS, TENSOR(s), args, n, kw); }
static PyObject *new_ones(PyObject *s, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return sized("new_ones", ONES, TENSOR(s), args, n, kw); }

/* ---- full ---- */

static PyObject *filled(const char *function, const fnn_tensor *like, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"size", "fill_value", "*", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", "names", NULL};
    PyObject *g[9];
    fnn_options options;
    fnn_number_slot value;
    fnn_tensor t;
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    if (!g[0] || !g[1]) return fnn_missing_arg(function, g[0] ? "fill_value" : "size"), NULL;
    if (!PyTuple_Check(g[0]) && !PyList_Check(g[0]))
        return PyErr_Format(PyExc_TypeError, "%s(): argument 'size' must be tuple of ints, not %.100s", function, Py_TYPE(g[0])->tp_name);
    if (fnn_read_options(function, g[3], g[5], g[4], g[6], g[7], g[2], &options) || fnn_as_scalar(function, "fill_value", g[1], &value)) return NULL;
    int dtype = like && options.dtype < 0 ? like->dtype : result_dtype(&options);
    if (dtype < 0) dtype = value.t.dtype == FNN_F64 ? fnn_default_dtype : value.t.dtype;
    if (fnn_new_sized(function, g[0], dtype, &t)) return NULL;
    if (!fnn_fill_number(&t, &value)) return fnn_finish(&t, &options);
    fnn_tensor_unref(&t);
    return NULL;
}

static PyObject *full(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, filled("full", NULL, args, n, kw); }
static PyObject *new_full(PyObject *s, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return filled("new_full", TENSOR(s), args, n, kw); }

/* ---- *_like ---- */

static PyObject *like(const char *function, content what, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "*", "dtype", "layout", "device", "pin_memory", "requires_grad", "memory_format", NULL};
    PyObject *g[7];
    fnn_options options;
    fnn_tensor t;
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor(function, "input", g[0]);
    if (!input || fnn_read_options(function, g[1], g[3], g[2], g[4], g[5], NULL, &options)) return NULL;
    return fnn_new_like(function, input, options.dtype, g[6], &t) || put(&t, what) ? NULL : fnn_finish(&t, &options);
}

static PyObject *empty_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, like("empty_like", NOTHING, args, n, kw); }
static PyObject *zeros_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, like("zeros_like", ZEROS, args, n, kw); }
static PyObject *ones_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, like("ones_like", ONES, args, n, kw); }

static PyObject *full_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "fill_value", "*", "dtype", "layout", "device", "pin_memory", "requires_grad", "memory_format", NULL};
    (void)m;
    PyObject *g[8];
    fnn_options options;
    fnn_number_slot value;
    fnn_tensor t;
    if (fnn_sort_args("full_like", names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor("full_like", "input", g[0]);
    if (!input || fnn_as_scalar("full_like", "fill_value", g[1], &value)) return NULL;
    if (fnn_read_options("full_like", g[2], g[4], g[3], g[5], g[6], NULL, &options) || fnn_new_like("full_like", input, options.dtype, g[7], &t)) return NULL;
    if (!fnn_fill_number(&t, &value)) return fnn_finish(&t, &options);
    fnn_tensor_unref(&t);
    return NULL;
}

/* ---- the rest ---- */

static PyObject *new_tensor(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"data", "*", "dtype", "device", "requires_grad", "layout", "pin_memory", NULL};
    PyObject *g[6];
    fnn_options options;
    fnn_tensor t;
    if (fnn_sort_args("new_tensor", names, args, n, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("new_tensor", "data"), NULL;
    if (fnn_read_options("new_tensor", g[1], g[2], g[4], g[5], g[3], NULL, &options)) return NULL;
    int dtype = options.dtype < 0 ? TENSOR(self)->dtype : options.dtype;
    return fnn_tensor_from_object(g[0], dtype, &t) ? NULL : fnn_finish(&t, &options);
}

/* A tensor over fresh memory that is just long enough for the strides. */
static PyObject *strided(const char *function, const fnn_tensor *model, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"size", "stride", "*", "dtype", "layout", "device", "requires_grad", "pin_memory", NULL};
    PyObject *g[7];
    fnn_options options;
    fnn_ints size, stride;
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    if (!g[0] || !g[1]) return fnn_missing_arg(function, g[0] ? "stride" : "size"), NULL;
    if (fnn_read_options(function, g[2], g[4], g[3], g[6], g[5], NULL, &options) || fnn_as_ints(g[0], &size) || fnn_as_ints(g[1], &stride)) return NULL;
    if (size.n != stride.n)
        return PyErr_Format(PyExc_RuntimeError, "%s: mismatch in length of strides and shape: found %lld strides for %lld sizes", function,
                            (long long)stride.n, (long long)size.n);
    fnn_tensor t = {.dtype = (uint8_t)(options.dtype >= 0 ? options.dtype : model ? model->dtype : fnn_default_dtype)}, block;
    int64_t extent = 1;
    for (int d = 0; d < size.n; d++) {
        if (size.v[d] < 0 || stride.v[d] < 0)
            return PyErr_Format(PyExc_RuntimeError, "%s: sizes and strides must not be negative, found %R and %R", function, g[0], g[1]);
        extent = size.v[d] == 0 || extent == 0 ? 0 : extent + (size.v[d] - 1) * stride.v[d];
    }
    fnn_tensor_set_geometry(&t, (int)size.n, size.v, stride.v);
    fnn_status status = fnn_empty(&block, t.dtype, 1, &extent);
    if (status) return fnn_raise(status);
    t.data = block.data;
    t.storage = block.storage;
    t.version = block.version;
    return fnn_finish(&t, &options);
}

static PyObject *empty_strided(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, strided("empty_strided", NULL, args, n, kw); }
static PyObject *new_empty_strided(PyObject *s, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return strided("new_empty_strided", TENSOR(s), args, n, kw); }

static PyObject *scalar_tensor(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"s", "*", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)m;
    PyObject *g[6];
    fnn_options options;
    fnn_number_slot value;
    fnn_tensor t;
    if (fnn_sort_args("scalar_tensor", names, args, n, kwnames, g) || fnn_as_scalar("scalar_tensor", "s", g[0], &value)) return NULL;
    if (fnn_read_options("scalar_tensor", g[1], g[3], g[2], g[4], g[5], NULL, &options)) return NULL;
    fnn_status status = fnn_empty(&t, (fnn_dtype)(options.dtype < 0 ? fnn_default_dtype : options.dtype), 0, NULL);
    if (status) return fnn_raise(status);
    if (!fnn_fill_number(&t, &value)) return fnn_finish(&t, &options);
    fnn_tensor_unref(&t);
    return NULL;
}

#define OPTIONS "dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False"

static PyMethodDef functions[] = {
    {"empty", FAST(empty), "empty($module, *size, out=None, " OPTIONS ", memory_format=None)\n--\n\nA tensor with undefined values."},
    {"zeros", FAST(zeros), "zeros($module, *size, out=None, " OPTIONS ")\n--\n\nA tensor of zeros."},
    {"ones", FAST(ones), "ones($module, *size, out=None, " OPTIONS ")\n--\n\nA tensor of ones."},
    {"full", FAST(full), "full($module, size, fill_value, *, out=None, " OPTIONS ")\n--\n\nA tensor with one value everywhere."},
    {"empty_like", FAST(empty_like), "empty_like($module, input, *, " OPTIONS ", memory_format=None)\n--\n\nUndefined values in input's shape."},
    {"zeros_like", FAST(zeros_like), "zeros_like($module, input, *, " OPTIONS ", memory_format=None)\n--\n\nZeros in input's shape."},
    {"ones_like", FAST(ones_like), "ones_like($module, input, *, " OPTIONS ", memory_format=None)\n--\n\nOnes in input's shape."},
    {"full_like", FAST(full_like), "full_like($module, input, fill_value, *, " OPTIONS ", memory_format=None)\n--\n\nOne value in input's shape."},
    {"empty_strided", FAST(empty_strided), "empty_strided($module, size, stride, *, " OPTIONS ")\n--\n\nUndefined values with given strides."},
    {"scalar_tensor", FAST(scalar_tensor), "scalar_tensor($module, s, *, " OPTIONS ")\n--\n\nA 0-d tensor of the default dtype."},
    {NULL, NULL, 0, NULL},
};

PyMethodDef fnn_factory_methods[] = {
    {"new_empty", FAST(new_empty), "new_empty($self, *size, " OPTIONS ")\n--\n\nUndefined values of this tensor's dtype."},
    {"new_zeros", FAST(new_zeros), "new_zeros($self, *size, " OPTIONS ")\n--\n\nZeros of this tensor's dtype."},
    {"new_ones", FAST(new_ones), "new_ones($self, *size, " OPTIONS ")\n--\n\nOnes of this tensor's dtype."},
    {"new_full", FAST(new_full), "new_full($self, size, fill_value, *, " OPTIONS ")\n--\n\nOne value, in this tensor's dtype."},
    {"new_tensor", FAST(new_tensor), "new_tensor($self, data, *, " OPTIONS ")\n--\n\nA copy of data in this tensor's dtype."},
    {"new_empty_strided", FAST(new_empty_strided), "new_empty_strided($self, size, stride, *, " OPTIONS ")\n--\n\nUndefined values with given strides."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_factories(PyObject *module) { return PyModule_AddFunctions(module, functions) || fnn_init_ranges(module) ? -1 : 0; }
