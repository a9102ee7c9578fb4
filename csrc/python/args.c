/* Python values to C values, and the arguments of functions that are no ops; see args.h and py.h.
 *
 * Invariant: nothing is converted silently that torch refuses: a float where an integer is wanted is a TypeError, a
 * device that is not the CPU names itself. It does not: build tensors (construct.c) or promote types (ops/util.c). */
#include "args.h"

#include <string.h>

/* ---- numbers ---- */

int fnn_as_number(PyObject *o, fnn_number_slot *slot) {
    slot->t = (fnn_tensor){.data = (char *)&slot->value, .numel = 1, .contiguous = 1, .flags = FNN_T_NUMBER};
    if (PyFloat_Check(o)) {
        slot->t.dtype = FNN_F64;
        slot->value.f = PyFloat_AS_DOUBLE(o);
        return 0;
    }
    if (PyBool_Check(o)) {
        slot->t.dtype = FNN_BOOL;
        slot->value.i = 0;
        slot->value.b = o == Py_True;
        return 0;
    }
    if (PyLong_Check(o)) {
        int overflow;
        slot->t.dtype = FNN_I64;
        slot->value.i = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (!overflow) return 0;
        PyErr_SetString(PyExc_OverflowError, "int too big to convert: a number of a tensor call has at most 64 bits");
        return -1;
    }
    const int numpy = fnn_numpy_number(o, slot);
    return numpy < 0 ? -1 : !numpy;
}

int fnn_as_int(PyObject *o, int64_t *value) {
    PyObject *number = NULL;
    if (PyBool_Check(o)) {
        PyErr_SetString(PyExc_TypeError, "expected an integer, found bool");
    } else if (PyLong_Check(o)) {
        Py_INCREF(o);
        number = o;
    } else if (fnn_is_tensor(o)) {
        const fnn_tensor *t = TENSOR(o);
        if (t->numel == 1 && !fnn_dtype_is_float(t->dtype)) number = fnn_item(t);
        if (!number && !PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "expected an integer, found a Tensor of dtype %s and shape %s", fnn_dtype_name(t->dtype), fnn_shape_of(t));
    } else if (PyIndex_Check(o)) {
        number = PyNumber_Index(o);
        if (!number && PyErr_ExceptionMatches(PyExc_Exception)) /* whatever __index__ raised: torch does not ask it */
            PyErr_Format(PyExc_TypeError, "expected an integer, found %.100s, whose __index__ fails", Py_TYPE(o)->tp_name);
    } else {
        PyErr_Format(PyExc_TypeError, "expected an integer, found %.100s", Py_TYPE(o)->tp_name);
    }
    if (!number) return -1;
    *value = PyLong_AsLongLong(number);
    Py_DECREF(number);
    if (*value != -1 || !PyErr_Occurred()) return 0;
    PyErr_SetString(PyExc_ValueError, "Overflow when unpacking long long: an integer argument has at most 64 bits");
    return -1;
}

/* One of several sizes: torch raises TypeError there, and names the place. */
int fnn_nth_int(PyObject *o, Py_ssize_t i, int64_t *value) {
    if (!fnn_as_int(o, value)) return 0;
    if (PyErr_ExceptionMatches(PyExc_ValueError))
        PyErr_Format(PyExc_TypeError, "failed to unpack the object at pos %zd: Overflow when unpacking long long", i + 1);
    return -1;
}

int fnn_as_double(PyObject *o, double *value) {
    if (PyFloat_Check(o)) {
        *value = PyFloat_AS_DOUBLE(o);
        return 0;
    }
    if (PyUnicode_Check(o) || (!PyNumber_Check(o) && !PyIndex_Check(o))) {
        PyErr_Format(PyExc_TypeError, "expected a number, found %.100s", Py_TYPE(o)->tp_name);
        return -1;
    }
    if (fnn_is_tensor(o) && TENSOR(o)->numel != 1) {
        PyErr_Format(PyExc_TypeError, "expected a number, found a Tensor of shape %s", fnn_shape_of(TENSOR(o)));
        return -1;
    }
    *value = PyFloat_AsDouble(o);
    if (*value != -1.0 || !PyErr_Occurred()) return 0;
    if (PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_OverflowError) && !PyErr_ExceptionMatches(PyExc_MemoryError))
        PyErr_Format(PyExc_TypeError, "expected a number, found %.100s, whose __float__ fails", Py_TYPE(o)->tp_name);
    return -1;
}

int fnn_as_ints(PyObject *o, fnn_ints *list) {
    if (!PyTuple_Check(o) && !PyList_Check(o)) {
        if (fnn_as_int(o, &list->v[0])) return -1;
        list->n = 1;
        return 0;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    if (n > FNN_MAX_DIMS) {
        PyErr_Format(PyExc_RuntimeError, "found %zd dimensions, wanted at most %d", n, FNN_MAX_DIMS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (fnn_nth_int(PySequence_Fast_GET_ITEM(o, i), i, &list->v[i])) return -1;
    list->n = n;
    return 0;
}

/* ---- devices ---- */

static int refuse_device(const char *name) {
    if (!strncmp(name, "cuda", 4))
        PyErr_SetString(PyExc_AssertionError, "Torch not compiled with CUDA enabled: found device 'cuda', and fastnn computes on 'cpu' only");
    else
        PyErr_Format(PyExc_RuntimeError, "expected device to be 'cpu', found '%s': fastnn computes on the CPU only", name);
    return -1;
}

int fnn_as_device(PyObject *o) {
    if (!o || o == Py_None || o == fnn_device_cpu) return 0;
    if (PyLong_Check(o)) return PyErr_Format(PyExc_RuntimeError, "expected device 'cpu', found %R: Cannot access accelerator device when none is available.", o), -1;
    PyObject *type = PyUnicode_Check(o) ? Py_NewRef(o) : PyObject_GetAttrString(o, "type");
    const char *name = type && PyUnicode_Check(type) ? PyUnicode_AsUTF8(type) : NULL;
    int result = -1;
    if (!name)
        PyErr_Format(PyExc_TypeError, "expected device to be a torch.device, a string or None, found %.100s", Py_TYPE(o)->tp_name);
    else if (!strcmp(name, "cpu") || !strcmp(name, "cpu:0"))
        result = 0;
    else
        refuse_device(name);
    Py_XDECREF(type);
    return result;
}

int fnn_as_generator(PyObject *o, fnn_generator **gen) {
    if (!o || o == Py_None) o = fnn_default_generator_object;
    if (!PyObject_TypeCheck(o, fnn_GeneratorType)) {
        PyErr_Format(PyExc_TypeError, "generator must be a torch.Generator, found %.100s", Py_TYPE(o)->tp_name);
        return -1;
    }
    *gen = ((GeneratorObject *)o)->gen;
    return 0;
}

/* ---- sorting arguments by name ---- */

/* The place of a keyword in out[], or -1. */
static int place_of(const char *const *names, PyObject *keyword) {
    int place = 0;
    for (; *names; names++) {
        if (**names == '*') continue;
        if (PyUnicode_CompareWithASCIIString(keyword, *names) == 0) return place;
        place++;
    }
    return -1;
}

static int sort_keywords(const char *function, const char *const *names, PyObject *const *values, PyObject *kwnames, PyObject **out) {
    Py_ssize_t n = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t k = 0; k < n; k++) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, k);
        int place = place_of(names, keyword);
        if (place < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, keyword);
            return -1;
        }
        if (out[place]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, keyword);
            return -1;
        }
        out[place] = values[k];
    }
    return 0;
}

int fnn_sort_args(const char *function, const char *const *names, PyObject *const *args, Py_ssize_t n, PyObject *kwnames, PyObject **out) {
    Py_ssize_t places = 0, positional = -1;
    for (const char *const *name = names; *name; name++) {
        if (**name == '*')
            positional = places;
        else
            out[places++] = NULL;
    }
    if (positional < 0) positional = places;
    if (n > positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments, found %zd", function, positional, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) out[i] = args[i];
    return sort_keywords(function, names, args + n, kwnames, out);
}

int fnn_sort_size_args(const char *function, const char *const *names, PyObject *const *args, Py_ssize_t n, PyObject *kwnames,
                       PyObject **out, PyObject **owned) {
    *owned = NULL;
    bool one = n == 1 && (PyTuple_Check(args[0]) || PyList_Check(args[0]));
    if (one || n == 0) {
        if (fnn_sort_args(function, names, args, n, kwnames, out)) return -1;
    } else if (PyTuple_Check(args[0]) || PyList_Check(args[0])) {
        if (fnn_sort_args(function, names, args, n, kwnames, out)) return -1;
    } else {
        if (fnn_sort_args(function, names, args, 0, NULL, out)) return -1;
        *owned = PyTuple_New(n);
        if (!*owned) return -1;
        for (Py_ssize_t i = 0; i < n; i++) PyTuple_SET_ITEM(*owned, i, Py_NewRef(args[i]));
        out[0] = *owned;
        if (sort_keywords(function, names, args + n, kwnames, out)) {
            Py_CLEAR(*owned);
            return -1;
        }
    }
    return out[0] ? 0 : fnn_missing_arg(function, "size");
}

int fnn_missing_arg(const char *function, const char *name) {
    PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function, name);
    return -1;
}

/* ---- optional arguments ---- */

int fnn_opt_bool(const char *function, const char *name, PyObject *o, bool *value) {
    if (!o || o == Py_None) return 0;
    if (!PyBool_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be bool, not %.100s", function, name, Py_TYPE(o)->tp_name);
        return -1;
    }
    *value = o == Py_True;
    return 0;
}

int fnn_opt_double(const char *function, const char *name, PyObject *o, double *value) {
    if (!o || !fnn_as_double(o, value)) return 0;
    if (PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be float, not %.100s", function, name, Py_TYPE(o)->tp_name);
    return -1;
}

const fnn_tensor *fnn_arg_tensor(const char *function, const char *name, PyObject *o) {
    if (o && fnn_is_tensor(o)) return TENSOR(o);
    if (!o)
        fnn_missing_arg(function, name);
    else
        PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be Tensor, not %.100s", function, name, Py_TYPE(o)->tp_name);
    return NULL;
}

int fnn_as_memory_format(const char *function, PyObject *o, bool *rows) {
    if (strcmp(Py_TYPE(o)->tp_name, "memory_format"))
        return PyErr_Format(PyExc_TypeError, "%s(): argument 'memory_format' must be torch.memory_format, not %.100s", function, Py_TYPE(o)->tp_name), -1;
    PyObject *text = PyObject_Str(o);
    if (!text) return -1;
    *rows = PyUnicode_CompareWithASCIIString(text, "torch.contiguous_format") == 0;
    Py_DECREF(text);
    return 0;
}

int fnn_read_options(const char *function, PyObject *dtype, PyObject *device, PyObject *layout, PyObject *pin_memory,
                     PyObject *requires_grad, PyObject *out, fnn_options *options) {
    bool pinned = false;
    options->dtype = -1;
    options->requires_grad = false;
    options->out = out == Py_None ? NULL : out;
    if (dtype && fnn_as_dtype(dtype, &options->dtype)) return -1;
    if (fnn_as_device(device) || fnn_opt_bool(function, "pin_memory", pin_memory, &pinned)) return -1;
    if (fnn_opt_bool(function, "requires_grad", requires_grad, &options->requires_grad)) return -1;
    if (layout && layout != Py_None) {
        PyObject *text = PyObject_Str(layout);
        bool strided = text && PyUnicode_CompareWithASCIIString(text, "torch.strided") == 0;
        Py_XDECREF(text);
        if (!strided) {
            if (!PyErr_Occurred()) PyErr_Format(PyExc_NotImplementedError, "%s: found layout %R, wanted torch.strided: fastnn has dense tensors only", function, layout);
            return -1;
        }
    }
    if (options->out && !fnn_arg_tensor(function, "out", options->out)) return -1;
    return 0;
}
