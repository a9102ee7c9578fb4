/* Ops on NumPy arrays, forward and backward by hand: what fastnn.kernels is made of.
 *
 * _kernel_forward runs an op on tensors that share the arrays' memory and gives, beside the outputs, what the op's
 * descriptor says its backward needs: inputs, outputs and extras, as arrays that belong to the caller, and a record of the
 * call. _kernel_backward builds the same fnn_backcall that the tape would build and calls the same function.
 * Invariant: nothing is believed of what comes back: arrays are checked against the record before a kernel reads them, and
 * no array handed out shares memory with one that came in. It does not: know any op, convert dtypes. Read next: ops/op.h, graph/apply.c. */
#include <string.h>

#include "args.h"

/* A call as bytes: opaque to Python, plain data so that it can be copied and pickled. */
typedef struct record {
    char name[40];
    int32_t n_in;
    uint8_t contiguous; /* bit i: output i was, so backward may count on it */
    fnn_attrs attrs;
    fnn_geom in[FNN_MAX_IN], out[FNN_MAX_OUT], extra[FNN_MAX_EXTRA]; /* ndim 255: absent */
} record;

#define ABSENT 255
/* Ops without a pair: views, lists, in-place writers, ops without a gradient. */
#define NO_PAIR (FNN_F_VIEW | FNN_F_LIST | FNN_F_NO_GRAD | FNN_F_OUT_LIST | FNN_F_WRITES)

static const fnn_op *find(const char *name) {
    for (int i = 0; i < FNN_NOPS; i++) {
        const fnn_op *op = fnn_op_get((fnn_op_id)i);
        if (strcmp(op->name, name) == 0 && op->backward && !(op->flags & NO_PAIR)) return op;
    }
    PyErr_Format(PyExc_ValueError, "%s: no op of this name has a forward and backward pair", name);
    return NULL;
}

static bool differentiable(const fnn_op *op, const fnn_geom *in, int i) {
    return in[i].ndim != ABSENT && fnn_dtype_is_float(in[i].dtype) && !(op->no_grad_in >> i & 1);
}

/* Bits of the inputs that backward reads. */
static unsigned kept_inputs(const fnn_op *op, const fnn_geom *in, int n_in) {
    unsigned bits = 0;
    for (int i = 0; i < n_in; i++)
        if (differentiable(op, in, i)) bits |= op->save_in[i];
    return bits;
}

/* The same over all calls: the layout of `saved` must not depend on which optional inputs are there. */
static unsigned ever_kept(const fnn_op *op) {
    unsigned bits = 0;
    for (int i = 0; i < op->n_in; i++)
        if (!(op->no_grad_in >> i & 1)) bits |= op->save_in[i];
    return bits;
}

static void release(fnn_tensor *t, int n) {
    for (int i = 0; i < n; i++) fnn_tensor_unref(&t[i]);
}

/* ---- forward ---- */

/* Fills t and in; gives the arrays that t shares memory with: the given ones, or copies where that cannot be. */
static PyObject *read_arrays(const fnn_op *op, PyObject *arrays, fnn_tensor *t, const fnn_tensor **in) {
    Py_ssize_t n = PyTuple_GET_SIZE(arrays);
    if (n != op->n_in) return PyErr_Format(PyExc_TypeError, "%s: found %zd arrays, expected %d", op->name, n, op->n_in);
    PyObject *plain = PyTuple_New(n);
    for (Py_ssize_t i = 0; i < n && plain; i++) {
        PyObject *array = fnn_plain_array(PyTuple_GET_ITEM(arrays, i));
        if (array) PyTuple_SET_ITEM(plain, i, array);
        if (array == Py_None && (op->optional_in >> i & 1)) continue;
        if (array && !fnn_tensor_from_numpy(array, &t[i]))
            in[i] = &t[i];
        else
            Py_CLEAR(plain);
    }
    return plain;
}

static int read_attrs(const fnn_op *op, PyObject *values, PyObject *lists, fnn_attrs *attrs) {
    Py_ssize_t n = PyTuple_GET_SIZE(values), m = PyTuple_GET_SIZE(lists);
    if (n > FNN_MAX_ATTRS || m > FNN_MAX_LISTS) return PyErr_Format(PyExc_TypeError, "%s: too many attributes", op->name), -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PyTuple_GET_ITEM(values, i);
        if (o == Py_None)
            attrs->v[i].i = FNN_NONE;
        else if (PyFloat_Check(o))
            attrs->v[i].f = PyFloat_AS_DOUBLE(o);
        else
            attrs->v[i].i = PyLong_AsLongLong(o);
        if (PyErr_Occurred()) return -1;
    }
    for (Py_ssize_t i = 0; i < FNN_MAX_LISTS; i++) attrs->list[i].n = -1;
    for (Py_ssize_t i = 0; i < m; i++)
        if (PyTuple_GET_ITEM(lists, i) != Py_None && fnn_as_ints(PyTuple_GET_ITEM(lists, i), &attrs->list[i])) return -1;
    return 0;
}

static void describe(record *r, const fnn_call *c) {
    snprintf(r->name, sizeof r->name, "%s", c->op->name);
    r->n_in = c->n_in;
    r->attrs = *c->attrs;
    for (int i = 0; i < FNN_MAX_IN; i++)
        if (i < c->n_in && c->in[i])
            r->in[i] = fnn_geom_of(c->in[i]);
        else
            r->in[i].ndim = ABSENT;
    for (int i = 0; i < c->n_out; i++) {
        r->out[i] = fnn_geom_of(&c->out[i]);
        r->contiguous |= (uint8_t)(c->out[i].contiguous << i);
    }
    for (int i = 0; i < c->op->n_extra; i++)
        if (c->extra[i].data)
            r->extra[i] = fnn_geom_of(&c->extra[i]);
        else
            r->extra[i].ndim = ABSENT;
}

/* (array or None, ...) of n tensors. */
static PyObject *arrays_of(const fnn_tensor *t, int n) {
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; i < n && tuple; i++) {
        PyObject *array = t[i].data ? fnn_share_array(&t[i]) : Py_NewRef(Py_None);
        if (array)
            PyTuple_SET_ITEM(tuple, i, array);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *pick(PyObject *tuple, unsigned bits) {
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple) && list; i++)
        if ((bits >> i & 1) && PyList_Append(list, PyTuple_GET_ITEM(tuple, i))) Py_CLEAR(list);
    return list;
}

/* (outputs, saved inputs + saved outputs + extras, record) */
static PyObject *results(const fnn_call *c, PyObject *arrays) {
    record r;
    memset(&r, 0, sizeof r); /* padding too: equal calls give equal bytes */
    describe(&r, c);
    PyObject *outputs = arrays_of(c->out, c->n_out), *extras = arrays_of(c->extra, c->op->n_extra);
    PyObject *in = outputs && extras ? pick(arrays, ever_kept(c->op)) : NULL, *out = in ? pick(outputs, c->op->save_out) : NULL;
    PyObject *both = out ? PySequence_Concat(in, out) : NULL, *list = NULL;
    if (both && (list = PySequence_List(extras))) Py_SETREF(both, PySequence_Concat(both, list));
    PyObject *saved = both ? PyList_AsTuple(both) : NULL;
    PyObject *result = saved ? Py_BuildValue("OOy#", outputs, saved, (char *)&r, (Py_ssize_t)sizeof r) : NULL;
    Py_XDECREF(outputs);
    Py_XDECREF(extras);
    Py_XDECREF(in);
    Py_XDECREF(out);
    Py_XDECREF(both);
    Py_XDECREF(list);
    Py_XDECREF(saved);
    return result;
}

static PyObject *kernel_forward(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    PyObject *arrays, *values, *lists;
    if (!PyArg_ParseTuple(args, "sO!O!O!", &name, &PyTuple_Type, &arrays, &PyTuple_Type, &values, &PyTuple_Type, &lists)) return NULL;
    const fnn_op *op = find(name);
    fnn_tensor t[FNN_MAX_IN] = {{0}}, out[FNN_MAX_OUT] = {{0}};
    const fnn_tensor *in[FNN_MAX_IN] = {NULL};
    fnn_attrs attrs = {0};
    if (!op || read_attrs(op, values, lists, &attrs)) return NULL;
    fnn_call c = {.op = op, .n_in = op->n_in, .n_out = op->n_out, .in = in, .attrs = &attrs, .out = out, .save = true};
    PyObject *plain = read_arrays(op, arrays, t, in), *result = NULL;
    if (plain) {
        fnn_status status = fnn_run_call(&c);
        result = status ? fnn_raise(status) : results(&c, plain);
        Py_DECREF(plain);
    }
    release(t, FNN_MAX_IN);
    release(out, op->n_out);
    release(c.extra, op->n_extra);
    return result;
}

/* ---- backward ---- */

/* The array at `o` as a tensor of geometry g; `what` names it in the error. */
static int read_checked(const fnn_op *op, PyObject *what, PyObject *o, const fnn_geom *g, bool contiguous, fnn_tensor *t) {
    fnn_tensor raw;
    PyObject *plain = fnn_plain_array(o);
    int failed = plain ? fnn_tensor_from_numpy(plain, &raw) : -1;
    Py_XDECREF(plain); /* raw holds it */
    if (failed) return -1;
    fnn_tensor want = {.dtype = g->dtype};
    fnn_tensor_set_geometry(&want, g->ndim, g->shape, NULL);
    if (raw.dtype != g->dtype || !fnn_same_shape(&raw, &want)) {
        PyErr_Format(PyExc_RuntimeError, "%s_backward: %S has shape %s and dtype %s, expected %s and %s as in forward", op->name, what,
                     fnn_shape_of(&raw), fnn_dtype_name(raw.dtype), fnn_shape_of(&want), fnn_dtype_name(g->dtype));
        fnn_tensor_unref(&raw);
        return -1;
    }
    if (!contiguous || raw.contiguous) return *t = raw, 0;
    fnn_status status = fnn_contiguous(t, &raw);
    fnn_tensor_unref(&raw);
    return status ? fnn_raise(status), -1 : 0;
}

/* Everything a backcall points to. */
typedef struct frame {
    fnn_tensor dy[FNN_MAX_OUT], in[FNN_MAX_IN], out[FNN_MAX_OUT], extra[FNN_MAX_EXTRA], dx[FNN_MAX_IN];
    const fnn_tensor *dys[FNN_MAX_OUT];
    bool need[FNN_MAX_IN];
} frame;

/* names: of the arrays in saved. */
static int read_saved(const fnn_op *op, const record *r, PyObject *saved, PyObject *names, frame *f) {
    unsigned used = kept_inputs(op, r->in, r->n_in), all = ever_kept(op);
    Py_ssize_t at = 0, n = PyTuple_GET_SIZE(saved);
    if (PyTuple_GET_SIZE(names) != n) goto wrong;
    for (int i = 0; i < op->n_in; i++) {
        if (!(all >> i & 1)) continue;
        if (at == n) goto wrong;
        PyObject *o = PyTuple_GET_ITEM(saved, at), *name = PyTuple_GET_ITEM(names, at++);
        if ((used >> i & 1) && r->in[i].ndim != ABSENT && read_checked(op, name, o, &r->in[i], false, &f->in[i])) return -1;
    }
    for (int i = 0; i < op->n_out; i++) {
        if (!(op->save_out >> i & 1)) continue;
        if (at == n) goto wrong;
        PyObject *o = PyTuple_GET_ITEM(saved, at), *name = PyTuple_GET_ITEM(names, at++);
        if (read_checked(op, name, o, &r->out[i], r->contiguous >> i & 1, &f->out[i])) return -1;
    }
    for (int i = 0; i < op->n_extra; i++) {
        if (at == n) goto wrong;
        PyObject *o = PyTuple_GET_ITEM(saved, at), *name = PyTuple_GET_ITEM(names, at++);
        if (r->extra[i].ndim != ABSENT && read_checked(op, name, o, &r->extra[i], true, &f->extra[i])) return -1;
    }
    if (at == n) return 0;
wrong:
    PyErr_Format(PyExc_TypeError, "%s_backward: saved does not come from %s_forward", op->name, op->name);
    return -1;
}

static int read_dy(const fnn_op *op, const record *r, PyObject *dy, PyObject *name, frame *f) {
    if (PyTuple_GET_SIZE(dy) != op->n_out)
        return PyErr_Format(PyExc_TypeError, "%s_backward: found %zd gradients of outputs, expected %d", op->name, PyTuple_GET_SIZE(dy), op->n_out), -1;
    for (int i = 0; i < op->n_out; i++) {
        PyObject *o = PyTuple_GET_ITEM(dy, i);
        if (o == Py_None) continue;
        if (read_checked(op, name, o, &r->out[i], false, &f->dy[i])) return -1;
        f->dys[i] = &f->dy[i];
    }
    return 0;
}

/* A gradient as the caller may keep it: of its own memory, without two indices on one element; zeros where there is none. */
static fnn_status own(frame *f, const record *r, int i) {
    fnn_tensor *dx = &f->dx[i], copy;
    if (!dx->data) return fnn_zeros(dx, &r->in[i]);
    bool shared = dx->storage->release || fnn_has_overlap(dx);
    for (int k = 0; k < i; k++) shared |= f->dx[k].storage == dx->storage;
    if (!shared) return FNN_OK;
    fnn_tensor plain = {.dtype = dx->dtype};
    fnn_tensor_set_geometry(&plain, dx->ndim, dx->shape, NULL);
    FNN_TRY(fnn_tensor_alloc(&plain));
    fnn_status status = fnn_copy_into(&plain, dx);
    copy = *dx;
    *dx = plain;
    fnn_tensor_unref(&copy);
    return status;
}

static fnn_status run_backward(const fnn_op *op, const record *r, unsigned wanted, frame *f) {
    for (int i = 0; i < op->n_in; i++) f->need[i] = (wanted >> i & 1) && differentiable(op, r->in, i);
    fnn_backcall b = {.op = op, .n_in = op->n_in, .n_out = op->n_out, .attrs = &r->attrs, .dy = f->dys, .in = f->in, .out = f->out,
                      .extra = f->extra, .in_geom = r->in, .out_geom = r->out, .need = f->need, .dx = f->dx};
    bool any = false; /* as on the tape, backward is not asked when no gradient arrives: then all are zero */
    for (int i = 0; i < op->n_out; i++) any |= f->dys[i] != NULL;
    if (any) FNN_TRY(op->backward(&b));
    for (int i = 0; i < op->n_in; i++)
        if (f->need[i]) FNN_TRY(own(f, r, i));
    return FNN_OK;
}

static PyObject *kernel_backward(PyObject *module, PyObject *args) {
    (void)module;
    const char *name, *bytes;
    Py_ssize_t size;
    unsigned wanted;
    PyObject *dy, *saved, *names;
    if (!PyArg_ParseTuple(args, "sO!O!O!y#I", &name, &PyTuple_Type, &dy, &PyTuple_Type, &saved, &PyTuple_Type, &names, &bytes, &size, &wanted)) return NULL;
    const fnn_op *op = find(name);
    record r;
    if (!op) return NULL;
    if (size == sizeof r) memcpy(&r, bytes, sizeof r); /* bytes have no alignment of their own */
    if (size != sizeof r || strncmp(r.name, op->name, sizeof r.name) != 0 || r.n_in != op->n_in)
        return PyErr_Format(PyExc_TypeError, "%s_backward: saved does not come from %s_forward", op->name, op->name);
    frame f = {0};
    PyObject *result = NULL, *dy_name = PyUnicode_FromString("dy");
    if (dy_name && !read_saved(op, &r, saved, names, &f) && !read_dy(op, &r, dy, dy_name, &f)) {
        fnn_status status = run_backward(op, &r, wanted, &f);
        result = status ? fnn_raise(status) : arrays_of(f.dx, op->n_in);
    }
    Py_XDECREF(dy_name);
    release(f.dy, FNN_MAX_OUT);
    release(f.in, FNN_MAX_IN);
    release(f.out, FNN_MAX_OUT);
    release(f.extra, FNN_MAX_EXTRA);
    release(f.dx, FNN_MAX_IN);
    return result;
}

/* ---- what a pair saves ---- */

/* (bits of saved inputs, bits of saved outputs, number of extras, bits of differentiable inputs) */
static PyObject *kernel_spec(PyObject *module, PyObject *o) {
    (void)module;
    const char *name = PyUnicode_AsUTF8(o);
    const fnn_op *op = name ? find(name) : NULL;
    if (!op) return NULL;
    return Py_BuildValue("IIiI", ever_kept(op), (unsigned)op->save_out, (int)op->n_extra, ~(unsigned)op->no_grad_in & ((1U << op->n_in) - 1));
}

static PyMethodDef functions[] = {
    {"_kernel_forward", kernel_forward, METH_VARARGS, "_kernel_forward(op, arrays, values, lists) -> (outputs, saved, call)"},
    {"_kernel_backward", kernel_backward, METH_VARARGS, "_kernel_backward(op, dy, saved, names, call, wanted) -> gradients, None where an input has none; wanted: inputs as bits"},
    {"_kernel_spec", kernel_spec, METH_O, "_kernel_spec(op) -> (saved inputs, saved outputs, extras, differentiable inputs), the inputs and outputs as bits"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_kernels(PyObject *module) { return PyModule_AddFunctions(module, functions); }
