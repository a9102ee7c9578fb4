/* Hooks on gradients, and the Python object of a graph node (grad_fn).
 *
 * A hook table is an OrderedDict {id: function}, held by a meta (leaf) or a node's output. The graph calls back through
 * fnn_graph_host with the table as an opaque object. */
#include <stdlib.h>
#include <string.h>

#include "autograd.h"

static PyObject *HandleClass; /* fastnn.utils.hooks.RemovableHandle, imported on first use */

/* ---- callbacks of the graph ---- */

static void release_handle(void *object) {
    if (PyGILState_Check()) { /* nearly always: a step drops a gradient's object per parameter */
        Py_DECREF((PyObject *)object);
        return;
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)object);
    PyGILState_Release(gil);
}

/* One hook's answer: None keeps the gradient, a tensor of the same shape replaces it. */
static fnn_status take_answer(PyObject *answer, fnn_tensor *grad) {
    if (!answer) return FNN_ERR_RUNTIME; /* the exception stays set */
    fnn_status status = FNN_OK;
    if (answer != Py_None) {
        if (!fnn_is_tensor(answer) || !fnn_same_shape(TENSOR(answer), grad)) {
            PyErr_Format(PyExc_RuntimeError, "hook: has changed the size or type of the gradient: found %s, wanted a Tensor of shape %s",
                         Py_TYPE(answer)->tp_name, fnn_shape_of(grad));
            status = FNN_ERR_RUNTIME;
        } else {
            fnn_tensor cast;
            status = fnn_cast(&cast, TENSOR(answer), grad->dtype);
            if (!status) {
                fnn_tensor_unref(grad);
                *grad = cast;
            }
        }
    }
    Py_DECREF(answer);
    return status;
}

static fnn_status run_hooks(void *table, fnn_tensor *grad) {
    PyObject *hooks = PyDict_Values(table);
    fnn_status status = hooks ? FNN_OK : FNN_ERR_MEMORY;
    for (Py_ssize_t i = 0; !status && i < PyList_GET_SIZE(hooks); i++) {
        fnn_tensor view;
        fnn_tensor_ref_data(&view, grad);
        PyObject *argument = fnn_wrap(&view);
        status = argument ? take_answer(PyObject_CallOneArg(PyList_GET_ITEM(hooks, i), argument), grad) : FNN_ERR_MEMORY;
        Py_XDECREF(argument);
    }
    Py_XDECREF(hooks);
    return status;
}

static fnn_status run_post_hooks(void *table, fnn_meta *leaf) {
    PyObject *hooks = PyDict_Values(table);
    if (!hooks || !leaf->handle) {
        Py_XDECREF(hooks);
        return hooks ? FNN_OK : FNN_ERR_MEMORY;
    }
    fnn_status status = FNN_OK;
    PyObject *self = Py_NewRef((PyObject *)leaf->handle); /* a hook may drop the last other reference */
    for (Py_ssize_t i = 0; !status && i < PyList_GET_SIZE(hooks); i++) {
        PyObject *answer = PyObject_CallOneArg(PyList_GET_ITEM(hooks, i), self);
        status = answer ? FNN_OK : FNN_ERR_RUNTIME;
        Py_XDECREF(answer);
    }
    Py_DECREF(self);
    Py_DECREF(hooks);
    return status;
}

/* ---- registering ---- */

static PyObject *add_hook(void **slot, PyObject *hook) {
    if (!*slot) *slot = PyODict_New(); /* unlike a dict it can be referred to weakly, which handles do */
    if (!*slot) return NULL;
    if (!HandleClass) {
        PyObject *module = PyImport_ImportModule("fastnn.utils.hooks");
        HandleClass = module ? PyObject_GetAttrString(module, "RemovableHandle") : NULL;
        Py_XDECREF(module);
        if (!HandleClass) return NULL;
    }
    PyObject *handle = PyObject_CallOneArg(HandleClass, (PyObject *)*slot);
    PyObject *id = handle ? PyObject_GetAttrString(handle, "id") : NULL;
    if (!id || PyObject_SetItem((PyObject *)*slot, id, hook)) Py_CLEAR(handle);
    Py_XDECREF(id);
    return handle;
}

PyObject *fnn_register_hook(PyObject *self, PyObject *hook) {
    fnn_tensor *t = TENSOR(self);
    fnn_node *node;
    fnn_status status = fnn_current_grad_fn(t, &node);
    if (status) return fnn_raise(status);
    if (!fnn_wants_grad(t)) return PyErr_SetString(PyExc_RuntimeError, "cannot register a hook on a tensor that doesn't require gradient"), NULL;
    fnn_track(self);
    if (!node) return add_hook(&t->meta->hooks, hook);
    if (!node->out_hooks) {
        size_t bytes = sizeof(void *) * (size_t)node->n_out;
        node->out_hooks = fnn_pool_alloc(bytes);
        if (!node->out_hooks) return PyErr_NoMemory();
        memset(node->out_hooks, 0, bytes);
    }
    return add_hook(&node->out_hooks[t->meta->output_nr], hook);
}

PyObject *fnn_register_post_hook(PyObject *self, PyObject *hook) {
    fnn_tensor *t = TENSOR(self);
    fnn_node *node;
    fnn_status status = fnn_current_grad_fn(t, &node);
    if (status) return fnn_raise(status);
    if (!fnn_wants_grad(t) || node)
        return PyErr_SetString(PyExc_RuntimeError, "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be registered on non-leaf tensors"), NULL;
    fnn_track(self);
    t->meta->handle = self;
    return add_hook(&t->meta->post_hooks, hook);
}

/* ---- grad_fn ---- */

static PyTypeObject *NodeType;

/* A class for every name, made when one is first seen: type(t.grad_fn).__name__ is 'MulBackward0'. */
static PyTypeObject *type_named(const char *name) {
    static PyObject *known;
    if (!known && !(known = PyDict_New())) return NULL;
    PyObject *type = PyDict_GetItemString(known, name);
    if (type) return (PyTypeObject *)type;
    PyType_Slot none[] = {{0, NULL}};
    char *full = malloc(strlen(name) + sizeof "fastnn._C."); /* a type points at its name: both stay for ever */
    if (!full) return (PyTypeObject *)PyErr_NoMemory();
    strcat(strcpy(full, "fastnn._C."), name);
    PyType_Spec spec = {full, sizeof(NodeObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, none};
    PyObject *bases = PyTuple_Pack(1, NodeType);
    type = bases ? PyType_FromSpecWithBases(&spec, bases) : NULL;
    Py_XDECREF(bases);
    int failed = !type || PyDict_SetItemString(known, name, type);
    Py_XDECREF(type);
    return failed ? NULL : (PyTypeObject *)type;
}

static PyObject *node_object(fnn_node *node) {
    if (!node) Py_RETURN_NONE;
    PyTypeObject *type = type_named(node->name);
    NodeObject *o = type ? PyObject_New(NodeObject, type) : NULL;
    if (!o) return NULL;
    fnn_node_ref(node);
    o->node = node;
    return (PyObject *)o;
}
static void node_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    fnn_node_unref(((NodeObject *)self)->node);
    PyObject_Free(self);
    Py_DECREF(type);
}
static PyObject *node_name(PyObject *self, PyObject *unused) {
    (void)unused;
    const fnn_node *n = ((NodeObject *)self)->node;
    return PyUnicode_FromString(fnn_is_accumulator(n) ? "torch::autograd::AccumulateGrad" : n->name);
}
static PyObject *node_repr(PyObject *self) {
    return PyUnicode_FromFormat("<%s object at %p>", ((NodeObject *)self)->node->name, (void *)((NodeObject *)self)->node);
}
static PyObject *node_next_functions(PyObject *self, void *unused) {
    (void)unused;
    const fnn_node *n = ((NodeObject *)self)->node;
    PyObject *tuple = PyTuple_New(n->n_in);
    for (int i = 0; i < n->n_in && tuple; i++) {
        PyObject *next = node_object(n->edges[i].node), *pair = next ? Py_BuildValue("(NI)", next, n->edges[i].nr) : NULL;
        if (pair)
            PyTuple_SET_ITEM(tuple, i, pair);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}
static PyObject *node_variable(PyObject *self, void *unused) {
    (void)unused;
    const fnn_node *n = ((NodeObject *)self)->node;
    if (!n->leaf) return PyErr_Format(PyExc_AttributeError, "%s has no attribute 'variable'", n->name), NULL;
    return n->leaf->handle ? Py_NewRef((PyObject *)n->leaf->handle) : Py_NewRef(Py_None);
}
static PyObject *node_compare(PyObject *a, PyObject *b, int op) {
    if ((op != Py_EQ && op != Py_NE) || !PyObject_TypeCheck(b, NodeType)) Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong((((NodeObject *)a)->node == ((NodeObject *)b)->node) == (op == Py_EQ));
}
static Py_hash_t node_hash(PyObject *self) { return (Py_hash_t)((size_t)((NodeObject *)self)->node >> 4); }

PyObject *fnn_get_grad_fn(PyObject *self, void *unused) {
    (void)unused;
    fnn_node *node;
    fnn_status status = fnn_current_grad_fn(TENSOR(self), &node);
    return status ? fnn_raise(status) : node_object(node);
}

/* _name_grad_fn(result, name): what a function composed of several ops shows as its grad_fn. Gives the result. */
PyObject *fnn_name_grad_fn(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *result, *name;
    if (!PyArg_ParseTuple(args, "OU:_name_grad_fn", &result, &name)) return NULL;
    fnn_node *node = fnn_is_tensor(result) && TENSOR(result)->meta ? TENSOR(result)->meta->grad_fn : NULL;
    if (node) {
        PyObject *kept = Py_NewRef(name); /* a node points at its name, so the text stays for ever: there are few */
        PyUnicode_InternInPlace(&kept);
        node->name = PyUnicode_AsUTF8(kept);
    }
    return Py_NewRef(result);
}

static PyMethodDef node_methods[] = {{"name", node_name, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyGetSetDef node_getset[] = {{"next_functions", node_next_functions, NULL, NULL, NULL}, {"variable", node_variable, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot node_slots[] = {{Py_tp_dealloc, node_dealloc}, {Py_tp_repr, node_repr}, {Py_tp_methods, node_methods}, {Py_tp_getset, node_getset},
                                   {Py_tp_richcompare, node_compare}, {Py_tp_hash, node_hash}, {0, NULL}};
static PyType_Spec node_spec = {"fastnn._C.Node", sizeof(NodeObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, node_slots};

int fnn_init_hooks(PyObject *module) {
    fnn_graph_host = (fnn_graph_hooks){.release_handle = release_handle, .run_hooks = run_hooks, .run_post_hooks = run_post_hooks};
    NodeType = (PyTypeObject *)PyType_FromSpec(&node_spec);
    return NodeType ? PyModule_AddObjectRef(module, "Node", (PyObject *)NodeType) : -1;
}
