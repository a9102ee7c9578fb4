/* Operators: a + b, -a, a == b, a += b. The shortest way from Python to an op.
 *
 * Invariant: an operand that is neither tensor nor number gives NotImplemented, so Python tries the other side. A NumPy
 * array on the left becomes a tensor; with one on the right NumPy computes, and its result becomes a tensor. */
#include "number.h"

#include "args.h"

/* An operand as a tensor: 0 fine, 1 not ours, -1 exception. *owner keeps a converted array alive. */
static int operand(PyObject *o, const fnn_tensor **t, fnn_number_slot *slot, fnn_tensor *converted) {
    if (fnn_is_tensor(o)) {
        *t = TENSOR(o);
        return 0;
    }
    int number = fnn_as_number(o, slot);
    if (number <= 0) {
        *t = &slot->t;
        return number;
    }
    if (!fnn_is_ndarray(o)) return 1;
    if (fnn_tensor_from_object(o, -1, converted)) return -1;
    *t = converted;
    return 0;
}

static PyObject *binary(const fnn_op *op, PyObject *a, PyObject *b) {
    const fnn_tensor *in[2];
    fnn_number_slot slot[2];
    fnn_tensor converted[2] = {{0}, {0}}, out;
    if (fnn_is_tensor_exact(a) && fnn_is_tensor_exact(b)) { /* the fast way */
        in[0] = TENSOR(a);
        in[1] = TENSOR(b);
        fnn_status status = fnn_apply_op(op, &out, 1, in, 2, NULL);
        return status ? fnn_raise(status) : fnn_wrap(&out);
    }
    if (fnn_is_ndarray(b)) return Py_NewRef(Py_NotImplemented); /* NumPy's rules for the result, as in torch */
    int first = operand(a, &in[0], &slot[0], &converted[0]);
    int second = first ? 0 : operand(b, &in[1], &slot[1], &converted[1]);
    PyObject *result = NULL;
    if (first > 0 || second > 0) {
        result = Py_NewRef(Py_NotImplemented);
    } else if (first == 0 && second == 0) {
        fnn_status status = fnn_apply_op(op, &out, 1, in, 2, NULL);
        PyObject *both[2] = {a, b};
        result = status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(both, 2), &out);
    }
    fnn_tensor_unref(&converted[0]);
    fnn_tensor_unref(&converted[1]);
    return result;
}

static PyObject *unary(const fnn_op *op, PyObject *a) {
    const fnn_tensor *in = TENSOR(a);
    fnn_tensor out;
    fnn_status status = fnn_apply_op(op, &out, 1, &in, 1, NULL);
    return status ? fnn_raise(status) : fnn_wrap_as(fnn_result_type(&a, 1), &out);
}

static PyObject *inplace(const fnn_op *op, PyObject *a, PyObject *b) {
    const fnn_tensor *in[2] = {TENSOR(a), NULL};
    fnn_number_slot slot;
    fnn_tensor converted = {0};
    int ok = operand(b, &in[1], &slot, &converted);
    if (ok) return ok > 0 ? Py_NewRef(Py_NotImplemented) : NULL;
    fnn_status status = fnn_apply_inplace_op(op, TENSOR(a), in, 2, NULL);
    fnn_tensor_unref(&converted);
    return status ? fnn_raise(status) : Py_NewRef(a);
}

#define BINARY(slot, op) \
    PyObject *fnn_nb_##slot(PyObject *a, PyObject *b) { return binary(&fnn_op_##op, a, b); }
#define INPLACE(slot, op) \
    PyObject *fnn_nb_inplace_##slot(PyObject *a, PyObject *b) { return inplace(&fnn_op_##op, a, b); }
BINARY(add, ADD)
BINARY(subtract, SUB)
BINARY(multiply, MUL)
BINARY(floor_divide, FLOOR_DIVIDE)
BINARY(remainder, REMAINDER)
BINARY(and, BITWISE_AND)
BINARY(or, BITWISE_OR)
BINARY(xor, BITWISE_XOR)
BINARY(lshift, LSHIFT)
BINARY(rshift, RSHIFT)
INPLACE(add, ADD)
INPLACE(subtract, SUB)
INPLACE(multiply, MUL)
INPLACE(true_divide, DIV)
INPLACE(floor_divide, FLOOR_DIVIDE)
INPLACE(remainder, REMAINDER)
INPLACE(and, BITWISE_AND)
INPLACE(or, BITWISE_OR)
INPLACE(xor, BITWISE_XOR)

/* number / tensor is tensor.reciprocal() * number, two roundings, as in torch. */
PyObject *fnn_nb_true_divide(PyObject *a, PyObject *b) {
    fnn_number_slot slot;
    if (fnn_is_tensor(a) || fnn_as_number(a, &slot)) return PyErr_Occurred() ? NULL : binary(&fnn_op_DIV, a, b);
    PyObject *inverse = unary(&fnn_op_RECIPROCAL, b), *result = inverse ? binary(&fnn_op_MUL, inverse, a) : NULL;
    Py_XDECREF(inverse);
    return result;
}

/* A number has no rows: the operator belongs to somebody else then. */
PyObject *fnn_nb_matrix_multiply(PyObject *a, PyObject *b) {
    fnn_number_slot slot;
    const bool is_number = (!fnn_is_tensor(a) && fnn_as_number(a, &slot) <= 0) || (!fnn_is_tensor(b) && fnn_as_number(b, &slot) <= 0);
    if (PyErr_Occurred()) return NULL;
    return is_number ? Py_NewRef(Py_NotImplemented) : binary(&fnn_op_MATMUL, a, b);
}

PyObject *fnn_nb_power(PyObject *a, PyObject *b, PyObject *modulus) {
    return modulus == Py_None ? binary(&fnn_op_POW, a, b) : Py_NewRef(Py_NotImplemented);
}
PyObject *fnn_nb_inplace_power(PyObject *a, PyObject *b, PyObject *modulus) {
    return modulus == Py_None ? inplace(&fnn_op_POW, a, b) : Py_NewRef(Py_NotImplemented);
}
PyObject *fnn_nb_negative(PyObject *a) { return unary(&fnn_op_NEG, a); }
PyObject *fnn_nb_absolute(PyObject *a) { return unary(&fnn_op_ABS, a); }
PyObject *fnn_nb_invert(PyObject *a) {
    fnn_dtype dtype = (fnn_dtype)TENSOR(a)->dtype;
    if (fnn_dtype_is_float(dtype)) return PyErr_Format(PyExc_TypeError, "~ (bitwise_not): input has dtype %s, expected integers or bool", fnn_dtype_name(dtype)), NULL;
    return unary(&fnn_op_BITWISE_NOT, a);
}
PyObject *fnn_nb_positive(PyObject *a) { return Py_NewRef(a); }
int fnn_nb_bool(PyObject *a) { return fnn_tensor_truth(a); }

static PyObject *one_item(PyObject *a, const char *what) {
    if (TENSOR(a)->numel == 1) return fnn_item(TENSOR(a));
    return PyErr_Format(PyExc_ValueError, "%s: only one element tensors can be converted to Python scalars, found shape %s", what, fnn_shape_of(TENSOR(a))), NULL;
}
static PyObject *convert(PyObject *a, const char *what, PyObject *(*to)(PyObject *)) {
    PyObject *item = one_item(a, what), *result = item ? to(item) : NULL;
    Py_XDECREF(item);
    return result;
}
PyObject *fnn_nb_int(PyObject *a) { return convert(a, "int", PyNumber_Long); }
PyObject *fnn_nb_float(PyObject *a) { return convert(a, "float", PyNumber_Float); }
PyObject *fnn_nb_index(PyObject *a) {
    if (fnn_dtype_is_float(TENSOR(a)->dtype) || TENSOR(a)->numel != 1)
        return PyErr_SetString(PyExc_TypeError, "only integer tensors of a single element can be converted to an index"), NULL;
    return convert(a, "index", PyNumber_Index);
}

PyObject *fnn_richcompare(PyObject *a, PyObject *b, int op) {
    static const fnn_op *const ops[] = {[Py_LT] = &fnn_op_LT, [Py_LE] = &fnn_op_LE, [Py_EQ] = &fnn_op_EQ,
                                        [Py_NE] = &fnn_op_NE, [Py_GT] = &fnn_op_GT, [Py_GE] = &fnn_op_GE};
    return binary(ops[op], a, b);
}
