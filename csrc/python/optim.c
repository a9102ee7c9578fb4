/* _adam_groups, _sgd_groups: parameter groups from Python to the multi-tensor steps of ops/optim.c; _drop_grads, _total_norm,
 * _clones, _restore.
 *
 * They read the group's options and the state dicts as they are at this call, since scripts change both between steps: nothing
 * is remembered from one step to the next. Gradients come from the tensors' autograd records, so no Python object is made
 * of them. Invariant: Python code (fresh state, numbers that are tensors) runs first; from the first pointer taken to the
 * end of the step none does. A step of several groups is all of them or none. What the steps compute stands in the docstrings of fastnn/optim/adam.py and sgd.py.
 * It does not: make state (the callers' `fresh` does), keep the tensors alive (ops/optim.c pins their storages). */
#include "../ops/optim.h"
#include "py.h"

enum { PARAM, GRAD, FIRST, SECOND, LARGEST, STEP, LISTS };

typedef struct group {
    const char *op;
    PyObject *dict, *state;   /* borrowed: the group, and the table tensor -> state dict */
    Py_ssize_t n;             /* parameters that have a gradient */
    const fnn_tensor **block; /* one for all lists */
    const fnn_tensor **at[LISTS];
    bool *first;              /* SGD: the buffer holds nothing yet */
    bool any_first;
    bool prepared;
    fnn_step step;
    union {
        fnn_adam_options adam;
        fnn_sgd_options sgd;
    } options;
    PyObject *keys[LISTS];    /* borrowed: where the state has which list; NULL: not used */
} group;

/* Every name that is looked up in a group or a state dict, interned once. */
#define NAMES(X) \
    X(params) X(lr) X(betas) X(eps) X(weight_decay) X(amsgrad) X(maximize) X(decoupled_weight_decay) X(momentum) X(dampening) X(nesterov) \
    X(exp_avg) X(exp_avg_sq) X(max_exp_avg_sq) X(step) X(momentum_buffer)
#define FIELD(name) PyObject *name;
static struct names {
    NAMES(FIELD)
} name;

/* ---- options ---- */

static PyObject *option(const group *g, PyObject *key) {
    PyObject *value = PyDict_GetItemWithError(g->dict, key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}
static int number_option(const group *g, PyObject *key, double *value) {
    PyObject *o = option(g, key);
    return o ? fnn_as_double(o, value) : -1;
}
static int flag_option(const group *g, PyObject *key, bool *value) {
    PyObject *o = option(g, key);
    int on = o ? PyObject_IsTrue(o) : -1;
    *value = on > 0;
    return on < 0 ? -1 : 0;
}

/* ---- parameters ---- */

static const fnn_tensor *grad_of(PyObject *p) { return TENSOR(p)->meta ? TENSOR(p)->meta->grad : NULL; }

/* Gives every parameter with a gradient a state, and counts them; `wanted`: the entry that tells. NULL: no state. */
static int parameters(group *g, PyObject *wanted, PyObject *fresh) {
    PyObject *list = option(g, name.params);
    if (list && !PyList_Check(list)) PyErr_Format(PyExc_TypeError, "%s: params must be a list of Tensors, not %.100s", g->op, Py_TYPE(list)->tp_name);
    if (!list || !PyList_Check(list)) return -1;
    g->first = PyMem_Calloc((size_t)PyList_GET_SIZE(list) + 1, sizeof *g->first);
    if (!g->first) return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *p = PyList_GET_ITEM(list, i);
        if (!fnn_is_tensor(p)) return PyErr_Format(PyExc_TypeError, "%s: params[%zd] must be a Tensor, not %.100s", g->op, i, Py_TYPE(p)->tp_name), -1;
        if (!grad_of(p)) continue;
        g->n++;
        if (!wanted) continue;
        PyObject *own = PyDict_GetItemWithError(g->state, p), *have = own && PyDict_Check(own) ? PyDict_GetItemWithError(own, wanted) : NULL;
        if (!have && PyErr_Occurred()) return -1;
        if (have && have != Py_None) continue;
        g->first[g->n - 1] = g->any_first = true;
        PyObject *made = PyObject_CallOneArg(fresh, p);
        if (!made) return -1;
        Py_DECREF(made);
    }
    return 0;
}

/* The tensor under a key of p's state. */
static const fnn_tensor *state_of(const group *g, PyObject *p, PyObject *key) {
    PyObject *own = PyDict_GetItemWithError(g->state, p), *value = own && PyDict_Check(own) ? PyDict_GetItemWithError(own, key) : NULL;
    if (value && fnn_is_tensor(value)) return TENSOR(value);
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s: the state of a parameter has %.100s as %R, expected a Tensor", g->op, value ? Py_TYPE(value)->tp_name : "nothing", key);
    return NULL;
}

/* Fills the lists. */
static int collect(group *g) {
    PyObject *list = option(g, name.params);
    if (!list) return -1;
    g->block = PyMem_New(const fnn_tensor *, LISTS * g->n + 1);
    if (!g->block) return PyErr_NoMemory(), -1;
    for (int l = 0; l < LISTS; l++) g->at[l] = l <= GRAD || g->keys[l] ? g->block + l * g->n : NULL;
    Py_ssize_t k = 0;
    for (Py_ssize_t i = 0; PyList_Check(list) && i < PyList_GET_SIZE(list) && k < g->n; i++) {
        PyObject *p = PyList_GET_ITEM(list, i);
        if (!fnn_is_tensor(p) || !grad_of(p)) continue;
        g->at[PARAM][k] = TENSOR(p);
        g->at[GRAD][k] = grad_of(p);
        for (int l = FIRST; l < LISTS; l++)
            if (g->keys[l] && !(g->at[l][k] = state_of(g, p, g->keys[l]))) return -1;
        k++;
    }
    if (k == g->n) return 0; /* else: making the fresh states took gradients away */
    PyErr_Format(PyExc_RuntimeError, "%s: the parameters changed while their state was made", g->op);
    return -1;
}

/* ---- Adam ---- */

static int adam_options(const group *g, fnn_adam_options *o, bool *amsgrad) {
    PyObject *betas = option(g, name.betas), *pair = betas ? PySequence_Tuple(betas) : NULL;
    int failed = !pair;
    if (pair && PyTuple_GET_SIZE(pair) != 2) failed = (PyErr_SetString(PyExc_ValueError, "_adam_groups: betas must be two numbers"), -1);
    if (!failed) failed = fnn_as_double(PyTuple_GET_ITEM(pair, 0), &o->beta1) || fnn_as_double(PyTuple_GET_ITEM(pair, 1), &o->beta2);
    Py_XDECREF(pair);
    return failed || number_option(g, name.lr, &o->lr) || number_option(g, name.eps, &o->eps) || number_option(g, name.weight_decay, &o->weight_decay) ||
           flag_option(g, name.amsgrad, amsgrad) || flag_option(g, name.maximize, &o->maximize) || flag_option(g, name.decoupled_weight_decay, &o->decoupled);
}

static int adam_read(group *g) {
    bool amsgrad;
    if (adam_options(g, &g->options.adam, &amsgrad)) return -1;
    g->keys[FIRST] = name.exp_avg;
    g->keys[SECOND] = name.exp_avg_sq;
    g->keys[LARGEST] = amsgrad ? name.max_exp_avg_sq : NULL;
    g->keys[STEP] = name.step;
    return 0;
}

static fnn_status adam_prepare(group *g, bool pin) {
    return fnn_adam_prepare(&g->step, g->n, g->at[PARAM], g->at[GRAD], g->at[FIRST], g->at[SECOND], g->at[LARGEST], g->at[STEP], &g->options.adam, pin);
}

/* ---- SGD ---- */

/* Fresh buffers that no step has written hold nothing: the next step must not read them. */
static void forget_fresh(const group *g, PyObject *key) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *list = PyDict_GetItemWithError(g->dict, name.params);
    for (Py_ssize_t i = 0, k = 0; list && k < g->n && i < PyList_GET_SIZE(list); i++) {
        PyObject *p = PyList_GET_ITEM(list, i);
        if (!fnn_is_tensor(p) || !grad_of(p)) continue;
        PyObject *own = g->first[k++] ? PyDict_GetItemWithError(g->state, p) : NULL;
        if (own && PyDict_Check(own) && PyDict_GetItemWithError(own, key)) PyDict_SetItem(own, key, Py_None);
    }
    PyErr_Restore(type, value, traceback);
}

static int sgd_read(group *g) {
    fnn_sgd_options *o = &g->options.sgd;
    if (number_option(g, name.lr, &o->lr) || number_option(g, name.momentum, &o->momentum) || number_option(g, name.dampening, &o->dampening) ||
        number_option(g, name.weight_decay, &o->weight_decay) || flag_option(g, name.nesterov, &o->nesterov) || flag_option(g, name.maximize, &o->maximize))
        return -1;
    g->keys[FIRST] = o->momentum != 0 ? name.momentum_buffer : NULL;
    return 0;
}

static fnn_status sgd_prepare(group *g, bool pin) {
    return fnn_sgd_prepare(&g->step, g->n, g->at[PARAM], g->at[GRAD], g->at[FIRST], g->any_first ? g->first : NULL, &g->options.sgd, pin);
}

/* ---- all groups ---- */

typedef struct kind {
    const char *op;
    int (*read)(group *g); /* options and keys */
    int tells;             /* the list whose entry tells that a parameter has a state */
    fnn_status (*prepare)(group *g, bool pin);
} kind;

/* Everything that may fail, for all groups; first what runs Python code. Gives 0, or -1 with an exception set. */
static int prepare_groups(const kind *k, group *g, Py_ssize_t n, PyObject *groups, PyObject *state, PyObject *const *fresh) {
    for (Py_ssize_t i = 0; i < n; i++) {
        g[i].op = k->op;
        g[i].dict = PyTuple_GET_ITEM(groups, i);
        g[i].state = state;
        if (!PyDict_Check(g[i].dict)) return PyErr_Format(PyExc_TypeError, "%s: a group must be a dict", k->op), -1;
        if (k->read(&g[i])) return -1;
        if (parameters(&g[i], g[i].keys[k->tells], fresh[g[i].keys[LARGEST] != NULL])) return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (collect(&g[i])) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        fnn_status status = k->prepare(&g[i], n > 1);
        if (status) return fnn_raise(status), -1;
        g[i].prepared = true;
    }
    return 0;
}

/* (groups, state, fresh, fresh with a third list): fresh(p) gives p a state. */
static PyObject *step_groups(const kind *k, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 4 || !PyDict_Check(args[1])) return PyErr_Format(PyExc_TypeError, "%s takes groups, a state dict and two functions", k->op), NULL;
    PyObject *groups = PySequence_Tuple(args[0]);
    if (!groups) return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(groups);
    group few[2] = {0}, *g = n > 2 ? PyMem_Calloc((size_t)n, sizeof *g) : few;
    int failed = g ? prepare_groups(k, g, n, groups, args[1], args + 2) : (PyErr_NoMemory(), -1);
    for (Py_ssize_t i = 0; i < n && !failed; i++) fnn_step_begin(&g[i].step);
    for (Py_ssize_t i = 0; i < n && !failed; i++) fnn_step_run(&g[i].step);
    for (Py_ssize_t i = 0; i < n && g; i++) {
        if (failed && g[i].prepared) fnn_step_drop(&g[i].step);
        if (failed && g[i].any_first && k->tells == FIRST) forget_fresh(&g[i], g[i].keys[FIRST]);
        PyMem_Free(g[i].first);
        PyMem_Free(g[i].block);
    }
    if (g != few) PyMem_Free(g);
    Py_DECREF(groups);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *adam_groups(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    static const kind adam = {"_adam_groups", adam_read, STEP, adam_prepare};
    return step_groups(&adam, args, nargs);
}

static PyObject *sgd_groups(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    static const kind sgd = {"_sgd_groups", sgd_read, FIRST, sgd_prepare};
    return step_groups(&sgd, args, nargs);
}

/* ---- gradients ---- */

/* _drop_grads(tensors): p.grad = None for each. */
static PyObject *drop_grads(PyObject *module, PyObject *tensors) {
    (void)module;
    PyObject *list = PySequence_Fast(tensors, "_drop_grads: expected a sequence of Tensors");
    if (!list) return NULL;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *p = PySequence_Fast_GET_ITEM(list, i);
        if (fnn_is_tensor(p) && TENSOR(p)->meta) fnn_meta_set_grad(TENSOR(p)->meta, NULL, NULL);
    }
    Py_DECREF(list);
    Py_RETURN_NONE;
}

/* sqrt(sum x^2), by the three ops that Tensor.norm() is made of. */
static fnn_status norm_of(fnn_tensor *out, const fnn_tensor *x) {
    if (!x->ndim) return fnn_run1(&fnn_op_ABS, out, x, NULL);
    fnn_attrs all = {.v = {{.i = 0}, {.i = -1}}, .list[0].n = -1}; /* no keepdim, no dtype, every dimension */
    fnn_tensor square, sum;
    FNN_TRY(fnn_run2(&fnn_op_MUL, &square, x, x));
    fnn_status status = fnn_run1(&fnn_op_SUM, &sum, &square, &all);
    fnn_tensor_unref(&square);
    if (status) return status;
    status = fnn_run1(&fnn_op_SQRT, out, &sum, NULL);
    fnn_tensor_unref(&sum);
    return status;
}

/* _total_norm(tensors): the 2-norm of their 2-norms, outside the tape. */
static PyObject *total_norm(PyObject *module, PyObject *tensors) {
    (void)module;
    PyObject *list = PySequence_Tuple(tensors);
    Py_ssize_t n = list ? PyTuple_GET_SIZE(list) : 0, made = 0;
    fnn_tensor *norm = PyMem_New(fnn_tensor, n + 1), stacked, total;
    const fnn_tensor **in = PyMem_New(const fnn_tensor *, n + 1);
    fnn_status status = list && norm && in ? FNN_OK : fnn_fail(FNN_ERR_MEMORY, "_total_norm: out of memory");
    for (; made < n && !status; made++) {
        PyObject *t = PyTuple_GET_ITEM(list, made);
        if (!fnn_is_tensor(t) || !fnn_dtype_is_float(TENSOR(t)->dtype))
            status = fnn_fail(FNN_ERR_TYPE, "_total_norm: tensors[%zd] is no Tensor of a floating point dtype", made);
        else
            status = norm_of(&norm[made], TENSOR(t));
        if (status) break;
        in[made] = &norm[made];
    }
    if (!status) status = fnn_run(&fnn_op_STACK, &stacked, in, (int)n, &(fnn_attrs){.v[0].i = 0});
    if (!status) {
        status = norm_of(&total, &stacked);
        fnn_tensor_unref(&stacked);
    }
    for (Py_ssize_t i = 0; i < made; i++) fnn_tensor_unref(&norm[i]);
    PyMem_Free(norm);
    PyMem_Free(in);
    Py_XDECREF(list);
    return status ? fnn_raise(status) : fnn_wrap(&total);
}

/* ---- undoing ---- */

/* _clones(tensors): a list of copies outside the tape, to be given to _restore. What is no Tensor stands for itself. */
static PyObject *clones(PyObject *module, PyObject *list) {
    (void)module;
    if (!PyList_Check(list)) return PyErr_SetString(PyExc_TypeError, "_clones takes a list"), NULL;
    Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject *copies = PyList_New(n);
    for (Py_ssize_t i = 0; copies && i < n; i++) {
        PyObject *t = PyList_GET_ITEM(list, i), *made = NULL;
        fnn_tensor copy;
        if (!fnn_is_tensor(t)) {
            made = Py_NewRef(t);
        } else {
            bool before = fnn_keep_host(true); /* nobody may change the list meanwhile */
            fnn_status status = fnn_run1(&fnn_op_CLONE, &copy, TENSOR(t), NULL);
            fnn_keep_host(before);
            made = status ? fnn_raise(status) : fnn_wrap(&copy);
        }
        if (made)
            PyList_SET_ITEM(copies, i, made);
        else
            Py_CLEAR(copies);
    }
    return copies;
}

/* _restore(tensors, values): each tensor gets its values back, the last first, since two may share memory. Asks for no memory. A
 * tensor that has another shape or dtype by now stays as it is, and so does one without a value. */
static PyObject *restore(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2 || !PyList_Check(args[0]) || !PyList_Check(args[1])) return PyErr_SetString(PyExc_TypeError, "_restore takes two lists of Tensors"), NULL;
    Py_ssize_t n = PyList_GET_SIZE(args[0]) < PyList_GET_SIZE(args[1]) ? PyList_GET_SIZE(args[0]) : PyList_GET_SIZE(args[1]);
    for (Py_ssize_t i = n - 1; i >= 0; i--) {
        PyObject *t = PyList_GET_ITEM(args[0], i), *value = PyList_GET_ITEM(args[1], i);
        if (!fnn_is_tensor(t) || !fnn_is_tensor(value) || !fnn_same_shape(TENSOR(t), TENSOR(value)) || TENSOR(t)->dtype != TENSOR(value)->dtype) continue;
        fnn_status status = fnn_copy_into(TENSOR(t), TENSOR(value));
        if (status) return fnn_raise(status);
        fnn_tensor_bump(TENSOR(t));
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_adam_groups", (PyCFunction)(void (*)(void))adam_groups, METH_FASTCALL, NULL},
    {"_sgd_groups", (PyCFunction)(void (*)(void))sgd_groups, METH_FASTCALL, NULL},
    {"_drop_grads", drop_grads, METH_O, NULL},
    {"_total_norm", total_norm, METH_O, NULL},
    {"_clones", clones, METH_O, NULL},
    {"_restore", (PyCFunction)(void (*)(void))restore, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

int fnn_init_optim(PyObject *module) {
#define INTERN(text)                                                    \
    name.text = PyUnicode_InternFromString(#text);                      \
    if (!name.text) return -1;
    NAMES(INTERN)
    return PyModule_AddFunctions(module, functions);
}
