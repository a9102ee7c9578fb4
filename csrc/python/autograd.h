/* What autograd.c, hooks.c and function.c share. */
#ifndef FNN_PY_AUTOGRAD_H
#define FNN_PY_AUTOGRAD_H

#include "core/pool.h"
#include "py.h"

/* The Python face of a graph node: tensor.grad_fn. */
typedef struct NodeObject {
    PyObject_HEAD
    fnn_node *node; /* counted */
} NodeObject;

PyObject *fnn_captured(fnn_capture *captures, PyObject *inputs, Py_ssize_t n, int accumulate, int allow_unused);
PyObject *fnn_register_hook(PyObject *tensor, PyObject *hook);
PyObject *fnn_register_post_hook(PyObject *tensor, PyObject *hook);
int fnn_init_hooks(PyObject *module);
int fnn_init_function(PyObject *module);

PyObject *fnn_name_grad_fn(PyObject *module, PyObject *args); /* hooks.c */

#endif
