/* Optimizer steps on NumPy arrays: _kernel_adam and _kernel_sgd, over the multi-tensor steps of ops/optim.c.
 *
 * Invariant: all arrays are checked before one is written: dtypes, shapes, writable, and no array that is written shares
 * memory with another one of the call. State belongs to the caller; nothing is kept between calls. It does not: check the
 * numbers (fastnn/kernels/steps.py does). Read next: kernels_array.c. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { PARAMS, GRADS, FIRST, SECOND, SLOTS };

typedef struct extent {
    const char *lo, *hi, *reach; /* reach: the highest hi up to here in the sorted order */
    int slot;
    Py_ssize_t i;
} extent;

/* Lists of n arrays; a single array stands for a list of one. */
typedef struct lists {
    const char *op, *const *names;
    Py_ssize_t n;
    PyObject *given[SLOTS];         /* NULL: this step has no such list */
    fnn_borrowed *arrays;           /* SLOTS x n */
    const fnn_tensor **tensors;     /* SLOTS x n: what the step takes */
    extent *extents;
} lists;

static bool written(int slot) { return slot != GRADS; }
static fnn_borrowed *array_at(const lists *l, int slot, Py_ssize_t i) { return &l->arrays[slot * l->n + i]; }
static PyObject *given_at(const lists *l, int slot, Py_ssize_t i) {
    PyObject *o = l->given[slot];
    return fnn_is_ndarray(o) ? o : PySequence_Fast_GET_ITEM(o, i);
}

/* "grads" or "grads[3]", as a new str */
static PyObject *name_of(const lists *l, int slot, Py_ssize_t i) {
    return fnn_is_ndarray(l->given[slot]) ? PyUnicode_FromString(l->names[slot]) : PyUnicode_FromFormat("%s[%zd]", l->names[slot], i);
}

static int check_lengths(lists *l) {
    for (int s = 0; s < SLOTS; s++) {
        PyObject *o = l->given[s];
        if (!o) continue;
        bool single = fnn_is_ndarray(o);
        if (!single && !PyList_Check(o) && !PyTuple_Check(o)) {
            PyErr_Format(PyExc_TypeError, "%s(): argument '%s' must be a NumPy array or a list of them, not %.100s", l->op, l->names[s], Py_TYPE(o)->tp_name);
            return -1;
        }
        Py_ssize_t n = single ? 1 : PySequence_Fast_GET_SIZE(o);
        if (s == PARAMS) l->n = n;
        if (n != l->n) {
            PyErr_Format(PyExc_ValueError, "%s: %s has %zd arrays, expected %zd as params", l->op, l->names[s], n, l->n);
            return -1;
        }
    }
    return 0;
}

#define FLOATS (1U << FNN_F32 | 1U << FNN_F64)

static int check_array(const lists *l, int slot, Py_ssize_t i, const char *name) {
    const fnn_tensor *t = &array_at(l, slot, i)->t, *p = &array_at(l, PARAMS, i)->t;
    if (t->dtype != p->dtype)
        PyErr_Format(PyExc_RuntimeError, "%s: %s has dtype %s, expected %s as in params", l->op, name, fnn_dtype_name(t->dtype), fnn_dtype_name(p->dtype));
    else if (!fnn_same_shape(t, p))
        PyErr_Format(PyExc_RuntimeError, "%s: %s has shape %s, expected %s as in params", l->op, name, fnn_shape_of(t), fnn_shape_of(p));
    else if (written(slot) && !fnn_array_is_writable(given_at(l, slot, i)))
        PyErr_Format(PyExc_RuntimeError, "%s: %s is read-only, expected a writable array", l->op, name);
    else if (written(slot) && t->numel && fnn_has_overlap(t))
        PyErr_Format(PyExc_RuntimeError, "%s: %s has several elements in one place, expected one place for each", l->op, name);
    else
        return 0;
    return -1;
}

static int read_arrays(lists *l) {
    for (int s = 0; s < SLOTS; s++)
        for (Py_ssize_t i = 0; l->given[s] && i < l->n; i++) {
            fnn_borrowed *b = array_at(l, s, i);
            PyObject *o = given_at(l, s, i), *name = NULL;
            bool fits = fnn_is_ndarray(o) && (FLOATS >> fnn_ndarray_dtype(o) & 1) && fnn_ndarray_dtype(o) >= 0;
            int failed = 0;
            if (!fits || fnn_borrow_array(o, b) || check_array(l, s, i, l->names[s])) { /* again, to name the place */
                PyErr_Clear();
                fnn_give_back(b);
                const char *text = (name = name_of(l, s, i)) ? PyUnicode_AsUTF8(name) : NULL;
                failed = !text || fnn_read_array(l->op, text, o, FLOATS, b) || check_array(l, s, i, text);
            }
            Py_XDECREF(name);
            if (failed) return -1;
            l->tensors[s * l->n + i] = &b->t;
        }
    return 0;
}

static int by_place(const void *a, const void *b) {
    const extent *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static int shared(const lists *l, const extent *x, const extent *y) {
    if (!(written(x->slot) || written(y->slot)) || !fnn_arrays_share(given_at(l, x->slot, x->i), given_at(l, y->slot, y->i))) return 0;
    PyObject *a = name_of(l, x->slot, x->i), *b = name_of(l, y->slot, y->i);
    if (a && b) PyErr_Format(PyExc_RuntimeError, "%s: %U shares memory with %U, expected memory of its own", l->op, a, b);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return -1;
}

/* Sorted by place, two arrays can only meet where one begins before the ones in front of it have ended. */
static int check_apart(lists *l) {
    Py_ssize_t count = 0;
    for (int s = 0; s < SLOTS; s++)
        for (Py_ssize_t i = 0; l->given[s] && i < l->n; i++) {
            extent *e = &l->extents[count];
            if (!array_at(l, s, i)->t.numel) continue;
            fnn_array_extent(given_at(l, s, i), &e->lo, &e->hi); /* the caller's memory, not a copy's */
            e->slot = s;
            e->i = i;
            count++;
        }
    qsort(l->extents, (size_t)count, sizeof(extent), by_place);
    for (Py_ssize_t k = 0; k < count; k++) {
        extent *e = &l->extents[k];
        e->reach = k && e[-1].reach > e->hi ? e[-1].reach : e->hi;
        for (Py_ssize_t j = k - 1; j >= 0 && l->extents[j].reach > e->lo; j--)
            if (l->extents[j].hi > e->lo && shared(l, &l->extents[j], e)) return -1;
    }
    return 0;
}

/* Values of copies go home. */
static int finish(lists *l, bool ran) {
    int failed = 0;
    for (int s = 0; s < SLOTS && l->arrays; s++)
        for (Py_ssize_t i = 0; l->given[s] && i < l->n; i++) {
            fnn_borrowed *b = array_at(l, s, i);
            if (ran && written(s) && b->array != given_at(l, s, i) && fnn_copy_array(given_at(l, s, i), b->array)) failed = -1;
            fnn_give_back(b);
        }
    PyMem_Free(l->arrays);
    PyMem_Free(l->tensors);
    PyMem_Free(l->extents);
    return failed;
}

static int start(lists *l) {
    l->arrays = NULL;
    l->tensors = NULL;
    l->extents = NULL;
    if (check_lengths(l)) return -1;
    size_t count = (size_t)(SLOTS * l->n + 1);
    l->arrays = PyMem_Calloc(count, sizeof *l->arrays);
    l->tensors = PyMem_Calloc(count, sizeof *l->tensors);
    l->extents = PyMem_Calloc(count, sizeof *l->extents);
    if (!l->arrays || !l->tensors || !l->extents) return PyErr_NoMemory(), -1;
    return read_arrays(l) || check_apart(l) ? -1 : 0;
}

static const fnn_tensor *const *list_of(const lists *l, int slot) { return l->given[slot] ? l->tensors + slot * l->n : NULL; }

/* ---- Adam ---- */

/* The library counts steps itself, in a number per parameter: here n numbers that only live for the call. */
static fnn_status adam(lists *l, double step, const fnn_adam_options *o) {
    fnn_tensor *tensors = PyMem_Calloc((size_t)l->n + 1, sizeof *tensors);
    const fnn_tensor **steps = PyMem_Calloc((size_t)l->n + 1, sizeof *steps);
    double *values = PyMem_Calloc((size_t)l->n + 1, sizeof *values);
    fnn_status status = tensors && steps && values ? FNN_OK : fnn_fail(FNN_ERR_MEMORY, "%s: out of memory", l->op);
    fnn_storage storage = {.data = (char *)values};
    for (Py_ssize_t i = 0; i < l->n && !status; i++) {
        values[i] = step - 1;
        tensors[i] = (fnn_tensor){.dtype = FNN_F64, .data = (char *)&values[i], .storage = &storage};
        fnn_tensor_set_geometry(&tensors[i], 0, NULL, NULL);
        steps[i] = &tensors[i];
    }
    if (!status) status = fnn_adam_step(l->n, list_of(l, PARAMS), list_of(l, GRADS), list_of(l, FIRST), list_of(l, SECOND), NULL, steps, o);
    PyMem_Free(tensors);
    PyMem_Free(steps);
    PyMem_Free(values);
    return status;
}

static PyObject *kernel_adam(PyObject *module, PyObject *args) {
    (void)module;
    static const char *const names[SLOTS] = {"params", "grads", "exp_avgs", "exp_avg_sqs"};
    lists l = {.names = names};
    fnn_adam_options o;
    double step;
    int decoupled, maximize;
    if (!PyArg_ParseTuple(args, "sOOOOddddddpp:_kernel_adam", &l.op, &l.given[PARAMS], &l.given[GRADS], &l.given[FIRST], &l.given[SECOND], &step,
                          &o.lr, &o.beta1, &o.beta2, &o.eps, &o.weight_decay, &decoupled, &maximize))
        return NULL;
    o.decoupled = decoupled;
    o.maximize = maximize;
    int failed = start(&l);
    if (!failed) {
        fnn_status status = adam(&l, step, &o);
        if (status) failed = (fnn_raise(status), -1);
    }
    if (finish(&l, !failed)) failed = -1;
    return failed ? NULL : Py_NewRef(Py_None);
}

/* ---- SGD ---- */

static PyObject *kernel_sgd(PyObject *module, PyObject *args) {
    (void)module;
    static const char *const names[SLOTS] = {"params", "grads", "buffers", ""};
    lists l = {.names = names};
    fnn_sgd_options o = {.dampening = 0};
    int nesterov, maximize;
    if (!PyArg_ParseTuple(args, "sOOOdddpp:_kernel_sgd", &l.op, &l.given[PARAMS], &l.given[GRADS], &l.given[FIRST], &o.lr, &o.momentum,
                          &o.weight_decay, &nesterov, &maximize))
        return NULL;
    o.nesterov = nesterov;
    o.maximize = maximize;
    if (l.given[FIRST] == Py_None) l.given[FIRST] = NULL;
    int failed = start(&l);
    if (!failed) {
        fnn_status status = fnn_sgd_step(l.n, list_of(&l, PARAMS), list_of(&l, GRADS), list_of(&l, FIRST), NULL, &o);
        if (status) failed = (fnn_raise(status), -1);
    }
    if (finish(&l, !failed)) failed = -1;
    return failed ? NULL : Py_NewRef(Py_None);
}

/* For steps written in Python: all arrays are writable floats and lie apart. */
static PyObject *kernel_check(PyObject *module, PyObject *args) {
    (void)module;
    const char *names[SLOTS];
    lists l = {.names = names};
    if (!PyArg_ParseTuple(args, "ssO:_kernel_check", &l.op, &names[PARAMS], &l.given[PARAMS])) return NULL;
    int failed = start(&l);
    if (finish(&l, false)) failed = -1;
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"_kernel_check", kernel_check, METH_VARARGS, "_kernel_check(op, name, arrays): raises unless all are writable floats that lie apart"},
    {"_kernel_adam", kernel_adam, METH_VARARGS, "_kernel_adam(op, params, grads, exp_avgs, exp_avg_sqs, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize)"},
    {"_kernel_sgd", kernel_sgd, METH_VARARGS, "_kernel_sgd(op, params, grads, buffers, lr, momentum, weight_decay, nesterov, maximize)"},
    {NULL, NULL, 0, NULL},
};

int fnn_init_kernel_steps(PyObject *module) { return PyModule_AddFunctions(module, functions); }
