/* Shapes changed in place: t_, transpose_, squeeze_, unsqueeze_. The tensor becomes the view that the op would give.
 *
 * Invariant: the memory stays as it is. A tensor on the tape continues as the op's result and takes .grad along; another one
 * keeps its record, and with it .grad and the views that start at it. As in torch, a gradient retained before is that of the tensor
 * as it was, in the shape it had. Read next: shape.c. */
#include "signature.h"

static PyObject *become(const fnn_op *op, PyObject *self, const fnn_attrs *attrs) {
    fnn_tensor *t = TENSOR(self), out;
    const fnn_tensor *in = t;
    bool recorded = fnn_mode.grad && fnn_wants_grad(t);
    fnn_status status = fnn_check_inplace(op->name, t, recorded);
    if (!status) status = fnn_apply_op(op, &out, 1, &in, 1, attrs);
    if (status) return fnn_raise(status);
    if (recorded) {
        out.meta->view->former = !t->meta->view || t->meta->view->former;
        if (t->meta->handle == self) t->meta->handle = NULL;
        fnn_move_grad(out.meta, t->meta);
        fnn_tensor_unref(t);
        *t = out;
    } else {
        fnn_tensor_set_geometry(t, out.ndim, out.shape, out.stride);
        fnn_tensor_unref(&out);
    }
    fnn_tensor_bump(t);
    if (recorded) t->meta->view->version = fnn_tensor_version(t); /* what was counted is this op: its node is not stale */
    return Py_NewRef(self);
}

PyObject *fnn_fn_t_(fnn_frame *f, PyTypeObject *type, PyObject *self) {
    (void)type;
    int ndim = f->in[0]->ndim;
    if (ndim > 2) return PyErr_Format(PyExc_RuntimeError, "t_() expects a tensor with <= 2 dimensions, but self is %dD", ndim), NULL;
    fnn_attrs attrs = {.v = {{.i = 0}, {.i = ndim == 2}}};
    return become(&fnn_op_T, self, &attrs);
}

#define BECOME(name, op)                                                          \
    PyObject *fnn_fn_##name(fnn_frame *f, PyTypeObject *type, PyObject *self) {   \
        (void)type;                                                               \
        return become(&fnn_op_##op, self, &f->attrs);                             \
    }
BECOME(transpose_, TRANSPOSE)
BECOME(squeeze_, SQUEEZE)
BECOME(unsqueeze_, UNSQUEEZE)
