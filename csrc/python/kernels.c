/* Ops on NumPy arrays, forward and backward by hand: what fastnn.kernels is made of.
 *
 * A pair's forward(arrays.., attributes.., out) runs its op on tensors laid over the arrays and gives (outputs, saved): saved holds
 * what the op's descriptor says its backward needs, inputs, outputs and extras, as arrays that belong to the caller, and
 * the record of the call. Its backward is kernels_back.c.
 * Invariant: results are written where the caller will find them; a copy is made only where an op's layout differs from
 * the one wanted. See kernels.h for what the files share. */
#include <math.h>
#include <string.h>

#include "kernels.h"

static PyTypeObject *PairType;

/* ---- forward ---- */

/* kinds: 'i' integer, 'f' float, 'b' flag, 'l' list of integers; upper case: may be None. */
static int read_attr(const fnn_pair *p, int k, PyObject *o, fnn_value *v, fnn_ints *list) {
    char kind = p->kinds[k];
    if (o == Py_None && (kind == 'F' || kind == 'I' || kind == 'L')) {
        if (kind == 'F') v->f = NAN;
        if (kind == 'I') v->i = FNN_NONE;
        return 0;
    }
    int failed = 0;
    if (kind == 'f' || kind == 'F') {
        failed = fnn_as_double(o, &v->f);
    } else if (kind == 'i' || kind == 'I') {
        failed = fnn_as_int(o, &v->i);
    } else if (kind == 'b') {
        v->i = PyObject_IsTrue(o);
        failed = v->i < 0;
    } else {
        failed = fnn_as_ints(o, list);
    }
    if (!failed || !PyErr_ExceptionMatches(PyExc_TypeError)) return failed;
    PyErr_Format(PyExc_TypeError, "%s(): argument '%U' must be %s, not %.100s", p->forward, PyTuple_GET_ITEM(p->values, k),
                 kind == 'l' || kind == 'L' ? "a tuple of integers" : kind == 'f' || kind == 'F' ? "a number" : "an integer", Py_TYPE(o)->tp_name);
    return -1;
}

static int read_attrs(const fnn_pair *p, PyObject *const *args, fnn_attrs *attrs) {
    int n_list = 0, n_value = 0;
    memset(attrs, 0, sizeof *attrs);
    for (int i = 0; i < FNN_MAX_LISTS; i++) attrs->list[i].n = -1;
    for (int k = 0; k < p->n_values; k++) {
        bool list = p->kinds[k] == 'l' || p->kinds[k] == 'L';
        if (read_attr(p, k, args[k], &attrs->v[n_value], &attrs->list[n_list])) return -1;
        n_list += list;
        n_value += !list;
    }
    return 0;
}

/* Everything one forward call points to. The first n_* entries of each array are set. */
typedef struct frame {
    fnn_call c;
    fnn_attrs attrs;
    fnn_borrowed in_arrays[FNN_MAX_IN];
    const fnn_tensor *in[FNN_MAX_IN];
    fnn_tensor out[FNN_MAX_OUT];
    fnn_target targets[FNN_MAX_OUT];     /* where output i is to be found at the end */
    fnn_borrowed extras[FNN_MAX_EXTRA];
} frame;

static int read_inputs(const fnn_pair *p, PyObject *const *args, frame *f) {
    for (int i = 0; i < p->op->n_in; i++) f->in_arrays[i].array = NULL;
    for (int i = 0; i < p->op->n_in; i++) {
        f->in[i] = NULL;
        if (args[i] == Py_None && (p->op->optional_in >> i & 1)) continue;
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(p->inputs, i));
        if (!name || fnn_read_array(p->forward, name, args[i], p->accepts[i], &f->in_arrays[i])) return -1;
        f->in[i] = &f->in_arrays[i].t;
    }
    return 0;
}

/* Where each output and extra goes. Outputs that are neither given nor saved get no array: the run allocates them. */
static int make_targets(const fnn_pair *p, PyObject *out, frame *f) {
    PyObject *given[FNN_MAX_OUT];
    if (fnn_split_out(p->forward, out, p->n_given, given)) return -1;
    for (int i = 0; i < p->n_given; i++) {
        if (!given[i]) continue;
        fnn_target *t = &f->targets[i];
        if (fnn_read_target(p->forward, i, p->n_given, given[i], &f->out[i], t)) return -1;
        for (int k = 0; k < p->op->n_in; k++)
            if (fnn_check_apart(p->forward, i, p->n_given, t, PyUnicode_AsUTF8(PyTuple_GET_ITEM(p->inputs, k)), &f->in_arrays[k])) return -1;
        for (int k = 0; k < i; k++)
            if (fnn_check_apart(p->forward, i, p->n_given, t, "another entry of out", &f->targets[k].b)) return -1;
    }
    for (int i = 0; i < p->op->n_out; i++)
        if (!f->targets[i].given && (i < p->n_given || (p->op->save_out >> i & 1)) && fnn_new_array(&f->out[i], &f->targets[i].b)) return -1;
    for (int i = 0; i < p->op->n_extra; i++)
        if (f->c.extra[i].numel >= 0) {
            if (fnn_new_array(&f->c.extra[i], &f->extras[i])) return -1;
            f->c.extra[i] = f->extras[i].t;
        }
    return 0;
}

static bool laid_out_alike(const fnn_tensor *a, const fnn_tensor *b) {
    if (a->contiguous && b->contiguous) return true;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

/* Points output i at its target, or at memory of its own where the op would not write in the target's layout. */
static fnn_status place_output(frame *f, int i) {
    fnn_tensor *out = &f->out[i], *t = &f->targets[i].b.t;
    if (!f->targets[i].b.array) return fnn_tensor_alloc(out);
    if (f->c.op->flags & FNN_F_ELEMENTWISE)
        fnn_tensor_set_geometry(out, t->ndim, t->shape, t->stride);
    else if (!laid_out_alike(out, t))
        return fnn_tensor_alloc(out);
    out->data = t->data;
    out->storage = t->storage;
    out->version = t->version;
    return FNN_OK;
}

static fnn_status run(frame *f) {
    fnn_status status = FNN_OK;
    for (int i = 0; i < f->c.n_out && !status; i++) status = place_output(f, i);
    f->c.inplace = true; /* run.c allocates no output */
    if (!status) status = fnn_run_checked(&f->c);
    for (int i = 0; i < f->c.n_out; i++) {
        fnn_tensor *out = &f->out[i];
        if (!out->storage || fnn_is_borrowed(out->storage)) continue;
        if (!status && f->targets[i].b.array) status = fnn_copy_into(&f->targets[i].b.t, out);
        fnn_storage_unref(out->storage);
    }
    return status;
}

/* The named tuple; takes over the inputs' and extras' arrays. outputs: borrowed. */
static PyObject *make_saved(const fnn_pair *p, frame *f, PyObject *const *outputs) {
    PyObject *record = fnn_record_of(&f->c);
    PyObject *saved = record ? p->saved->tp_alloc(p->saved, PyTuple_GET_SIZE(p->fields) + 1) : NULL;
    if (!saved) return Py_XDECREF(record), NULL;
    Py_ssize_t at = 0;
    for (int i = 0; i < p->op->n_in; i++) {
        if (!(p->kept >> i & 1)) continue;
        PyTuple_SET_ITEM(saved, at++, f->in[i] ? f->in_arrays[i].array : Py_NewRef(Py_None));
        f->in_arrays[i].array = NULL;
    }
    for (int i = 0; i < p->op->n_out; i++)
        if (p->op->save_out >> i & 1) PyTuple_SET_ITEM(saved, at++, Py_NewRef(outputs[i]));
    for (int i = 0; i < p->op->n_extra; i++) {
        PyTuple_SET_ITEM(saved, at++, f->extras[i].array ? f->extras[i].array : Py_NewRef(Py_None));
        f->extras[i].array = NULL;
    }
    PyTuple_SET_ITEM(saved, at, record);
    return saved;
}

/* (y, saved) or ((y, ...), saved) */
static PyObject *results(const fnn_pair *p, frame *f) {
    PyObject *outputs[FNN_MAX_OUT] = {NULL}, *given = NULL, *result = NULL;
    bool failed = false;
    for (int i = 0; i < p->op->n_out; i++)
        if (f->targets[i].b.array) failed |= !(outputs[i] = fnn_finish_target(&f->targets[i]));
    PyObject *saved = failed ? NULL : make_saved(p, f, outputs);
    if (saved && p->n_given == 1) {
        given = Py_NewRef(outputs[0]);
    } else if (saved && (given = PyTuple_New(p->n_given))) {
        for (int i = 0; i < p->n_given; i++) PyTuple_SET_ITEM(given, i, Py_NewRef(outputs[i]));
    }
    if (given) result = PyTuple_Pack(2, given, saved);
    for (int i = 0; i < p->op->n_out; i++) Py_XDECREF(outputs[i]);
    Py_XDECREF(given);
    Py_XDECREF(saved);
    return result;
}

static PyObject *run_forward(const fnn_pair *p, PyObject *const *args, frame *f) {
    const fnn_op *op = p->op;
    if (read_inputs(p, args, f) || read_attrs(p, args + op->n_in, &f->attrs)) return NULL;
    fnn_call *c = &f->c;
    *c = (fnn_call){.op = op, .n_in = op->n_in, .n_out = op->n_out, .in = f->in, .attrs = &f->attrs, .out = f->out, .save = true};
    for (int i = 0; i < op->n_out; i++) f->out[i] = (fnn_tensor){0};
    fnn_status status = fnn_check_call(c);
    if (status) return fnn_raise(status);
    if (make_targets(p, args[op->n_in + p->n_values], f)) return NULL;
    status = run(f);
    return status ? fnn_raise(status) : results(p, f);
}

static PyObject *pair_forward(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    const fnn_pair *p = (fnn_pair *)self;
    const fnn_op *op = p->op;
    if (n != op->n_in + p->n_values + 1)
        return PyErr_Format(PyExc_TypeError, "%s: found %zd arguments, expected %d arrays, %d attributes and out", p->forward, n, (int)op->n_in, p->n_values);
    frame f;
    for (int i = 0; i < FNN_MAX_OUT; i++) f.targets[i].b.array = f.targets[i].given = NULL;
    for (int i = 0; i < FNN_MAX_EXTRA; i++) f.extras[i].array = NULL;
    PyObject *result = run_forward(p, args, &f);
    for (int i = 0; i < op->n_in; i++) fnn_give_back(&f.in_arrays[i]);
    for (int i = 0; i < op->n_out; i++) fnn_drop_target(&f.targets[i]);
    for (int i = 0; i < op->n_extra; i++) fnn_give_back(&f.extras[i]);
    return result;
}

/* ---- making a pair ---- */

static unsigned kept_inputs(const fnn_op *op) {
    unsigned bits = 0;
    for (int i = 0; i < op->n_in; i++)
        if (!(op->no_grad_in >> i & 1)) bits |= op->save_in[i];
    return bits;
}

static int bad_pair(const fnn_pair *p, const char *what) {
    PyErr_Format(PyExc_ValueError, "_kernel_pair: %s: %s does not match the op's descriptor", p->forward, what);
    return -1;
}

static int fill_pair(fnn_pair *p, PyObject *accepts, unsigned wanted) {
    const fnn_op *op = p->op;
    p->kept = kept_inputs(op);
    p->wanted = wanted;
    p->n_values = (int)PyTuple_GET_SIZE(p->values);
    if (PyTuple_GET_SIZE(p->inputs) != op->n_in || PyTuple_GET_SIZE(accepts) != op->n_in) return bad_pair(p, "inputs");
    if ((Py_ssize_t)strlen(p->kinds) != p->n_values || p->n_values > FNN_MAX_ATTRS) return bad_pair(p, "values");
    if (!p->n_given || p->n_given > op->n_out || wanted >> op->n_in || (wanted & op->no_grad_in)) return bad_pair(p, "outputs or wanted");
    int n = op->n_extra;
    for (int i = 0; i < FNN_MAX_IN; i++) n += p->kept >> i & 1;
    for (int i = 0; i < op->n_out; i++) n += op->save_out >> i & 1;
    if (PyTuple_GET_SIZE(p->fields) != n) return bad_pair(p, "saved");
    for (int i = 0; i < op->n_in; i++) {
        long bits = PyLong_AsLong(PyTuple_GET_ITEM(accepts, i));
        if (bits == -1 && PyErr_Occurred()) return -1;
        p->accepts[i] = (uint8_t)bits;
    }
    return 0;
}

static PyObject *kernel_pair(PyObject *module, PyObject *args) {
    (void)module;
    const char *op;
    PyObject *names, *inputs, *accepts, *values, *kinds, *fields, *saved;
    unsigned wanted;
    int n_given;
    if (!PyArg_ParseTuple(args, "sO!O!O!O!UO!O!Ii:_kernel_pair", &op, &PyTuple_Type, &names, &PyTuple_Type, &inputs, &PyTuple_Type, &accepts,
                          &PyTuple_Type, &values, &kinds, &PyTuple_Type, &fields, &PyType_Type, &saved, &wanted, &n_given))
        return NULL;
    fnn_pair *p = (fnn_pair *)PairType->tp_alloc(PairType, 0);
    if (!p) return NULL;
    p->names = Py_NewRef(names);
    p->inputs = Py_NewRef(inputs);
    p->values = Py_NewRef(values);
    p->fields = Py_NewRef(fields);
    p->kinds_object = Py_NewRef(kinds);
    p->saved = (PyTypeObject *)Py_NewRef(saved);
    p->n_given = n_given;
    p->kinds = PyUnicode_AsUTF8(kinds);
    p->op = fnn_pair_op(op);
    const char *forward, *backward;
    if (p->op && p->kinds && PyArg_ParseTuple(names, "ss", &forward, &backward)) {
        p->forward = forward;
        p->backward = backward;
        if (!fill_pair(p, accepts, wanted)) return (PyObject *)p;
    }
    Py_DECREF(p);
    return NULL;
}

static void pair_dealloc(PyObject *self) {
    fnn_pair *p = (fnn_pair *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *held[] = {p->names, p->inputs, p->values, p->fields, p->kinds_object, (PyObject *)p->saved};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) Py_XDECREF(held[i]);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef pair_methods[] = {
    {"forward", (PyCFunction)(void (*)(void))pair_forward, METH_FASTCALL, "forward(*arrays, *attributes, out) -> (outputs, saved)"},
    {"backward", (PyCFunction)(void (*)(void))fnn_pair_backward, METH_FASTCALL, "backward(dy, saved, need, out) -> gradients"},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot pair_slots[] = {{Py_tp_dealloc, pair_dealloc}, {Py_tp_methods, pair_methods}, {Py_tp_doc, "One op as two functions on NumPy arrays."}, {0, NULL}};
static PyType_Spec pair_spec = {"fastnn._C.Pair", sizeof(fnn_pair), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, pair_slots};

static PyMethodDef functions[] = {
    {"_kernel_pair", kernel_pair, METH_VARARGS, "_kernel_pair(op, (forward, backward), inputs, accepts, values, kinds, fields, saved, wanted, n_given) -> pair"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_kernels(PyObject *module) {
    PairType = (PyTypeObject *)PyType_FromSpec(&pair_spec);
    return PairType && !PyModule_AddFunctions(module, functions) && !fnn_init_kernel_records(module) ? fnn_init_kernel_steps(module) : -1;
}
