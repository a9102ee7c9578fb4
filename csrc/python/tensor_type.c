/* The Tensor type: life, attributes, small methods. See py.h.
 *
 * Invariants: objects are allocated untracked by the garbage collector and tracked once they can be part of a cycle (a dict,
 * a hook, a gradient that Python has seen); a freelist keeps the blocks of exact Tensors. The embedded view is released in
 * dealloc; graph nodes may outlive it. */
#include <stddef.h>
#include <string.h>

#include "number.h"

#include <structmember.h>

PyTypeObject *fnn_TensorType, *fnn_ParameterType;
PyObject *fnn_device_cpu;

#define FREELIST 256
static TensorObject *freelist[FREELIST];
static int n_free;

/* ---- life ---- */

PyObject *fnn_wrap_as(PyTypeObject *type, fnn_tensor *t) {
    TensorObject *o;
    if (type == fnn_TensorType && n_free) {
        o = freelist[--n_free];
        _Py_NewReference((PyObject *)o);
        Py_INCREF(type);
    } else {
        o = PyObject_GC_New(TensorObject, type);
        if (!o) {
            fnn_tensor_unref(t);
            return NULL;
        }
    }
    o->t = *t;
    o->dict = NULL;
    o->weakrefs = NULL;
    if (t->meta && t->meta->requires_grad) t->meta->handle = o;
    fnn_tensor_clear(t);
    if (type != fnn_TensorType) PyObject_GC_Track(o); /* a subclass may hold anything */
    return (PyObject *)o;
}

PyObject *fnn_wrap(fnn_tensor *t) { return fnn_wrap_as(fnn_TensorType, t); }

void fnn_track(PyObject *o) {
    if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
}

/* The autograd record, if only this tensor (and the record's accumulator) holds it. */
static fnn_meta *own_meta(const fnn_tensor *t) {
    fnn_meta *m = t->meta;
    return m && m->refs == 1 + (m->accumulator != NULL) ? m : NULL;
}

/* The node that made the tensor, if only its record holds it. */
static fnn_node *own_node(const fnn_meta *m) {
    fnn_node *n = m->grad_fn;
    return n && n->refs == 1 ? n : NULL;
}

static int tensor_traverse(PyObject *self, visitproc visit, void *arg) {
    TensorObject *o = (TensorObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(o->dict);
    const fnn_meta *m = own_meta(&o->t);
    if (!m) return 0;
    Py_VISIT((PyObject *)m->grad_handle);
    Py_VISIT((PyObject *)m->hooks);
    Py_VISIT((PyObject *)m->post_hooks);
    const fnn_node *n = own_node(m);
    if (!n) return 0;
    Py_VISIT((PyObject *)n->object); /* a Function's ctx */
    for (int i = 0; n->out_hooks && i < n->n_out; i++) Py_VISIT((PyObject *)n->out_hooks[i]);
    return 0;
}

static int tensor_clear(PyObject *self) {
    TensorObject *o = (TensorObject *)self;
    Py_CLEAR(o->dict);
    fnn_meta *m = own_meta(&o->t);
    if (!m) return 0;
    if (m->grad_handle) fnn_meta_set_grad(m, NULL, NULL);
    Py_CLEAR(*(PyObject **)&m->hooks);
    Py_CLEAR(*(PyObject **)&m->post_hooks);
    fnn_node *n = own_node(m);
    if (!n || !n->out_hooks) return 0; /* (a ctx clears itself) */
    fnn_node_ref(n); /* what a table held may hold this record */
    for (int i = 0; i < n->n_out; i++) Py_CLEAR(*(PyObject **)&n->out_hooks[i]);
    fnn_node_unref(n);
    return 0;
}

static void tensor_dealloc(PyObject *self) {
    TensorObject *o = (TensorObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_GC_IsTracked(self)) PyObject_GC_UnTrack(self);
    if (type->tp_finalize && PyObject_CallFinalizerFromDealloc(self)) return;
    if (o->weakrefs) PyObject_ClearWeakRefs(self);
    if (o->t.meta && o->t.meta->handle == self) o->t.meta->handle = NULL;
    fnn_tensor_unref(&o->t);
    Py_CLEAR(o->dict);
    if (type == fnn_TensorType && n_free < FREELIST)
        freelist[n_free++] = o;
    else
        type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *tensor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) { return fnn_tensor_construct(type, args, kwargs); }

static Py_ssize_t tensor_length(PyObject *self) {
    const fnn_tensor *t = TENSOR(self);
    if (t->ndim) return (Py_ssize_t)t->shape[0];
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
}

static Py_hash_t tensor_hash(PyObject *self) {
    return (Py_hash_t)self; /* id(self), as torch: == compares elementwise */
}

static int tensor_truth(PyObject *self) {
    const fnn_tensor *t = TENSOR(self);
    if (t->numel != 1) {
        PyErr_SetString(PyExc_RuntimeError, t->numel ? "Boolean value of Tensor with more than one value is ambiguous"
                                                     : "Boolean value of Tensor with no values is ambiguous");
        return -1;
    }
    PyObject *item = fnn_item(t);
    int truth = item ? PyObject_IsTrue(item) : -1;
    Py_XDECREF(item);
    return truth;
}
int fnn_tensor_truth(PyObject *self) { return tensor_truth(self); }

/* repr and format are written in Python (fastnn._tensor_str) and imported on first use. */
static PyObject *from_tensor_str(const char *function, PyObject *self, PyObject *argument) {
    static PyObject *module; /* kept: at the interpreter's end, when a destructor may still print, nothing can be imported */
    if (!module) module = PyImport_ImportModule("fastnn._tensor_str");
    if (!module && PyErr_ExceptionMatches(PyExc_ImportError)) {
        PyErr_Clear(); /* the end, and nothing was printed before it */
        return PyUnicode_FromFormat("tensor(..., size=%s)", fnn_shape_of(TENSOR(self)));
    }
    PyObject *text = module ? PyObject_CallMethod(module, function, argument ? "OO" : "O", self, argument) : NULL;
    return text;
}
static PyObject *tensor_repr(PyObject *self) { return from_tensor_str("tensor_repr", self, NULL); }
static PyObject *tensor_format(PyObject *self, PyObject *spec) { return from_tensor_str("tensor_format", self, spec); }

/* The rows come from one unbind, as in torch: on the tape they are its outputs, which may not be written to. */
static PyObject *tensor_iter(PyObject *self) {
    if (!TENSOR(self)->ndim) return PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor"), NULL;
    PyObject *rows = PyObject_CallMethod(self, "unbind", NULL);
    PyObject *it = rows ? PyObject_GetIter(rows) : NULL;
    Py_XDECREF(rows);
    return it;
}

/* element in tensor: whether any element equals it. */
static int tensor_contains(PyObject *self, PyObject *element) {
    fnn_number_slot slot;
    if (!fnn_is_tensor(element) && fnn_as_number(element, &slot)) {
        PyErr_Clear();
        PyErr_Format(PyExc_RuntimeError, "Tensor.__contains__ only supports Tensor or scalar, but you passed in a %s.", Py_TYPE(element)->tp_name);
        return -1;
    }
    const fnn_tensor *in[2] = {TENSOR(self), fnn_is_tensor(element) ? TENSOR(element) : &slot.t};
    fnn_tensor hit, any;
    fnn_attrs all = {.list[0].n = -1};
    fnn_status status = fnn_run(&fnn_op_EQ, &hit, in, 2, NULL);
    if (!status) {
        status = fnn_run1(&fnn_op_ANY, &any, &hit, &all);
        fnn_tensor_unref(&hit);
    }
    if (status) return fnn_raise(status), -1;
    int found = *any.data != 0;
    fnn_tensor_unref(&any);
    return found;
}

/* ---- the type ---- */

static PyMemberDef members[] = {{"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, NULL},
                                {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, NULL},
                                {NULL, 0, 0, 0, NULL}};
static PyMethodDef own_methods[] = {{"__format__", tensor_format, METH_O, NULL}, {NULL, NULL, 0, NULL}};

/* Setting an attribute makes the object part of the collector's world. */
static int tensor_setattro(PyObject *self, PyObject *name, PyObject *value) {
    int failed = PyObject_GenericSetAttr(self, name, value);
    if (!failed && ((TensorObject *)self)->dict) fnn_track(self);
    return failed;
}

static PyType_Slot slots[] = {
    {Py_tp_new, tensor_new},           {Py_tp_dealloc, tensor_dealloc},   {Py_tp_traverse, tensor_traverse}, {Py_tp_clear, tensor_clear},
    {Py_tp_hash, tensor_hash},         {Py_tp_repr, tensor_repr},         {Py_tp_iter, tensor_iter},         {Py_tp_members, members},
    {Py_tp_methods, own_methods},      {Py_tp_getset, fnn_tensor_getset}, {Py_tp_richcompare, fnn_richcompare}, {Py_tp_setattro, tensor_setattro},
    {Py_mp_length, tensor_length},     {Py_mp_subscript, fnn_getitem},    {Py_mp_ass_subscript, fnn_setitem}, {Py_sq_length, tensor_length}, {Py_sq_contains, tensor_contains},
    {Py_bf_getbuffer, fnn_getbuffer},
    {Py_tp_doc, (void *)"A strided array of one dtype that autograd can follow."},
#define NB(slot) {Py_nb_##slot, fnn_nb_##slot},
#include "number_slots.def"
#undef NB
    {0, NULL}};
static PyType_Spec spec = {"fastnn.Tensor", sizeof(TensorObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

static int add_methods(PyTypeObject *type, PyMethodDef *defs) {
    for (PyMethodDef *d = defs; d->ml_name; d++) {
        PyObject *method = d->ml_flags & METH_STATIC ? PyCFunction_New(d, NULL) : PyDescr_NewMethod(type, d);
        int failed = !method || PyObject_SetAttrString((PyObject *)type, d->ml_name, method);
        Py_XDECREF(method);
        if (failed) return -1;
    }
    return 0;
}

int fnn_init_tensor(PyObject *module) {
    fnn_TensorType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!fnn_TensorType) return -1;
    PyMethodDef *tables[] = {fnn_tensor_methods, fnn_convert_methods, fnn_factory_methods, fnn_random_methods, fnn_autograd_methods};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (add_methods(fnn_TensorType, tables[i])) return -1;
    return PyModule_AddObjectRef(module, "Tensor", (PyObject *)fnn_TensorType);
}
