/* x[key] and x[key] = value: a key becomes views, then at most one gather (INDEX) or scatter (INDEX_PUT_).
 *
 * Items are taken from left to right as torch takes them: integers select, slices cut, None adds a dimension, Ellipsis
 * skips; tensors, lists and arrays are collected with the dimension they stand at. A boolean mask counts as one index tensor
 * per dimension it covers. Keys of integers and slices alone never reach the collecting part. */
#include <string.h>

#include "args.h"
#include "signature.h"

#define MAX_INDICES (FNN_MAX_IN - 2) /* index tensors one op call takes beside x and a value */

/* What a key has become so far. */
typedef struct target {
    fnn_tensor view;             /* owned */
    int n;                       /* collected index tensors */
    fnn_tensor index[MAX_INDICES]; /* owned */
    int64_t dim[MAX_INDICES];
    int mask;                    /* how many of them the last mask gave */
} target;

static void target_clear(target *g) {
    fnn_tensor_unref(&g->view);
    for (int i = 0; i < g->n; i++) fnn_tensor_unref(&g->index[i]);
    g->n = 0;
}

/* view <- op(view) */
static int step(target *g, const fnn_op *op, const fnn_attrs *attrs) {
    const fnn_tensor *in = &g->view;
    fnn_tensor out;
    fnn_status status = fnn_apply_op(op, &out, 1, &in, 1, attrs);
    if (status) return fnn_raise(status), -1;
    fnn_tensor_unref(&g->view);
    g->view = out;
    return 0;
}

static int step_select(target *g, int64_t dim, int64_t index) {
    if (!g->view.ndim) {
        PyErr_SetString(PyExc_IndexError, "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim tensor to a number");
        return -1;
    }
    if (dim >= g->view.ndim) return PyErr_Format(PyExc_IndexError, "too many indices for tensor of dimension %d", g->view.ndim), -1;
    int64_t size = g->view.shape[dim];
    if (index < -size || index >= size)
        return PyErr_Format(PyExc_IndexError, "index %lld is out of bounds for dimension %lld with size %lld", (long long)index, (long long)dim, (long long)size), -1;
    fnn_attrs attrs;
    attrs.v[0].i = dim;
    attrs.v[1].i = index;
    return step(g, &fnn_op_SELECT, &attrs);
}

/* A slice's bound: None is open, anything else an integer. */
static int bound(PyObject *o, int64_t *value) {
    if (o == Py_None) {
        *value = FNN_NONE;
        return 0;
    }
    return fnn_as_int(o, value);
}

static int step_slice(target *g, int64_t dim, PyObject *key) {
    PySliceObject *s = (PySliceObject *)key;
    if (dim >= g->view.ndim) return PyErr_Format(PyExc_IndexError, "too many indices for tensor of dimension %d", g->view.ndim), -1;
    if (s->start == Py_None && s->stop == Py_None && s->step == Py_None) return 0;
    fnn_attrs attrs;
    attrs.v[0].i = dim;
    if (bound(s->start, &attrs.v[1].i) || bound(s->stop, &attrs.v[2].i) || bound(s->step, &attrs.v[3].i)) return -1;
    if (attrs.v[3].i != FNN_NONE && attrs.v[3].i <= 0) return PyErr_SetString(PyExc_ValueError, "step must be greater than zero"), -1;
    return step(g, &fnn_op_SLICE, &attrs);
}

static int add_index(target *g, int64_t dim, fnn_tensor *index) {
    if (g->n == MAX_INDICES) {
        fnn_tensor_unref(index);
        return PyErr_Format(PyExc_IndexError, "index: found more than %d index tensors", MAX_INDICES), -1;
    }
    g->dim[g->n] = dim;
    g->index[g->n++] = *index;
    return 0;
}

/* A mask over dimensions dim .. dim + mask.ndim becomes one index tensor for each. */
static int add_mask(target *g, int64_t *dim, const fnn_tensor *mask) {
    for (int d = 0; d < mask->ndim; d++)
        if (*dim + d >= g->view.ndim || g->view.shape[*dim + d] != mask->shape[d])
            return PyErr_Format(PyExc_IndexError, "The shape of the mask %s at index %d does not match the shape of the indexed tensor %s at index %lld",
                                fnn_shape_of(mask), d, fnn_shape_of(&g->view), (long long)(*dim + d)), -1;
    fnn_tensor where;
    fnn_status status = fnn_run1(&fnn_op_NONZERO, &where, mask, NULL); /* (count, mask.ndim) */
    if (status) return fnn_raise(status), -1;
    int failed = 0;
    for (int d = 0; d < mask->ndim && !failed; d++) {
        fnn_tensor column;
        fnn_tensor_ref_data(&column, &where);
        column.data += d * column.stride[1] * 8;
        column.ndim = 1;
        fnn_tensor_derive(&column);
        failed = add_index(g, (*dim)++, &column);
    }
    fnn_tensor_unref(&where);
    g->mask = mask->ndim;
    return failed;
}

static int add_tensor(target *g, int64_t *dim, const fnn_tensor *t) {
    if (t->dtype == FNN_BOOL || t->dtype == FNN_U8) {
        if (t->ndim) return add_mask(g, dim, t);
        fnn_attrs attrs = {.v[0].i = *dim}; /* a 0-d mask adds a dimension of size 0 or 1 */
        if (step(g, &fnn_op_UNSQUEEZE, &attrs)) return -1;
        int64_t zero = 0, count = *t->data ? 1 : 0;
        fnn_tensor index;
        fnn_status status = fnn_from_data(&index, FNN_I64, 1, &count, &zero);
        if (status) return fnn_raise(status), -1;
        return add_index(g, (*dim)++, &index);
    }
    if (fnn_dtype_is_float(t->dtype))
        return PyErr_Format(PyExc_IndexError, "tensors used as indices must be long, int, byte or bool tensors, found %s", fnn_dtype_name(t->dtype)), -1;
    if (*dim >= g->view.ndim) return PyErr_Format(PyExc_IndexError, "too many indices for tensor of dimension %d", g->view.ndim), -1;
    fnn_tensor index;
    fnn_status status = fnn_cast(&index, t, FNN_I64);
    if (status) return fnn_raise(status), -1;
    return add_index(g, (*dim)++, &index);
}

static bool is_int(PyObject *o) { return PyLong_Check(o) && !PyBool_Check(o); }

static int take_item(target *g, int64_t *dim, PyObject *item) {
    int64_t value;
    if (is_int(item)) return fnn_as_int(item, &value) ? -1 : step_select(g, *dim, value);
    if (PySlice_Check(item)) return step_slice(g, (*dim)++, item);
    if (item == Py_None) {
        fnn_attrs attrs = {.v[0].i = (*dim)++};
        return step(g, &fnn_op_UNSQUEEZE, &attrs);
    }
    if (fnn_is_tensor(item)) {
        const fnn_tensor *t = TENSOR(item);
        if (!t->ndim && fnn_dtype_is_int(t->dtype) && t->dtype != FNN_U8) return fnn_as_int(item, &value) ? -1 : step_select(g, *dim, value);
        return add_tensor(g, dim, t);
    }
    if (PyBool_Check(item) || PyList_Check(item) || PyTuple_Check(item) || PyRange_Check(item) || fnn_is_ndarray(item)) {
        PyObject *list = PyRange_Check(item) ? PySequence_List(item) : Py_NewRef(item);
        fnn_tensor t;
        bool empty = list && (PyList_Check(list) || PyTuple_Check(list)) && PySequence_Size(list) == 0;
        int failed = !list || fnn_tensor_from_object(list, empty ? FNN_I64 : -1, &t);
        if (!failed && fnn_dtype_is_float(t.dtype) && !fnn_is_ndarray(item)) { /* numbers in a list are cut to integers */
            fnn_tensor_unref(&t);
            failed = fnn_tensor_from_object(list, FNN_I64, &t);
        }
        Py_XDECREF(list);
        if (failed) return -1;
        failed = add_tensor(g, dim, &t);
        fnn_tensor_unref(&t);
        return failed;
    }
    if (PyIndex_Check(item)) return fnn_as_int(item, &value) ? -1 : step_select(g, *dim, value);
    PyErr_Format(PyUnicode_Check(item) ? PyExc_TypeError : PyExc_IndexError,
                 "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got %s)", Py_TYPE(item)->tp_name);
    return -1;
}

/* How many dimensions of x an item covers. */
static int covers(PyObject *item) {
    if (item == Py_None || item == Py_Ellipsis || PyBool_Check(item)) return 0;
    if (fnn_is_tensor(item) && (TENSOR(item)->dtype == FNN_BOOL || TENSOR(item)->dtype == FNN_U8)) return TENSOR(item)->ndim;
    return 1;
}

static int take_tuple(target *g, PyObject *key) {
    Py_ssize_t n = PyTuple_GET_SIZE(key);
    int covered = 0, ellipses = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        covered += covers(PyTuple_GET_ITEM(key, i));
        ellipses += PyTuple_GET_ITEM(key, i) == Py_Ellipsis;
    }
    if (covered > g->view.ndim) return PyErr_Format(PyExc_IndexError, "too many indices for tensor of dimension %d", g->view.ndim), -1;
    if (ellipses > 1) return PyErr_SetString(PyExc_IndexError, "an index can only have a single ellipsis ('...')"), -1;
    int64_t dim = 0, skip = g->view.ndim - covered;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(key, i);
        if (item == Py_Ellipsis)
            dim += skip;
        else if (take_item(g, &dim, item))
            return -1;
    }
    return 0;
}

/* x[[0, 1]] indexes; a list that holds a slice, None, a tensor or another sequence is a key written as a list. */
static bool is_listed_key(PyObject *key) {
    if (!PyList_Check(key) || PyList_GET_SIZE(key) >= 32) return false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(key); i++) {
        PyObject *item = PyList_GET_ITEM(key, i);
        if (item == Py_None || item == Py_Ellipsis || PySlice_Check(item) || fnn_is_tensor(item) || PySequence_Check(item)) return true;
    }
    return false;
}

static int parse_key(target *g, PyObject *self, PyObject *key) {
    fnn_tensor *own = TENSOR(self);
    g->n = g->mask = 0;
    fnn_tensor_clear(&g->view); /* the caller clears the target whatever happens */
    /* The views made below belong to self's record, so that writes into them reach its history. */
    if (fnn_dtype_is_float(own->dtype) && !(own->flags & FNN_T_INFERENCE) && !fnn_meta_of(own)) return fnn_raise(FNN_ERR_MEMORY), -1;
    fnn_tensor_ref(&g->view, own);
    int64_t dim = 0;
    if (PyTuple_Check(key)) return take_tuple(g, key);
    if (key == Py_Ellipsis) {
        return step(g, &fnn_op_ALIAS, NULL);
    }
    if (is_listed_key(key)) {
        PyObject *tuple = PyList_AsTuple(key);
        int failed = !tuple || take_tuple(g, tuple);
        Py_XDECREF(tuple);
        return failed ? -1 : 0;
    }
    return take_item(g, &dim, key);
}

static void inputs(const target *g, const fnn_tensor **in, fnn_attrs *attrs) {
    in[0] = &g->view;
    attrs->list[0].n = g->n;
    for (int i = 0; i < g->n; i++) {
        in[i + 1] = &g->index[i];
        attrs->list[0].v[i] = g->dim[i];
    }
}

static int whole_slice(target *g) {
    fnn_attrs attrs = {.v = {{.i = 0}, {.i = FNN_NONE}, {.i = FNN_NONE}, {.i = FNN_NONE}}};
    return step(g, g->view.ndim ? &fnn_op_SLICE : &fnn_op_ALIAS, &attrs);
}

PyObject *fnn_getitem(PyObject *self, PyObject *key) {
    target g;
    fnn_tensor out;
    if (parse_key(&g, self, key)) {
        target_clear(&g);
        return NULL;
    }
    if (!g.n) {
        if (g.view.data == TENSOR(self)->data && g.view.meta == TENSOR(self)->meta && g.view.ndim == TENSOR(self)->ndim && PyTuple_Check(key) | PySlice_Check(key) &&
            whole_slice(&g)) { /* x[:] is a new view, not x itself */
            target_clear(&g);
            return NULL;
        }
        return fnn_wrap_as(fnn_result_type(&self, 1), &g.view);
    }
    const fnn_tensor *in[FNN_MAX_IN];
    fnn_attrs attrs;
    inputs(&g, in, &attrs);
    fnn_status status = fnn_apply_op(&fnn_op_INDEX, &out, 1, in, g.n + 1, &attrs);
    target_clear(&g);
    return status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(&self, 1), &out);
}

/* ---- writing ---- */

/* The value of a store: a tensor, or a number of Python's kinds or an integer of NumPy's, as in torch. */
static int store_value(PyObject *value, const fnn_tensor **t, fnn_number_slot *slot) {
    if (fnn_is_tensor(value)) {
        *t = TENSOR(value);
        return 0;
    }
    int dtype;
    bool refused = fnn_is_numpy_scalar(value, &dtype) && !PyFloat_Check(value) && (fnn_dtype_is_float(dtype) || dtype == FNN_BOOL);
    int number = refused ? 1 : fnn_as_number(value, slot);
    if (number > 0) PyErr_Format(PyExc_TypeError, "can't assign a %s to a tensor", Py_TYPE(value)->tp_name);
    *t = &slot->t;
    return number ? -1 : 0;
}

/* x[mask] = number: one pass without collecting indices. */
static bool is_plain_mask(PyObject *self, PyObject *key, const fnn_tensor *value) {
    return fnn_is_tensor(key) && TENSOR(key)->dtype == FNN_BOOL && TENSOR(key)->ndim && fnn_same_shape(TENSOR(key), TENSOR(self)) && !value->ndim &&
           (!fnn_dtype_is_float(value->dtype) || fnn_dtype_is_float(TENSOR(self)->dtype));
}

/* Leading sizes of one in a value are dropped, as torch does: x[0] = ones(1, 3) for a row of 3. */
static fnn_tensor without_leading_ones(const fnn_tensor *value, int ndim) {
    fnn_tensor v = *value;
    int drop = 0;
    while (v.ndim - drop > ndim && v.shape[drop] == 1) drop++;
    if (!drop) return v;
    memmove(v.shape, v.shape + drop, sizeof v.shape[0] * (size_t)(v.ndim - drop));
    memmove(v.stride, v.stride + drop, sizeof v.stride[0] * (size_t)(v.ndim - drop));
    v.ndim = (uint8_t)(v.ndim - drop);
    return v;
}

/* A value out of the memory written to that is read as it was before: repeated over it, or one element under one mask. */
static bool stored_from_copy(const target *g, const fnn_tensor *value, bool accumulate) {
    if (!value->storage || value->storage != g->view.storage) return false;
    return g->n ? value->numel == 1 && g->mask == g->n && !accumulate : !fnn_same_shape(value, &g->view);
}

static fnn_status store(target *g, const fnn_tensor *value, bool accumulate) {
    if (stored_from_copy(g, value, accumulate)) {
        fnn_tensor copy;
        FNN_TRY(fnn_apply_op(&fnn_op_CLONE, &copy, 1, &value, 1, NULL));
        fnn_status status = store(g, &copy, accumulate);
        fnn_tensor_unref(&copy);
        return status;
    }
    if (!g->n) {
        fnn_tensor plain = without_leading_ones(value, g->view.ndim);
        if (plain.ndim != value->ndim && fnn_wants_grad(value)) { /* the tape has to know of the dropped sizes */
            fnn_attrs shape = {.list[0].n = plain.ndim};
            memcpy(shape.list[0].v, plain.shape, sizeof plain.shape);
            fnn_tensor viewed;
            FNN_TRY(fnn_apply(FNN_OP_VIEW, &viewed, &value, 1, &shape));
            fnn_status status = fnn_apply_inplace_op(&fnn_op_COPY_, &g->view, (const fnn_tensor *[]){&g->view, &viewed}, 2, NULL);
            fnn_tensor_unref(&viewed);
            return status;
        }
        const fnn_tensor *in[2] = {&g->view, plain.ndim != value->ndim ? &plain : value};
        return fnn_apply_inplace_op(&fnn_op_COPY_, &g->view, in, 2, NULL);
    }
    const fnn_tensor *in[FNN_MAX_IN + 1];
    fnn_attrs attrs = {.v[0].i = accumulate};
    inputs(g, in, &attrs);
    memmove(in + 2, in + 1, sizeof *in * (size_t)g->n); /* x, value, indices */
    in[1] = value;
    return fnn_apply_inplace_op(&fnn_op_INDEX_PUT_, &g->view, in, g->n + 2, &attrs);
}

int fnn_setitem(PyObject *self, PyObject *key, PyObject *value) {
    if (!value) return PyErr_SetString(PyExc_TypeError, "Tensor does not support deleting items"), -1;
    const fnn_tensor *t;
    fnn_number_slot slot;
    target g;
    if (store_value(value, &t, &slot)) return -1;
    fnn_status status = t == &slot.t ? fnn_want_fit("setitem", t, TENSOR(self)->dtype) : FNN_OK;
    if (status) return fnn_raise(status), -1;
    if (key == Py_False) return 0; /* no element is meant */
    if (key == Py_True) key = Py_None; /* all of them: a copy */
    if (is_plain_mask(self, key, t)) {
        const fnn_tensor *in[3] = {TENSOR(self), TENSOR(key), t};
        status = fnn_apply_inplace_op(&fnn_op_MASKED_FILL, TENSOR(self), in, 3, NULL);
    } else {
        int failed = parse_key(&g, self, key);
        status = failed ? FNN_ERR_INDEX : store(&g, t, false);
        target_clear(&g);
        if (failed) return -1;
    }
    return status ? (fnn_raise(status), -1) : 0;
}

/* ---- index_put ---- */

/* self[indices] = values, or += for each index in turn */
static fnn_status put(fnn_frame *f, fnn_tensor *self) {
    target g = {.n = 0};
    int64_t dim = 0;
    if (fnn_dtype_is_float(self->dtype) && !(self->flags & FNN_T_INFERENCE) && !fnn_meta_of(self)) return FNN_ERR_MEMORY; /* as in parse_key */
    fnn_tensor_ref(&g.view, self);
    fnn_status status = FNN_OK;
    for (int i = 0; i < f->n_in && !status; i++)
        if (add_tensor(&g, &dim, f->list[i])) status = FNN_ERR_INDEX;
    if (!status) status = store(&g, f->in[2], f->attrs.v[0].i != 0);
    target_clear(&g);
    return status;
}

static PyObject *put_result(fnn_status status, PyObject *result) {
    if (!status) return result;
    Py_XDECREF(result);
    return PyErr_Occurred() ? NULL : fnn_raise(status);
}

PyObject *fnn_fn_index_put_(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)type;
    return put_result(put(f, TENSOR(self)), Py_NewRef(self));
}

PyObject *fnn_fn_index_put(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)self;
    fnn_tensor copy;
    fnn_status status = fnn_apply_op(&fnn_op_CLONE, &copy, 1, f->in, 1, NULL);
    if (status) return fnn_raise(status);
    status = put(f, &copy);
    if (status) fnn_tensor_unref(&copy);
    return put_result(status, status ? NULL : fnn_wrap_as(type, &copy));
}
