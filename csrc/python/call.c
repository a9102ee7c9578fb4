/* The one generic op call: an object that is both fastnn.tanh and Tensor.tanh (and, in place, Tensor.tanh_).
 *
 * Invariant: the object is a method descriptor, so `x.tanh()` reaches the same vectorcall as `tanh(x)` without a bound
 * method being made. Overloads are tried in the order of signatures.def; no switch here names an op. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "signature.h"

#include <structmember.h>

#define MAX_OVERLOADS 4

typedef struct OpObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    const char *name; /* "add_" */
    int n;
    bool inplace;
    fnn_signature *overloads[MAX_OVERLOADS]; /* shared between a function and its in-place form; kept for ever */
} OpObject;

PyTypeObject *fnn_OpType;

/* ---- results ---- */

PyTypeObject *fnn_result_type(PyObject *const *args, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        PyTypeObject *type = Py_TYPE(args[i]);
        if (type == fnn_TensorType || !PyType_IsSubtype(type, fnn_TensorType)) continue;
        if (fnn_ParameterType && PyType_IsSubtype(type, fnn_ParameterType)) continue;
        return type;
    }
    return fnn_TensorType;
}

static PyObject *wrap_outputs(const fnn_signature *s, PyTypeObject *type, fnn_tensor *out, int n) {
    if (n == 1) return fnn_wrap_as(type, &out[0]);
    PyObject *tuple = s->result ? PyStructSequence_New(s->result) : PyTuple_New(n);
    for (int i = 0; i < n; i++) {
        PyObject *item = tuple ? fnn_wrap_as(type, &out[i]) : NULL;
        if (!item) {
            for (; i < n; i++) fnn_tensor_unref(&out[i]);
            Py_XDECREF(tuple);
            return NULL;
        }
        if (s->result)
            PyStructSequence_SetItem(tuple, i, item);
        else
            PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

/* ---- one bound call ---- */

static PyObject *call_bound(OpObject *op, const fnn_signature *s, fnn_frame *f, PyObject *const *args, Py_ssize_t nargs) {
    if (s->handler) {
        PyTypeObject *type = nargs ? fnn_result_type(args, nargs) : fnn_TensorType;
        PyObject *result = s->handler(f, type, nargs ? args[0] : NULL);
        fnn_frame_clear(f);
        return result;
    }
    const fnn_tensor *const *in = f->list ? f->list : f->in;
    const fnn_attrs *attrs = s->n_values + s->n_lists ? &f->attrs : NULL;
    fnn_status status;
    if (op->inplace && s->op) {
        status = fnn_apply_inplace_op(s->op, TENSOR(args[0]), in, f->n_in, attrs);
        fnn_frame_clear(f);
        return status ? fnn_raise(status) : Py_NewRef(args[0]);
    }
    fnn_tensor out[FNN_MAX_OUT];
    status = fnn_apply_op(s->op, out, s->op->n_out, in, f->n_in, attrs);
    PyTypeObject *type = fnn_TensorType;
    if (f->list_owner)
        type = fnn_result_type(&PyTuple_GET_ITEM(f->list_owner, 0), PyTuple_GET_SIZE(f->list_owner));
    else if (nargs)
        type = fnn_result_type(args, nargs);
    fnn_frame_clear(f);
    return status ? fnn_raise(status) : wrap_outputs(s, type, out, s->op->n_out);
}

static PyObject *no_overload(OpObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *got = PyUnicode_FromString("");
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    for (Py_ssize_t i = 0; i < n && got; i++) {
        PyObject *more = i < nargs ? PyUnicode_FromFormat("%U%s%s", got, i ? ", " : "", Py_TYPE(args[i])->tp_name)
                                   : PyUnicode_FromFormat("%U%s%U=%s", got, i ? ", " : "", PyTuple_GET_ITEM(kwnames, i - nargs),
                                                          Py_TYPE(args[i])->tp_name);
        Py_DECREF(got);
        got = more;
    }
    PyObject *expected = PyUnicode_FromString("");
    for (int i = 0; i < op->n && expected; i++) {
        PyObject *more = PyUnicode_FromFormat("%U\n * %s", expected, op->overloads[i]->text);
        Py_DECREF(expected);
        expected = more;
    }
    if (got && expected)
        PyErr_Format(PyExc_TypeError, "%s() received an invalid combination of arguments - got (%U), but expected one of:%U", op->name, got,
                     expected);
    Py_XDECREF(got);
    Py_XDECREF(expected);
    return NULL;
}

static PyObject *dispatch(OpObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    if (op->inplace && (!nargs || !fnn_is_tensor(args[0]))) return no_overload(op, args, nargs, kwnames);
    fnn_frame f;
    for (int i = 0; i < op->n; i++) {
        int bound = fnn_signature_bind(op->overloads[i], &f, args, nargs, kwnames);
        if (bound < 0) return NULL;
        if (bound) return call_bound(op, op->overloads[i], &f, args, nargs);
    }
    return no_overload(op, args, nargs, kwnames);
}

/* Pointwise functions do not cut floats to integers, nor anything to bools; sums and scans do. */
static int check_cast(PyObject *target, PyObject *value) {
    if (!fnn_is_tensor(target) || !fnn_is_tensor(value)) return 0;
    fnn_dtype to = (fnn_dtype)TENSOR(target)->dtype, from = (fnn_dtype)TENSOR(value)->dtype;
    if (!(fnn_dtype_is_float(from) && !fnn_dtype_is_float(to)) && !(to == FNN_BOOL && from != FNN_BOOL)) return 0;
    PyErr_Format(PyExc_RuntimeError, "out: result type %s can't be cast to the desired output type %s", fnn_dtype_name(from), fnn_dtype_name(to));
    return -1;
}

/* Refuses an out= that lies over an operand where torch does. Where torch does not look the result is that of operands apart. */
static int check_apart(const fnn_op *op, PyObject *target, PyObject *operand) {
    if (PyTuple_Check(target) || PyList_Check(operand) || PyTuple_Check(operand)) {
        PyObject *many = PyTuple_Check(target) ? target : operand;
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(many); i++) {
            PyObject *one = PySequence_Fast_GET_ITEM(many, i);
            if (check_apart(op, many == target ? one : target, many == target ? operand : one)) return -1;
        }
        return 0;
    }
    if (!fnn_is_tensor(target) || !fnn_is_tensor(operand)) return 0;
    int apart;
    const fnn_tensor *in[2] = {TENSOR(target), TENSOR(operand)};
    fnn_status status = fnn_check_overlap(op, in[0], in, 2, &apart);
    return status ? (fnn_raise(status), -1) : 0;
}

/* out=: the result is copied into the given tensor, which is resized when it is empty. */
static PyObject *call_with_out(OpObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Py_ssize_t at) {
    Py_ssize_t n = PyTuple_GET_SIZE(kwnames);
    PyObject *target = args[nargs + at], *result = NULL;
    PyObject **rest = PyMem_New(PyObject *, nargs + n), *names = PyTuple_New(n - 1);
    if (!rest) PyErr_NoMemory();
    if (!rest || !names) goto done;
    Py_ssize_t k = 0;
    memcpy(rest, args, sizeof *rest * (size_t)nargs);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (i == at) continue;
        rest[nargs + k] = args[nargs + i];
        PyTuple_SET_ITEM(names, k++, Py_NewRef(PyTuple_GET_ITEM(kwnames, i)));
    }
    PyObject *value = dispatch(op, rest, nargs, names);
    const fnn_op *first = op->overloads[0]->op;
    bool looks = first && first->flags & (FNN_F_ELEMENTWISE | FNN_F_PLACES | FNN_F_SCAN) && !(first->flags & FNN_F_REPEATS);
    if (value && first && first->flags & FNN_F_ELEMENTWISE && check_cast(target, value)) Py_CLEAR(value);
    for (Py_ssize_t i = 0; value && looks && target != Py_None && i < nargs + n - 1; i++)
        if (check_apart(first, target, rest[i])) Py_CLEAR(value);
    if (value && target != Py_None) {
        result = fnn_store_out(target, value);
        Py_DECREF(value);
    } else {
        result = value;
    }
done:
    PyMem_Free(rest);
    Py_XDECREF(names);
    return result;
}

static PyObject *op_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    OpObject *op = (OpObject *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (kwnames)
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++)
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), "out") == 0)
                return call_with_out(op, args, nargs, kwnames, i);
    return dispatch(op, args, nargs, kwnames);
}

/* Whether value may be stored in target; writes nothing. */
static int check_out(PyObject *target, PyObject *value) {
    if (!fnn_is_tensor(target) || !fnn_is_tensor(value)) {
        PyErr_Format(PyExc_TypeError, "out: expected a Tensor, found %s", Py_TYPE(target)->tp_name);
        return -1;
    }
    const fnn_tensor *to = TENSOR(target), *from = TENSOR(value);
    if (fnn_mode.grad && (fnn_wants_grad(to) || fnn_wants_grad(from))) {
        PyErr_SetString(PyExc_RuntimeError, "functions with out=... arguments don't support automatic differentiation, "
                                            "but one of the arguments requires grad.");
        return -1;
    }
    if (!fnn_same_shape(to, from) && to->numel) {
        PyErr_Format(PyExc_RuntimeError, "out: found shape %s, wanted %s", fnn_shape_of(to), fnn_shape_of(from));
        return -1;
    }
    fnn_status status = fnn_check_inplace("out", to, false); /* off the tape, see above */
    if (!status) status = fnn_check_repeats("out", to);
    return status ? (fnn_raise(status), -1) : 0;
}

static int store_one(fnn_tensor *to, const fnn_tensor *from) {
    fnn_status status = FNN_OK;
    if (fnn_same_shape(to, from)) {
        status = fnn_copy_into(to, from);
    } else { /* an empty one grows */
        fnn_tensor fresh = {0};
        status = fnn_empty(&fresh, to->dtype, from->ndim, from->shape);
        if (!status) status = fnn_copy_into(&fresh, from);
        if (status) return fnn_tensor_unref(&fresh), fnn_raise(status), -1;
        fresh.meta = to->meta;
        to->meta = NULL;
        fnn_tensor_unref(to);
        *to = fresh;
    }
    if (status) return fnn_raise(status), -1;
    fnn_tensor_bump(to);
    return 0;
}

PyObject *fnn_store_out(PyObject *target, PyObject *value) {
    bool several = PyTuple_Check(value);
    Py_ssize_t n = several ? PyTuple_GET_SIZE(value) : 1;
    if (several && (!PyTuple_Check(target) || PyTuple_GET_SIZE(target) != n))
        return PyErr_Format(PyExc_TypeError, "out: expected a tuple of %zd tensors", n), NULL;
    for (Py_ssize_t i = 0; i < n; i++)
        if (check_out(several ? PyTuple_GET_ITEM(target, i) : target, several ? PyTuple_GET_ITEM(value, i) : value)) return NULL;
    for (Py_ssize_t i = 0; i < n; i++)
        if (store_one(TENSOR(several ? PyTuple_GET_ITEM(target, i) : target), TENSOR(several ? PyTuple_GET_ITEM(value, i) : value))) return NULL;
    return Py_NewRef(target);
}

/* ---- the type ---- */

static PyObject *op_get(PyObject *self, PyObject *obj, PyObject *type) {
    (void)type;
    return obj && obj != Py_None ? PyMethod_New(self, obj) : Py_NewRef(self);
}

static PyObject *op_repr(PyObject *self) { return PyUnicode_FromFormat("<fastnn op %s>", ((OpObject *)self)->name); }
static PyObject *op_name(PyObject *self, void *closure) {
    (void)closure;
    return PyUnicode_FromString(((OpObject *)self)->name);
}

/* "(input, dim, keepdim=False)": what inspect.signature reads. Of several overloads, the last takes the most. */
static PyObject *op_text_signature(PyObject *self, void *closure) {
    (void)closure;
    const fnn_signature *s = ((OpObject *)self)->overloads[((OpObject *)self)->n - 1];
    PyObject *text = PyUnicode_FromString("(");
    for (int i = 0; i < s->n_params && text; i++) {
        const fnn_param *p = &s->params[i];
        const char *value = "";
        if (p->has_default) value = p->kind == FNN_K_BOOL ? (p->value.i ? "=True" : "=False") : "=None";
        PyObject *more = PyUnicode_FromFormat("%U%s%s%U%s", text, i ? ", " : "", p->varargs ? "*" : "", p->name, p->varargs ? "" : value);
        Py_DECREF(text);
        text = more;
    }
    PyObject *closed = text ? PyUnicode_FromFormat("%U)", text) : NULL;
    Py_XDECREF(text);
    return closed;
}

static PyObject *op_doc(PyObject *self, void *closure) {
    (void)closure;
    OpObject *op = (OpObject *)self;
    PyObject *text = PyUnicode_FromFormat("%s%s", op->name, op->overloads[0]->text);
    for (int i = 1; i < op->n && text; i++) {
        PyObject *more = PyUnicode_FromFormat("%U\n%s%s", text, op->name, op->overloads[i]->text);
        Py_DECREF(text);
        text = more;
    }
    return text;
}

static PyObject *op_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return op_name(self, NULL);
}

static PyGetSetDef op_getset[] = {{"__name__", op_name, NULL, NULL, NULL},
                                  {"__qualname__", op_name, NULL, NULL, NULL},
                                  {"__text_signature__", op_text_signature, NULL, NULL, NULL},
                                  {"__doc__", op_doc, NULL, NULL, NULL},
                                  {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef op_methods[] = {{"__reduce__", op_reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyMemberDef op_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, vectorcall), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};
static PyType_Slot op_slots[] = {{Py_tp_call, PyVectorcall_Call}, {Py_tp_descr_get, op_get}, {Py_tp_repr, op_repr},
                                 {Py_tp_getset, op_getset},       {Py_tp_methods, op_methods}, {Py_tp_members, op_members}, {0, NULL}};
static PyType_Spec op_spec = {"fastnn._C.Op", sizeof(OpObject), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                              op_slots};

/* ---- installing signatures.def ---- */

#define FNN_SIG(name, op, where, text)
#define FNN_FUN(name, function, where, text) PyObject *function(fnn_frame *f, PyTypeObject *type, PyObject *self);
#include "signatures.def"
#undef FNN_SIG
#undef FNN_FUN

static const struct line {
    const char *name, *where, *text;
    const fnn_op *op;
    fnn_handler handler;
} lines[] = {
#define FNN_SIG(name, op, where, text) {name, where, text, &fnn_op_##op, NULL},
#define FNN_FUN(name, function, where, text) {name, where, text, NULL, function},
#include "signatures.def"
#undef FNN_SIG
#undef FNN_FUN
};

static OpObject *op_object(PyObject *dict, const char *name, bool inplace) {
    PyObject *have = PyDict_GetItemString(dict, name);
    if (have && Py_TYPE(have) == fnn_OpType) return (OpObject *)Py_NewRef(have);
    OpObject *op = (OpObject *)fnn_OpType->tp_alloc(fnn_OpType, 0);
    if (!op) return NULL;
    op->vectorcall = op_vectorcall;
    op->name = strdup(name); /* for the life of the process */
    op->inplace = inplace;
    if (PyDict_SetItemString(dict, name, (PyObject *)op)) Py_CLEAR(op);
    return op;
}

static int add_overload(PyObject *dict, const char *name, bool inplace, fnn_signature *s) {
    OpObject *op = op_object(dict, name, inplace);
    if (!op) return -1;
    if (op->n == MAX_OVERLOADS) {
        PyErr_Format(PyExc_SystemError, "%s has too many signature lines", name);
        Py_DECREF(op);
        return -1;
    }
    op->overloads[op->n++] = s;
    Py_DECREF(op);
    return 0;
}

/* where: see signatures.def. */
static int install(PyObject *functions, PyObject *methods, const struct line *l) {
    fnn_signature *s = malloc(sizeof *s); /* for the life of the process */
    char inplace[64];
    snprintf(inplace, sizeof inplace, "%s_", l->name);
    if (!s || fnn_signature_parse(s, l->name, l->op, l->text)) return -1;
    s->handler = l->handler;
    if (strchr(l->where, 'F') && add_overload(functions, l->name, false, s)) return -1;
    if (strchr(l->where, 'M') && add_overload(methods, l->name, false, s)) return -1;
    if (strchr(l->where, 'I') && (add_overload(methods, inplace, true, s) || add_overload(functions, inplace, true, s))) return -1;
    if (strchr(l->where, 'W') && (add_overload(methods, l->name, true, s) || add_overload(functions, l->name, true, s))) return -1;
    return 0;
}

int fnn_init_ops(PyObject *module) {
    fnn_OpType = (PyTypeObject *)PyType_FromSpec(&op_spec);
    PyObject *methods = PyDict_New(), *functions = PyModule_GetDict(module);
    if (!fnn_OpType || !methods) return -1;
    int failed = 0;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && !failed; i++) failed = install(functions, methods, &lines[i]);
    PyObject *name, *op;
    Py_ssize_t at = 0;
    while (!failed && PyDict_Next(methods, &at, &name, &op)) failed = PyObject_SetAttr((PyObject *)fnn_TensorType, name, op);
    Py_DECREF(methods);
    return failed;
}
