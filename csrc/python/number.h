/* Prototypes of the number slots; see number.c. */
#ifndef FNN_PY_NUMBER_H
#define FNN_PY_NUMBER_H

#include "py.h"

int fnn_nb_bool(PyObject *);
PyObject *fnn_nb_power(PyObject *, PyObject *, PyObject *), *fnn_nb_inplace_power(PyObject *, PyObject *, PyObject *);
PyObject *fnn_nb_negative(PyObject *), *fnn_nb_absolute(PyObject *), *fnn_nb_invert(PyObject *), *fnn_nb_positive(PyObject *);
PyObject *fnn_nb_int(PyObject *), *fnn_nb_float(PyObject *), *fnn_nb_index(PyObject *);
PyObject *fnn_nb_add(PyObject *, PyObject *), *fnn_nb_subtract(PyObject *, PyObject *), *fnn_nb_multiply(PyObject *, PyObject *);
PyObject *fnn_nb_true_divide(PyObject *, PyObject *), *fnn_nb_floor_divide(PyObject *, PyObject *), *fnn_nb_remainder(PyObject *, PyObject *);
PyObject *fnn_nb_and(PyObject *, PyObject *), *fnn_nb_or(PyObject *, PyObject *), *fnn_nb_xor(PyObject *, PyObject *);
PyObject *fnn_nb_lshift(PyObject *, PyObject *), *fnn_nb_rshift(PyObject *, PyObject *), *fnn_nb_matrix_multiply(PyObject *, PyObject *);
PyObject *fnn_nb_inplace_add(PyObject *, PyObject *), *fnn_nb_inplace_subtract(PyObject *, PyObject *);
PyObject *fnn_nb_inplace_multiply(PyObject *, PyObject *), *fnn_nb_inplace_true_divide(PyObject *, PyObject *);
PyObject *fnn_nb_inplace_floor_divide(PyObject *, PyObject *), *fnn_nb_inplace_remainder(PyObject *, PyObject *);
PyObject *fnn_nb_inplace_and(PyObject *, PyObject *), *fnn_nb_inplace_or(PyObject *, PyObject *), *fnn_nb_inplace_xor(PyObject *, PyObject *);

#endif
