/* _adam_step and _sgd_step: lists of tensors from Python to the multi-tensor steps of ops/optim.c.
 *
 * Invariant: every list is checked for length and types before the step starts, and none is read after the GIL is released.
 * Their contracts stand in the docstrings of fastnn/optim/adam.py and sgd.py. */
#include "py.h"

#define MAX_LISTS 6

typedef struct lists {
    const char *op;
    Py_ssize_t n;
    const fnn_tensor **all;            /* one block for all lists */
    const fnn_tensor **at[MAX_LISTS];  /* NULL where None was given */
} lists;

static int wrong_length(const char *op, const char *name, Py_ssize_t found, Py_ssize_t wanted) {
    PyErr_Format(PyExc_ValueError, "%s: %s has length %zd, expected %zd, the length of params", op, name, found, wanted);
    return -1;
}

/* args[i] is a list or tuple of n tensors; None where optional says so. */
static int read_list(lists *l, int i, const char *name, PyObject *o, bool optional) {
    if (o == Py_None && optional) return 0;
    if (!PyList_Check(o) && !PyTuple_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be a list of Tensors, not %.100s", l->op, name, Py_TYPE(o)->tp_name);
        return -1;
    }
    if (PySequence_Fast_GET_SIZE(o) != l->n) return wrong_length(l->op, name, PySequence_Fast_GET_SIZE(o), l->n);
    PyObject **items = PySequence_Fast_ITEMS(o);
    l->at[i] = l->all + i * l->n;
    for (Py_ssize_t k = 0; k < l->n; k++) {
        if (!fnn_is_tensor(items[k])) {
            PyErr_Format(PyExc_TypeError, "%s: %s[%zd] must be a Tensor, not %.100s", l->op, name, k, Py_TYPE(items[k])->tp_name);
            return -1;
        }
        l->at[i][k] = TENSOR(items[k]);
    }
    return 0;
}

static int start(lists *l, const char *op, PyObject *params, Py_ssize_t nargs, Py_ssize_t wanted) {
    *l = (lists){.op = op};
    if (nargs != wanted) {
        PyErr_Format(PyExc_TypeError, "%s takes exactly %zd positional arguments, found %zd", op, wanted, nargs);
        return -1;
    }
    if (!PyList_Check(params) && !PyTuple_Check(params)) {
        PyErr_Format(PyExc_TypeError, "%s: params must be a list of Tensors, not %.100s", op, Py_TYPE(params)->tp_name);
        return -1;
    }
    l->n = PySequence_Fast_GET_SIZE(params);
    l->all = PyMem_New(const fnn_tensor *, MAX_LISTS * l->n + 1);
    if (!l->all) PyErr_NoMemory();
    return l->all ? 0 : -1;
}

/* Fills n doubles from args; flags follow. */
static int read_numbers(PyObject *const *args, int n, double *values, int n_flags, bool *flags) {
    for (int i = 0; i < n; i++)
        if (fnn_as_double(args[i], &values[i])) return -1;
    for (int i = 0; i < n_flags; i++) {
        int on = PyObject_IsTrue(args[n + i]);
        if (on < 0) return -1;
        flags[i] = on;
    }
    return 0;
}

static PyObject *adam_step(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    static const char *const names[MAX_LISTS] = {"params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "steps"};
    lists l;
    double number[5];
    bool flag[3]; /* amsgrad, maximize, decoupled */
    if (start(&l, "_adam_step", nargs ? args[0] : NULL, nargs, 14)) return NULL;
    int failed = 0;
    for (int i = 0; i < MAX_LISTS && !failed; i++) failed = read_list(&l, i, names[i], args[i], i == 4);
    if (!failed) failed = read_numbers(args + 6, 5, number, 3, flag);
    if (!failed && flag[0] != (l.at[4] != NULL)) {
        PyErr_SetString(PyExc_ValueError, "_adam_step: max_exp_avg_sqs must be a list with amsgrad=True, and None without");
        failed = -1;
    }
    fnn_adam_options o = {.maximize = false};
    if (!failed) {
        o = (fnn_adam_options){.lr = number[0], .beta1 = number[1], .beta2 = number[2], .eps = number[3], .weight_decay = number[4],
                               .decoupled = flag[2], .maximize = flag[1]};
        fnn_status status = fnn_adam_step(l.n, l.at[0], l.at[1], l.at[2], l.at[3], l.at[4], l.at[5], &o);
        if (status) failed = (fnn_raise(status), -1);
    }
    PyMem_Free(l.all);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* A list of n truth values; None: NULL. The caller frees it. */
static int read_first(lists *l, PyObject *o, bool **first) {
    *first = NULL;
    if (o == Py_None) return 0;
    if (!PyList_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s: first must be a list of bools or None, not %.100s", l->op, Py_TYPE(o)->tp_name);
        return -1;
    }
    if (PyList_GET_SIZE(o) != l->n) return wrong_length(l->op, "first", PyList_GET_SIZE(o), l->n);
    *first = PyMem_New(bool, l->n + 1);
    if (!*first) return PyErr_NoMemory(), -1;
    for (Py_ssize_t k = 0; k < l->n; k++) (*first)[k] = PyList_GET_ITEM(o, k) == Py_True;
    return 0;
}

static PyObject *sgd_step(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    static const char *const names[] = {"params", "grads", "buffers"};
    lists l;
    double number[4];
    bool flag[2], *first = NULL; /* nesterov, maximize */
    if (start(&l, "_sgd_step", nargs ? args[0] : NULL, nargs, 10)) return NULL;
    int failed = 0;
    for (int i = 0; i < 3 && !failed; i++) failed = read_list(&l, i, names[i], args[i], i == 2);
    if (!failed) failed = read_first(&l, args[3], &first);
    if (!failed) failed = read_numbers(args + 4, 4, number, 2, flag);
    if (!failed && !l.at[2] && number[1] != 0) {
        PyErr_SetString(PyExc_ValueError, "_sgd_step: buffers is None, expected a list of Tensors, as momentum is not 0");
        failed = -1;
    }
    if (!failed) {
        fnn_sgd_options o = {.lr = number[0], .momentum = number[1], .dampening = number[2], .weight_decay = number[3], .nesterov = flag[0],
                             .maximize = flag[1]};
        fnn_status status = fnn_sgd_step(l.n, l.at[0], l.at[1], l.at[2], first, &o);
        if (status) failed = (fnn_raise(status), -1);
    }
    PyMem_Free(first);
    PyMem_Free(l.all);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"_adam_step", (PyCFunction)(void (*)(void))adam_step, METH_FASTCALL, NULL},
    {"_sgd_step", (PyCFunction)(void (*)(void))sgd_step, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

int fnn_init_optim(PyObject *module) { return PyModule_AddFunctions(module, functions); }
