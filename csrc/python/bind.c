/* Binding of a call's arguments to a signature line; see signature.h. */
#include <string.h>

#include "args.h"
#include "signature.h"

/* torch takes NumPy's names for these too. */
static bool same_name(PyObject *given, PyObject *wanted) {
    if (given == wanted) return true;
    static const char *const alias[][2] = {{"axis", "dim"}, {"keepdims", "keepdim"}, {"self", "input"}, {"x", "input"}, {"x2", "other"}};
    const char *a = PyUnicode_AsUTF8(given), *b = PyUnicode_AsUTF8(wanted);
    if (!a || !b) return false;
    if (!strcmp(a, b)) return true;
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (!strcmp(a, alias[i][0]) && !strcmp(b, alias[i][1])) return true;
    return false;
}

static int bind_tensors(fnn_frame *f, PyObject *o) {
    if (!PyList_Check(o) && !PyTuple_Check(o)) return 0;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    PyObject **items = PySequence_Fast_ITEMS(o);
    for (Py_ssize_t i = 0; i < n; i++)
        if (!fnn_is_tensor(items[i])) {
            PyErr_Format(PyExc_TypeError, "%s(): expected Tensor as element %zd in argument 0, but got %s", f->signature->name, i, Py_TYPE(items[i])->tp_name);
            return -1;
        }
    f->list_owner = PySequence_Tuple(o); /* the list may change while the GIL is released */
    f->list = PyMem_New(const fnn_tensor *, n ? n : 1);
    if (!f->list) PyErr_NoMemory();
    if (!f->list_owner || !f->list) return -1;
    for (Py_ssize_t i = 0; i < n; i++) f->list[i] = TENSOR(items[i]);
    f->n_in = (int)n;
    return 1;
}

static int bind_enum(const fnn_param *p, fnn_frame *f, PyObject *o) {
    const char *text = PyUnicode_Check(o) ? PyUnicode_AsUTF8(o) : NULL;
    if (!text) return 0;
    int64_t at = 0;
    for (const char *c = p->choices; c; at++) {
        const char *bar = strchr(c, '|');
        size_t len = bar ? (size_t)(bar - c) : strlen(c);
        if (len == strlen(text) && !strncmp(c, text, len)) {
            f->attrs.v[p->slot].i = at;
            return 1;
        }
        c = bar ? bar + 1 : NULL;
    }
    if (PyUnicode_CompareWithASCIIString(p->name, "reduction") == 0) /* torch's classes: ValueError here, RuntimeError elsewhere */
        PyErr_Format(PyExc_ValueError, "%s: %s is not a valid value for reduction, expected one of %s", f->signature->name, text, p->choices);
    else
        PyErr_Format(PyExc_RuntimeError, "%s: %U must be one of %s, found '%s'", f->signature->name, p->name, p->choices, text);
    return -1;
}

/* Whether o can stand for one integer, without calling arbitrary code. */
static bool is_integer(PyObject *o) {
    if (PyLong_Check(o)) return !PyBool_Check(o);
    if (fnn_is_tensor(o)) return TENSOR(o)->numel == 1 && !fnn_dtype_is_float(TENSOR(o)->dtype);
    return PyIndex_Check(o);
}

static int bind_value(const fnn_param *p, fnn_frame *f, PyObject *o) {
    fnn_value *v = &f->attrs.v[p->slot];
    switch (p->kind) {
    case FNN_K_INT:
        if (!is_integer(o)) return 0;
        return fnn_as_int(o, &v->i) ? -1 : 1;
    case FNN_K_FLOAT:
        if (PyFloat_Check(o)) {
            v->f = PyFloat_AS_DOUBLE(o);
            return 1;
        }
        if (!PyNumber_Check(o) || (fnn_is_tensor(o) && TENSOR(o)->numel != 1)) return 0;
        return fnn_as_double(o, &v->f) ? -1 : 1;
    case FNN_K_BOOL: { /* 0 and 1 are no flags, as in torch: sum(0, 9) is a mistake */
        int dtype = FNN_BOOL;
        if (!PyBool_Check(o) && !(fnn_is_numpy_scalar(o, &dtype) && dtype == FNN_BOOL)) return 0;
        v->i = PyObject_IsTrue(o);
        return 1;
    }
    case FNN_K_DTYPE: {
        int code;
        if (fnn_as_dtype(o, &code)) return -1;
        v->i = code;
        return 1;
    }
    case FNN_K_GENERATOR: {
        fnn_generator *gen;
        if (fnn_as_generator(o, &gen)) return -1;
        v->p = gen;
        return 1;
    }
    case FNN_K_FORMAT: {
        bool rows;
        if (fnn_as_memory_format(f->signature->name, o, &rows)) return -1;
        v->i = rows;
        return 1;
    }
    default: return bind_enum(p, f, o);
    }
}

static int bind_ints(const fnn_param *p, fnn_frame *f, PyObject *o) {
    fnn_ints *list = &f->attrs.list[p->slot];
    if (PyList_Check(o) || PyTuple_Check(o)) {
        Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
        for (Py_ssize_t i = 0; i < n; i++)
            if (!is_integer(PySequence_Fast_GET_ITEM(o, i))) return 0;
    } else if (p->strict || !is_integer(o)) {
        return 0;
    }
    return fnn_as_ints(o, list) ? -1 : 1;
}

static int bind_one(const fnn_param *p, fnn_frame *f, PyObject *o) {
    if (o == Py_None && p->optional) {
        switch (p->kind) {
        case FNN_K_TENSOR:
        case FNN_K_OPERAND: f->in[p->slot] = NULL; return 1;
        case FNN_K_INTS: f->attrs.list[p->slot].n = -1; return 1;
        case FNN_K_FLOAT: f->attrs.v[p->slot].f = Py_NAN; return 1;
        case FNN_K_DTYPE: f->attrs.v[p->slot].i = -1; return 1;
        case FNN_K_ENUM:
        case FNN_K_FORMAT: f->attrs.v[p->slot].i = 0; return 1;
        case FNN_K_GENERATOR: break;
        default: f->attrs.v[p->slot].i = FNN_NONE; return 1;
        }
    }
    switch (p->kind) {
    case FNN_K_TENSOR:
        if (!fnn_is_tensor(o)) return 0;
        f->in[p->slot] = TENSOR(o);
        return 1;
    case FNN_K_OPERAND:
        if (fnn_is_tensor(o)) {
            f->in[p->slot] = TENSOR(o);
            return 1;
        }
        int number = fnn_as_number(o, &f->numbers[p->slot]);
        if (number) return number < 0 ? -1 : 0;
        f->in[p->slot] = &f->numbers[p->slot].t;
        return 1;
    case FNN_K_TENSORS: return bind_tensors(f, o);
    case FNN_K_INTS: return bind_ints(p, f, o);
    default: return bind_value(p, f, o);
    }
}

static void use_default(const fnn_param *p, fnn_frame *f) {
    switch (p->kind) {
    case FNN_K_TENSOR:
    case FNN_K_OPERAND: f->in[p->slot] = NULL; break;
    case FNN_K_INTS: f->attrs.list[p->slot] = p->ints; break;
    case FNN_K_GENERATOR: {
        fnn_generator *gen = NULL;
        fnn_as_generator(Py_None, &gen);
        f->attrs.v[p->slot].p = gen;
        break;
    }
    default: f->attrs.v[p->slot] = p->value;
    }
}

/* x.view(2, 3): all positional arguments from `from` on are one list. */
static int bind_varargs(const fnn_param *p, fnn_frame *f, PyObject *const *args, Py_ssize_t n) {
    fnn_ints *list = &f->attrs.list[p->slot];
    if (n > FNN_MAX_DIMS) {
        PyErr_Format(PyExc_RuntimeError, "%U: found %zd sizes, wanted at most %d", p->name, n, FNN_MAX_DIMS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (!is_integer(args[i])) return 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (fnn_nth_int(args[i], i, &list->v[i])) return -1;
    list->n = n;
    return 1;
}

/* Whether an argument after parameter i is missing: that is said before a number that is too large. */
static bool lacks_more(const fnn_signature *s, int i, Py_ssize_t nargs, PyObject *kwnames) {
    for (i++; i < s->n_params; i++) {
        const fnn_param *p = &s->params[i];
        bool given = p->has_default || (i < nargs && i < s->n_positional);
        for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames) && !given; k++) given = same_name(PyTuple_GET_ITEM(kwnames, k), p->name);
        if (!given) return true;
    }
    return false;
}

/* The exception says of which call and argument it is, if it does not yet. */
static void name_argument(const fnn_signature *s, const fnn_param *p) {
    PyObject *type, *value, *trace;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_OverflowError)) return;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *said = text ? PyUnicode_AsUTF8(text) : NULL;
    PyErr_Clear();
    if (said && strncmp(said, s->name, strlen(s->name))) {
        PyErr_Format(type, "%s(): argument '%U': %s", s->name, p->name, said);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(trace);
    } else {
        PyErr_Restore(type, value, trace);
    }
    Py_XDECREF(text);
}

static bool too_large(void) { return PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_OverflowError); }

int fnn_signature_bind(const fnn_signature *s, fnn_frame *f, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    f->signature = s;
    f->n_in = s->n_in;
    f->list = NULL;
    f->list_owner = NULL;
    Py_ssize_t n_keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0, used = 0;
    PyObject *const *keywords = args + nargs; /* the values stand behind the positional ones */
    for (int i = 0; i < s->n_params; i++) {
        const fnn_param *p = &s->params[i];
        int ok;
        if (i < nargs && i < s->n_positional) {
            bool spread = p->varargs && !(PyTuple_Check(args[i]) || PyList_Check(args[i]));
            ok = spread ? bind_varargs(p, f, args + i, nargs - i) : bind_one(p, f, args[i]);
            if (spread) nargs = i + 1;
        } else {
            PyObject *given = NULL;
            for (Py_ssize_t k = 0; k < n_keywords && !given; k++) /* names in a script are interned */
                if (PyTuple_GET_ITEM(kwnames, k) == p->name) given = keywords[k];
            for (Py_ssize_t k = 0; k < n_keywords && used < n_keywords && !given; k++)
                if (same_name(PyTuple_GET_ITEM(kwnames, k), p->name)) given = keywords[k];
            if (given) {
                used++;
                ok = bind_one(p, f, given);
            } else if (p->has_default) {
                use_default(p, f);
                ok = 1;
            } else {
                ok = 0;
            }
        }
        if (ok <= 0) {
            fnn_frame_clear(f);
            if (!ok) return 0;
            if (too_large() && lacks_more(s, i, nargs, kwnames)) return PyErr_Clear(), 0;
            name_argument(s, p);
            return -1;
        }
    }
    if (nargs > s->n_positional || used < n_keywords) {
        fnn_frame_clear(f);
        return 0;
    }
    return 1;
}

void fnn_frame_clear(fnn_frame *f) {
    if (f->list) PyMem_Free(f->list);
    f->list = NULL;
    Py_CLEAR(f->list_owner);
}
