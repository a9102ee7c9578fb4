/* The record of a call of fastnn.kernels: what its backward has to know of it, as a Python object and as a pickle's bytes.
 *
 * Invariant: equal calls give equal pickles; bytes of a pickle that are damaged, or of another build, give no record.
 * Read next: kernels.h, kernels.c. */
#include <string.h>

#include "kernels.h"

PyTypeObject *fnn_RecordType;

/* Ops without a pair: views, lists, in-place writers, ops without a gradient. */
#define NO_PAIR (FNN_F_VIEW | FNN_F_LIST | FNN_F_NO_GRAD | FNN_F_OUT_LIST | FNN_F_WRITES)

const fnn_op *fnn_pair_op(const char *name) {
    for (int i = 0; i < FNN_NOPS; i++) {
        const fnn_op *op = fnn_op_get((fnn_op_id)i);
        if (strcmp(op->name, name) == 0 && op->backward && !(op->flags & NO_PAIR)) return op;
    }
    PyErr_Format(PyExc_ValueError, "%s: no op of this name has a forward and backward pair", name);
    return NULL;
}

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

PyObject *fnn_record_of(const fnn_call *c) {
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
    const fnn_op *op = fnn_pair_op(name);
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

/* ---- its type ---- */

static PyMethodDef record_methods[] = {{"__reduce__", record_reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot record_slots[] = {{Py_tp_dealloc, record_dealloc}, {Py_tp_methods, record_methods}, {Py_tp_doc, "What backward knows of its forward call."}, {0, NULL}};
static PyType_Spec record_spec = {"fastnn._C.Record", offsetof(fnn_record, geom), sizeof(fnn_geom), Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, record_slots};

static PyMethodDef functions[] = {
    {"_kernel_record", kernel_record, METH_VARARGS, "_kernel_record(op, bytes) -> what pickle restores"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_kernel_records(PyObject *module) {
    fnn_RecordType = (PyTypeObject *)PyType_FromSpec(&record_spec);
    return fnn_RecordType ? PyModule_AddFunctions(module, functions) : -1;
}
