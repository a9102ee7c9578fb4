/* Arrays that come in and arrays that are written, for fastnn.kernels; see kernels.h.
 *
 * Invariant: an error names function and argument, what was found and what was expected. It does not: copy an array that a
 * tensor can be laid over. */
#include <string.h>

#include "kernels.h"

static void wrong_type(const char *function, const char *what, const char *wanted, PyObject *o) {
    PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be %s, not %.100s", function, what, wanted, Py_TYPE(o)->tp_name);
}

/* "float32 or float64" */
static void dtype_list(unsigned accepts, char *text, size_t size) {
    text[0] = 0;
    for (int d = 0; d < FNN_NDTYPES; d++) {
        if (!(accepts >> d & 1)) continue;
        if (text[0]) strncat(text, " or ", size - strlen(text) - 1);
        strncat(text, fnn_dtype_name((fnn_dtype)d), size - strlen(text) - 1);
    }
}

static int wrong_dtype(const char *function, const char *what, PyObject *array, unsigned accepts) {
    char expected[80];
    dtype_list(accepts, expected, sizeof expected);
    PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    if (dtype) PyErr_Format(PyExc_RuntimeError, "%s: %s has dtype %S, expected %s", function, what, dtype, expected);
    Py_XDECREF(dtype);
    return -1;
}

static int too_many(const char *function, const char *what, PyObject *array) {
    PyErr_Clear();
    PyObject *ndim = PyObject_GetAttrString(array, "ndim");
    if (ndim) PyErr_Format(PyExc_ValueError, "%s: %s has %S dimensions, expected at most %d", function, what, ndim, FNN_MAX_DIMS);
    Py_XDECREF(ndim);
    return -1;
}

int fnn_read_array(const char *function, const char *what, PyObject *o, unsigned accepts, fnn_borrowed *b) {
    b->array = NULL;
    if (!fnn_is_ndarray(o)) return wrong_type(function, what, "a NumPy array", o), -1;
    if (accepts) {
        int dtype = fnn_ndarray_dtype(o);
        if (dtype < 0 || !(accepts >> dtype & 1)) return wrong_dtype(function, what, o, accepts);
    }
    int64_t shape[FNN_MAX_DIMS];
    if (fnn_ndarray_shape(o, shape) < 0) return too_many(function, what, o);
    return fnn_borrow_array(o, b);
}

/* ---- arrays to write ---- */

int fnn_split_out(const char *function, PyObject *out, int n, PyObject **given) {
    for (int i = 0; i < n; i++) given[i] = NULL;
    if (out == Py_None) return 0;
    if (n == 1) return given[0] = out, 0;
    if (!PyTuple_Check(out) && !PyList_Check(out)) return wrong_type(function, "out", "a tuple of arrays", out), -1;
    if (PySequence_Fast_GET_SIZE(out) != n) {
        PyErr_Format(PyExc_ValueError, "%s: out has %zd entries, expected %d", function, PySequence_Fast_GET_SIZE(out), n);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        PyObject *o = PySequence_Fast_GET_ITEM(out, i);
        given[i] = o == Py_None ? NULL : o;
    }
    return 0;
}

/* "out" or "out[1]" */
static const char *out_name(char *text, int i, int n) {
    if (n == 1) return "out";
    PyOS_snprintf(text, 16, "out[%d]", i);
    return text;
}

int fnn_read_target(const char *function, int i, int n, PyObject *given, const fnn_tensor *like, fnn_target *target) {
    char text[16];
    const char *what = out_name(text, i, n);
    if (fnn_read_array(function, what, given, 1U << like->dtype, &target->b)) return -1;
    if (!fnn_same_shape(&target->b.t, like))
        PyErr_Format(PyExc_RuntimeError, "%s: %s has shape %s, expected %s", function, what, fnn_shape_of(&target->b.t), fnn_shape_of(like));
    else if (!fnn_array_is_writable(given))
        PyErr_Format(PyExc_RuntimeError, "%s: %s is read-only, expected a writable array", function, what);
    else if (target->b.t.numel && fnn_has_overlap(&target->b.t))
        PyErr_Format(PyExc_RuntimeError, "%s: %s has several elements in one place, expected one place for each", function, what);
    else
        return target->given = given, 0;
    fnn_give_back(&target->b);
    return -1;
}

/* As fnn_tensor_extent; quick where it matters. */
static void extent(const fnn_tensor *t, const char **lo, const char **hi) {
    if (!t->contiguous) {
        fnn_tensor_extent(t, lo, hi);
        return;
    }
    *lo = t->data;
    *hi = t->data + t->numel * fnn_itemsize[t->dtype];
}

static bool extents_meet(const fnn_tensor *a, const fnn_tensor *b) {
    const char *lo_a, *hi_a, *lo_b, *hi_b;
    if (!a->numel || !b->numel) return false;
    extent(a, &lo_a, &hi_a);
    extent(b, &lo_b, &hi_b);
    return lo_a < hi_b && lo_b < hi_a;
}

/* A target that is a copy lies apart from all, but its values go to `given`. */
int fnn_check_apart(const char *function, int i, int n, const fnn_target *target, const char *other, const fnn_borrowed *b) {
    if (!b->array) return 0;
    bool copied = target->b.array != target->given;
    if (!copied && !extents_meet(&target->b.t, &b->t)) return 0;
    if (!fnn_arrays_share(target->given, b->array)) return 0;
    char text[16];
    PyErr_Format(PyExc_RuntimeError, "%s: %s shares memory with %s, expected memory of its own", function, out_name(text, i, n), other);
    return -1;
}

PyObject *fnn_finish_target(fnn_target *target) {
    PyObject *array = target->b.array;
    target->b.array = NULL;
    if (!target->given || array == target->given) return array;
    int failed = fnn_copy_array(target->given, array);
    Py_DECREF(array);
    return failed ? NULL : Py_NewRef(target->given);
}
