/* autograd.Function: nodes whose backward is written in Python.
 *
 * _apply_function(ctx, name, inputs, outputs) records a node over the tensors of `inputs` that want a gradient; its backward
 * calls ctx._backward(*grads), which gives one gradient (or None) per input. The class is python/fastnn/autograd/function.py. */
#include <string.h>

#include "autograd.h"

static PyObject *gradient_argument(const fnn_tensor *dy, const fnn_geom *g) {
    fnn_tensor t;
    fnn_status status = FNN_OK;
    if (dy)
        fnn_tensor_ref_data(&t, dy);
    else
        status = fnn_zeros(&t, g);
    return status ? fnn_raise(status) : fnn_wrap(&t);
}

static fnn_status take_gradient(PyObject *o, fnn_tensor *dx, const fnn_geom *g, int i) {
    if (o == Py_None) return FNN_OK;
    if (!fnn_is_tensor(o))
        return fnn_fail(FNN_ERR_TYPE, "Function.backward: gradient %d is a %s, expected a Tensor or None", i, Py_TYPE(o)->tp_name);
    fnn_tensor want = {0};
    fnn_tensor_set_geometry(&want, g->ndim, g->shape, NULL);
    if (!fnn_same_shape(TENSOR(o), &want))
        return fnn_fail(FNN_ERR_RUNTIME, "Function.backward: returned an invalid gradient at index %d - got %s but expected shape compatible with %s",
                        i, fnn_shape_of(TENSOR(o)), fnn_shape_of(&want));
    return fnn_cast(dx, TENSOR(o), g->dtype);
}

static fnn_status apply(void *object, fnn_backcall *b) {
    PyObject *ctx = object, *args = PyTuple_New(b->n_out), *backward = NULL, *result = NULL;
    fnn_status status = FNN_ERR_RUNTIME; /* with the Python exception that is set */
    for (int i = 0; i < b->n_out && args; i++) {
        PyObject *dy = gradient_argument(b->dy[i], &b->out_geom[i]);
        if (dy)
            PyTuple_SET_ITEM(args, i, dy);
        else
            Py_CLEAR(args);
    }
    backward = args ? PyObject_GetAttrString(ctx, "_backward") : NULL;
    result = backward ? PyObject_CallObject(backward, args) : NULL;
    if (result && (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != b->n_in)) {
        PyErr_Format(PyExc_RuntimeError, "Function.backward: returned an incorrect number of gradients (expected %d, got %zd)", b->n_in,
                     PyTuple_Check(result) ? PyTuple_GET_SIZE(result) : 1);
    } else if (result) {
        status = FNN_OK;
        for (int i = 0; i < b->n_in && !status; i++)
            if (b->need[i]) status = take_gradient(PyTuple_GET_ITEM(result, i), &b->dx[i], &b->in_geom[i], i);
    }
    Py_XDECREF(args);
    Py_XDECREF(backward);
    Py_XDECREF(result);
    return status;
}

static void release(void *object) {
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)object);
    PyGILState_Release(gil);
}

static const fnn_foreign foreign = {apply, release};

static PyObject *apply_function(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *ctx, *inputs, *outputs;
    const char *name;
    if (!PyArg_ParseTuple(args, "OsO!O!", &ctx, &name, &PyTuple_Type, &inputs, &PyTuple_Type, &outputs)) return NULL;
    Py_ssize_t n_in = PyTuple_GET_SIZE(inputs), n_out = PyTuple_GET_SIZE(outputs);
    fnn_tensor **in = PyMem_New(fnn_tensor *, n_in + 1), *out = PyMem_New(fnn_tensor, n_out + 1);
    PyObject *interned = PyUnicode_InternFromString(name); /* the node keeps the text's pointer: interned texts here live on */
    fnn_status status = in && out && interned ? FNN_OK : fnn_fail(FNN_ERR_MEMORY, "Function: out of memory");
    for (Py_ssize_t i = 0; i < n_in && !status; i++) in[i] = TENSOR(PyTuple_GET_ITEM(inputs, i));
    for (Py_ssize_t i = 0; i < n_out && !status; i++) out[i] = *TENSOR(PyTuple_GET_ITEM(outputs, i));
    if (!status) {
        status = fnn_record_foreign(&foreign, ctx, PyUnicode_AsUTF8(interned), in, (int)n_in, out, (int)n_out);
        if (!status) Py_INCREF(ctx);
        for (Py_ssize_t i = 0; i < n_out; i++) {
            TENSOR(PyTuple_GET_ITEM(outputs, i))->meta = out[i].meta; /* a record may be new also when it failed */
            fnn_track(PyTuple_GET_ITEM(outputs, i)); /* ctx may hold it */
        }
    }
    PyMem_Free(in);
    PyMem_Free(out);
    if (status) return fnn_raise(status);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {{"_apply_function", apply_function, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

int fnn_init_function(PyObject *module) { return PyModule_AddFunctions(module, functions); }
