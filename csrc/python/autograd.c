/* Autograd as Python sees it: grad, grad_fn, hooks, backward, modes. Functions written in Python are function.c.
 *
 * Invariants: a gradient's Python object lives in the leaf's meta once Python has seen it, so `p.grad is p.grad`. Hooks are
 * Python dicts held by metas and nodes; the graph knows them as opaque objects. */
#include <string.h>

#include "args.h"
#include "autograd.h"

/* ---- grad ---- */

PyObject *fnn_grad_object(fnn_meta *m) {
    if (!m || !m->grad) return NULL;
    if (!m->grad_handle) {
        fnn_tensor *held = m->grad, t;
        fnn_tensor_ref(&t, held); /* counted: without an object the gradient stays where it is */
        PyObject *o = fnn_wrap(&t);
        if (!o) return NULL;
        /* Making it may have collected garbage, and run anybody's code. */
        if (m->grad_handle || m->grad != held || held->storage != TENSOR(o)->storage) {
            Py_DECREF(o);
            return fnn_grad_object(m);
        }
        fnn_meta_set_grad(m, TENSOR(o), o);
    }
    return Py_NewRef((PyObject *)m->grad_handle);
}

PyObject *fnn_get_grad(PyObject *self, void *unused) {
    (void)unused;
    fnn_meta *m = TENSOR(self)->meta;
    if (!m || !m->grad) Py_RETURN_NONE;
    PyObject *grad = fnn_grad_object(m);
    if (grad) fnn_track(self);
    if (!grad && !PyErr_Occurred()) Py_RETURN_NONE; /* dropped by somebody's code meanwhile */
    return grad;
}

int fnn_set_grad(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    fnn_tensor *t = TENSOR(self);
    if (!value || value == Py_None) {
        if (t->meta) fnn_meta_set_grad(t->meta, NULL, NULL);
        return 0;
    }
    if (!fnn_is_tensor(value)) {
        PyErr_Format(PyExc_TypeError, "assigned grad expected to be a Tensor or None but got grad of type %s", Py_TYPE(value)->tp_name);
        return -1;
    }
    const fnn_tensor *g = TENSOR(value);
    if (value == self || g->dtype != t->dtype || !fnn_same_shape(g, t)) {
        PyErr_Format(PyExc_RuntimeError, value == self ? "can't assign Variable as its own grad"
                     : "assigned grad has data of a different size or type: found %s %s, wanted %s %s", fnn_dtype_name(g->dtype), fnn_shape_of(g),
                     fnn_dtype_name(t->dtype), fnn_shape_of(t));
        return -1;
    }
    fnn_meta *m = fnn_meta_of(t);
    if (!m) return fnn_raise(FNN_ERR_MEMORY), -1;
    fnn_meta_set_grad(m, TENSOR(value), Py_NewRef(value));
    fnn_track(self);
    return 0;
}

/* ---- flags ---- */

PyObject *fnn_get_requires_grad(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(fnn_wants_grad(TENSOR(self)));
}
int fnn_set_requires_grad_attr(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    int on = value ? PyObject_IsTrue(value) : 0;
    if (on < 0) return -1;
    fnn_status status = fnn_set_requires_grad(TENSOR(self), on);
    if (!status && on && TENSOR(self)->meta) TENSOR(self)->meta->handle = self;
    return status ? (fnn_raise(status), -1) : 0;
}
static PyObject *method_requires_grad_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"requires_grad", NULL};
    PyObject *on;
    if (fnn_sort_args("requires_grad_", names, args, n, kwnames, &on)) return NULL;
    if (!on) on = Py_True;
    if (!PyBool_Check(on))
        return PyErr_Format(PyExc_TypeError, "requires_grad_(): argument 'requires_grad' must be bool, not %.100s", Py_TYPE(on)->tp_name), NULL;
    return fnn_set_requires_grad_attr(self, on, NULL) ? NULL : Py_NewRef(self);
}
PyObject *fnn_get_is_leaf(PyObject *self, void *unused) {
    (void)unused;
    fnn_node *node;
    fnn_status status = fnn_current_grad_fn(TENSOR(self), &node);
    return status ? fnn_raise(status) : PyBool_FromLong(!node);
}
PyObject *fnn_get_retains_grad(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(TENSOR(self)->meta && TENSOR(self)->meta->retains_grad);
}

static PyObject *method_retain_grad(PyObject *self, PyObject *unused) {
    (void)unused;
    fnn_tensor *t = TENSOR(self);
    fnn_node *node;
    if (t->meta && t->meta->retained_by) Py_RETURN_NONE; /* even where the tape has lost t since */
    if (t->meta && t->meta->view && t->meta->view->origin != FNN_VIEW_TRACKED && !t->meta->grad_fn && fnn_wants_grad(t))
        Py_RETURN_NONE; /* off the tape: a leaf of its own, whatever was written */
    fnn_status status = fnn_current_grad_fn(t, &node);
    if (status) return fnn_raise(status);
    if (!node) {
        if (fnn_wants_grad(t)) Py_RETURN_NONE; /* a leaf keeps its gradient anyway */
        return PyErr_SetString(PyExc_RuntimeError, "can't retain_grad on Tensor that has requires_grad=False"), NULL;
    }
    status = fnn_prepare_retain(node);
    if (status) return fnn_raise(status);
    fnn_retain(node, t->meta->output_nr, t->meta);
    fnn_track(self);
    Py_RETURN_NONE;
}

/* ---- data, detach ---- */

static PyObject *detached(PyObject *self, bool own_version) {
    fnn_tensor out;
    fnn_tensor_ref_data(&out, TENSOR(self));
    if (own_version && out.version) {
        fnn_version *fresh = fnn_version_new();
        if (!fresh) {
            fnn_tensor_unref(&out);
            return fnn_raise(FNN_ERR_MEMORY);
        }
        fnn_version_unref(out.version);
        out.version = fresh;
    }
    out.flags &= (uint8_t)~FNN_T_VIEW;
    return fnn_wrap_as(fnn_result_type(&self, 1), &out);
}
PyObject *fnn_get_data(PyObject *self, void *unused) {
    (void)unused;
    return detached(self, true);
}
/* p.data = x: p looks at x's memory from now on; p's own autograd record stays. */
int fnn_set_data(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    if (!value || !fnn_is_tensor(value)) {
        PyErr_SetString(PyExc_TypeError, "data: expected a Tensor");
        return -1;
    }
    fnn_tensor *t = TENSOR(self), fresh;
    if (fnn_wants_grad(t) && !fnn_dtype_is_float(TENSOR(value)->dtype)) {
        PyErr_Format(PyExc_RuntimeError, "data set to a tensor that requires gradients must be floating point, found %s", fnn_dtype_name(TENSOR(value)->dtype));
        return -1;
    }
    fnn_tensor_ref_data(&fresh, TENSOR(value));
    fresh.meta = t->meta;
    t->meta = NULL;
    fnn_tensor_unref(t);
    *t = fresh;
    return 0;
}
static PyObject *method_detach(PyObject *self, PyObject *unused) {
    (void)unused;
    return detached(self, false);
}
static PyObject *method_detach_(PyObject *self, PyObject *unused) {
    (void)unused;
    fnn_tensor *t = TENSOR(self);
    if ((t->flags & FNN_T_VIEW) || (t->meta && t->meta->view && !t->meta->view->former)) return PyErr_SetString(PyExc_RuntimeError, "Can't detach views in-place. Use detach() instead."), NULL;
    if (t->meta && t->meta->view) { /* a base of its own from here on */
        fnn_meta *own = fnn_meta_new(false);
        if (!own) return fnn_raise(FNN_ERR_MEMORY);
        fnn_move_grad(own, t->meta);
        fnn_meta_unref(t->meta);
        t->meta = own;
    }
    if (t->meta) fnn_meta_detach(t->meta);
    return Py_NewRef(self);
}

/* The tensor that owns a view's memory, as a fresh object (torch's ._base); None for a tensor of its own. */
PyObject *fnn_get_base(PyObject *self, void *unused) {
    (void)unused;
    const fnn_tensor *t = TENSOR(self);
    if (!t->meta || !t->meta->view || t->meta->view->former) Py_RETURN_NONE;
    const fnn_view *v = t->meta->view;
    fnn_tensor base;
    fnn_tensor_ref_data(&base, t);
    fnn_tensor_set_geometry(&base, v->base_geom.ndim, v->base_geom.shape, v->base_stride);
    base.data = v->base_data;
    base.meta = v->base;
    fnn_meta_ref(v->base);
    return fnn_wrap(&base);
}

/* ---- backward ---- */

/* The seed of one root: `given`, or a one for a scalar. */
static fnn_status make_seed(fnn_tensor *seed, const fnn_tensor *root, PyObject *given) {
    if (given && given != Py_None) {
        const fnn_tensor *g = TENSOR(given);
        if (!fnn_same_shape(g, root))
            return fnn_fail(FNN_ERR_RUNTIME, "backward: Mismatch in shape: grad_output[0] has a shape of %s and output[0] has a shape of %s.", fnn_shape_of(g), fnn_shape_of(root));
        return fnn_cast(seed, g, root->dtype);
    }
    if (root->numel != 1) return fnn_fail(FNN_ERR_RUNTIME, "backward: grad can be implicitly created only for scalar outputs, found shape %s", fnn_shape_of(root));
    FNN_TRY(fnn_empty(seed, root->dtype, root->ndim, root->shape));
    if (root->dtype == FNN_F32)
        *(float *)seed->data = 1;
    else
        *(double *)seed->data = 1;
    return FNN_OK;
}

/* _run_backward(tensors, grad_tensors, retain_graph, inputs, accumulate, allow_unused): torch.autograd.backward and grad. */
static PyObject *run_backward(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *tensors, *grads, *inputs, *result = NULL;
    int retain, accumulate, allow_unused;
    if (!PyArg_ParseTuple(args, "O!OpOpp", &PyTuple_Type, &tensors, &grads, &retain, &inputs, &accumulate, &allow_unused)) return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(tensors), n_in = inputs == Py_None ? 0 : PyTuple_GET_SIZE(inputs), made = 0;
    const fnn_tensor **roots = PyMem_New(const fnn_tensor *, n + 1);
    fnn_tensor *seeds = PyMem_New(fnn_tensor, n + 1);
    fnn_capture *captures = PyMem_Calloc((size_t)n_in + 1, sizeof *captures);
    fnn_status status = roots && seeds && captures ? FNN_OK : fnn_fail(FNN_ERR_MEMORY, "backward: out of memory");
    for (; made < n && !status; made++) {
        PyObject *o = PyTuple_GET_ITEM(tensors, made), *g = grads == Py_None ? NULL : PyTuple_GET_ITEM(grads, made);
        if (!fnn_is_tensor(o) || (g && g != Py_None && !fnn_is_tensor(g))) {
            PyErr_SetString(PyExc_TypeError, "backward: expected tensors and gradients to be Tensors");
            status = FNN_ERR_TYPE;
            break;
        }
        roots[made] = TENSOR(o);
        if (!fnn_wants_grad(roots[made]))
            status = fnn_fail(FNN_ERR_RUNTIME, "backward: element %zd of tensors does not require grad and does not have a grad_fn", made);
        if (!status) status = make_seed(&seeds[made], roots[made], g);
        if (status) break;
    }
    for (Py_ssize_t i = 0; i < n_in && !status; i++) {
        const fnn_tensor *t = TENSOR(PyTuple_GET_ITEM(inputs, i));
        if (!fnn_wants_grad(t)) status = fnn_fail(FNN_ERR_RUNTIME, "grad: One of the differentiated Tensors does not require grad");
        if (!status) status = fnn_gradient_edge(t, &captures[i].edge);
    }
    if (status) {
        for (Py_ssize_t i = 0; i < made; i++) fnn_tensor_unref(&seeds[i]);
    } else {
        status = fnn_walk(roots, seeds, (int)n, retain, n_in ? captures : NULL, (int)n_in);
    }
    if (!status) result = fnn_captured(captures, inputs, n_in, accumulate, allow_unused);
    for (Py_ssize_t i = 0; captures && i < n_in; i++) {
        fnn_tensor_unref(&captures[i].grad);
        if (captures[i].edge.node) fnn_node_unref(captures[i].edge.node);
    }
    PyMem_Free(roots);
    PyMem_Free(seeds);
    PyMem_Free(captures);
    return status ? fnn_raise(status) : result;
}

/* The captured gradients as a tuple, or added to the inputs' .grad. */
PyObject *fnn_captured(fnn_capture *captures, PyObject *inputs, Py_ssize_t n, int accumulate, int allow_unused) {
    if (!n) Py_RETURN_NONE;
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; i < n && tuple; i++) {
        PyObject *item = NULL;
        if (!captures[i].grad.data && !accumulate && !allow_unused) {
            PyErr_SetString(PyExc_RuntimeError, "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior.");
        } else if (!captures[i].grad.data) {
            item = Py_NewRef(Py_None);
        } else {
            item = fnn_wrap(&captures[i].grad);
        }
        if (item && accumulate && item != Py_None) {
            PyObject *input = PyTuple_GET_ITEM(inputs, i), *have = fnn_get_grad(input, NULL), *sum = NULL;
            if (have) sum = have == Py_None ? Py_NewRef(item) : PyNumber_Add(have, item);
            if (!sum || fnn_set_grad(input, sum, NULL)) Py_CLEAR(item);
            Py_XDECREF(sum);
            Py_XDECREF(have);
        }
        if (item)
            PyTuple_SET_ITEM(tuple, i, item);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *method_backward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *given[4] = {Py_None, Py_None, Py_False, Py_None}; /* gradient, retain_graph, create_graph, inputs */
    static const char *const names[4] = {"gradient", "retain_graph", "create_graph", "inputs"};
    if (nargs > 4) return PyErr_SetString(PyExc_TypeError, "backward() takes at most 4 arguments"), NULL;
    for (Py_ssize_t i = 0; i < nargs; i++) given[i] = args[i];
    for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); k++) {
        int at = 0;
        while (at < 4 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), names[at])) at++;
        if (at == 4) return PyErr_Format(PyExc_TypeError, "backward() got an unexpected keyword argument %R", PyTuple_GET_ITEM(kwnames, k)), NULL;
        given[at] = args[nargs + k];
    }
    int retain = PyObject_IsTrue(given[1]), create = PyObject_IsTrue(given[2]);
    if (retain < 0 || create < 0) return NULL;
    if (create) return PyErr_SetString(PyExc_NotImplementedError, "backward: create_graph=True (gradients of gradients) is not available"), NULL;
    if (given[0] != Py_None && !fnn_is_tensor(given[0]))
        return PyErr_Format(PyExc_TypeError, "backward: gradients can be either Tensors or None, but got %s", Py_TYPE(given[0])->tp_name), NULL;
    if (given[3] == Py_None) {
        fnn_tensor seed;
        const fnn_tensor *root = TENSOR(self);
        fnn_status status = FNN_OK;
        if (!fnn_wants_grad(root)) status = fnn_fail(FNN_ERR_RUNTIME, "backward: element 0 of tensors does not require grad and does not have a grad_fn");
        if (!status) status = make_seed(&seed, root, given[0]);
        if (!status) status = fnn_walk(&root, &seed, 1, retain, NULL, 0);
        if (status) return fnn_raise(status);
        Py_RETURN_NONE;
    }
    PyObject *inputs = fnn_is_tensor(given[3]) ? PyTuple_Pack(1, given[3]) : PySequence_Tuple(given[3]);
    if (!inputs) return NULL;
    PyObject *packed = Py_BuildValue("((O)(O)OOOO)", self, given[0], retain ? Py_True : Py_False, inputs, Py_True, Py_True);
    PyObject *done = packed ? run_backward(NULL, packed) : NULL;
    Py_XDECREF(packed);
    Py_DECREF(inputs);
    if (!done) return NULL;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

/* ---- modes ---- */

static PyObject *is_grad_enabled(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyBool_FromLong(fnn_mode.grad);
}
static PyObject *is_inference_mode_enabled(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyBool_FromLong(fnn_mode.inference);
}
/* _set_modes(grad, inference) -> the previous pair as an integer, for _restore_modes: what the context managers use. */
static PyObject *set_modes(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module;
    long before = fnn_mode.grad | fnn_mode.inference << 1;
    if (n == 1) {
        long bits = PyLong_AsLong(args[0]);
        fnn_mode.grad = bits & 1;
        fnn_mode.inference = bits >> 1 & 1;
    } else if (n == 2) {
        fnn_mode.grad = PyObject_IsTrue(args[0]);
        fnn_mode.inference = PyObject_IsTrue(args[1]);
    }
    return PyLong_FromLong(before);
}

static PyMethodDef functions[] = {{"_run_backward", run_backward, METH_VARARGS, NULL},
                                  {"_name_grad_fn", fnn_name_grad_fn, METH_VARARGS, NULL},
                                  {"is_grad_enabled", is_grad_enabled, METH_NOARGS, "True if operations are recorded for backward."},
                                  {"is_inference_mode_enabled", is_inference_mode_enabled, METH_NOARGS, "True inside inference_mode()."},
                                  {"_set_modes", (PyCFunction)(void (*)(void))set_modes, METH_FASTCALL, NULL},
                                  {NULL, NULL, 0, NULL}};

#define FAST(name) {#name, (PyCFunction)(void (*)(void))method_##name, METH_FASTCALL | METH_KEYWORDS, NULL}
PyMethodDef fnn_autograd_methods[] = {FAST(backward), FAST(requires_grad_),
                                      {"retain_grad", method_retain_grad, METH_NOARGS, NULL},
                                      {"detach", method_detach, METH_NOARGS, NULL},
                                      {"detach_", method_detach_, METH_NOARGS, NULL},
                                      {"register_hook", fnn_register_hook, METH_O, NULL},
                                      {"register_post_accumulate_grad_hook", fnn_register_post_hook, METH_O, NULL},
                                      {NULL, NULL, 0, NULL}};

int fnn_init_autograd(PyObject *module) { return PyModule_AddFunctions(module, functions) || fnn_init_hooks(module) || fnn_init_function(module) ? -1 : 0; }
