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

PyTypeObject *fnn_RecordType;
static PyTypeObject *PairType;

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

/* ---- the record ---- */

/* The record after its Python head, as bytes. */
#define RECORD_HEAD offsetof(fnn_record, attrs)
static size_t record_bytes(const fnn_record *r) { return offsetof(fnn_record, geom) + (size_t)Py_SIZE(r) * sizeof(fnn_geom) - RECORD_HEAD; }

static fnn_record *new_record(const fnn_op *op) {
    int n = op->n_in + op->n_out + op->n_extra;
    fnn_record *r = PyObject_NewVar(fnn_record, fnn_RecordType, n);
    if (!r) return NULL;
    r->op = op;
    r->contiguous = 0;
    return r;
}

static PyObject *record_of(const fnn_call *c) {
    fnn_record *r = new_record(c->op);
    if (!r) return NULL;
    r->attrs = *c->attrs;
    fnn_geom *g = r->geom;
    for (int i = 0; i < c->n_in; i++, g++)
        if (c->in[i])
            *g = fnn_geom_of(c->in[i]);
        else
            g->ndim = FNN_ABSENT;
    for (int i = 0; i < c->n_out; i++) {
        *g++ = fnn_geom_of(&c->out[i]);
        r->contiguous |= (uint8_t)(c->out[i].contiguous << i);
    }
    for (int i = 0; i < c->op->n_extra; i++, g++)
        if (c->extra[i].data)
            *g = fnn_geom_of(&c->extra[i]);
        else
            g->ndim = FNN_ABSENT;
    return (PyObject *)r;
}

/* Without what lies between the fields and behind the last size: equal calls give equal pickles. */
static void write_record(const fnn_record *r, char *to) {
    memset(to, 0, record_bytes(r));
    memcpy(to, &r->attrs, sizeof r->attrs);
    to[offsetof(fnn_record, contiguous) - RECORD_HEAD] = (char)r->contiguous;
    for (Py_ssize_t i = 0; i < Py_SIZE(r); i++) {
        char *g = to + offsetof(fnn_record, geom) - RECORD_HEAD + (size_t)i * sizeof(fnn_geom);
        if (r->geom[i].ndim != FNN_ABSENT) memcpy(g + offsetof(fnn_geom, shape), r->geom[i].shape, r->geom[i].ndim * sizeof(int64_t));
        g[offsetof(fnn_geom, ndim)] = (char)r->geom[i].ndim;
        if (r->geom[i].ndim != FNN_ABSENT) g[offsetof(fnn_geom, dtype)] = (char)r->geom[i].dtype;
    }
}

static PyObject *record_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    fnn_record *r = (fnn_record *)self;
    PyObject *module = PyImport_ImportModule("fastnn._C"), *make = module ? PyObject_GetAttrString(module, "_kernel_record") : NULL;
    Py_XDECREF(module);
    PyObject *bytes = make ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)record_bytes(r)) : NULL;
    if (!bytes) return Py_XDECREF(make), NULL;
    write_record(r, PyBytes_AS_STRING(bytes));
    return Py_BuildValue("N(sN)", make, r->op->name, bytes);
}

/* Catches bytes that are no record, or one of another build; like every pickle, it is not proof against malice. */
static bool plausible(const fnn_record *r) {
    for (int i = 0; i < Py_SIZE(r); i++) {
        const fnn_geom *g = &r->geom[i];
        double numel = 1;
        bool optional = i < r->op->n_in ? r->op->optional_in >> i & 1 : i >= r->op->n_in + r->op->n_out;
        if (g->ndim == FNN_ABSENT && !optional) return false;
        if (g->ndim == FNN_ABSENT) continue;
        if (g->ndim > FNN_MAX_DIMS || g->dtype >= FNN_NDTYPES) return false;
        for (int d = 0; d < g->ndim; d++) {
            if (g->shape[d] < 0) return false;
            numel *= (double)g->shape[d];
        }
        if (numel > 1e15) return false;
    }
    return true;
}

static PyObject *kernel_record(PyObject *module, PyObject *args) {
    (void)module;
    const char *name, *bytes;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "sy#:_kernel_record", &name, &bytes, &size)) return NULL;
    const fnn_op *op = find(name);
    fnn_record *r = op ? new_record(op) : NULL;
    if (!r) return NULL;
    bool fits = (size_t)size == record_bytes(r);
    if (fits) memcpy((char *)r + RECORD_HEAD, bytes, (size_t)size);
    if (fits && plausible(r)) return (PyObject *)r;
    Py_DECREF(r);
    return PyErr_Format(PyExc_ValueError, "%s: not the record of a call, or one of another version of fastnn", name);
}

static void record_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

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
    PyObject *record = record_of(&f->c);
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
    p->op = find(op);
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

static PyMethodDef record_methods[] = {{"__reduce__", record_reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot record_slots[] = {{Py_tp_dealloc, record_dealloc}, {Py_tp_methods, record_methods}, {Py_tp_doc, "What backward knows of its forward call."}, {0, NULL}};
static PyType_Spec record_spec = {"fastnn._C.Record", offsetof(fnn_record, geom), sizeof(fnn_geom), Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, record_slots};

static PyMethodDef functions[] = {
    {"_kernel_pair", kernel_pair, METH_VARARGS, "_kernel_pair(op, (forward, backward), inputs, accepts, values, kinds, fields, saved, wanted, n_given) -> pair"},
    {"_kernel_record", kernel_record, METH_VARARGS, "_kernel_record(op, bytes) -> what pickle restores"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_kernels(PyObject *module) {
    fnn_RecordType = (PyTypeObject *)PyType_FromSpec(&record_spec);
    PairType = (PyTypeObject *)PyType_FromSpec(&pair_spec);
    return fnn_RecordType && PairType && !PyModule_AddFunctions(module, functions) ? fnn_init_kernel_steps(module) : -1;
}
