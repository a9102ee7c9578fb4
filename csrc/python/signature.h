/* Signature lines: how a Python call is bound to an op's inputs and attributes.
 *
 * A line such as  "(Tensor input, int dim, bool keepdim=False) -> values indices"  is parsed once at import. Tensors fill
 * the op's in[] in order, numbers fill attrs.v[] in order, integer lists attrs.list[] in order.
 *   Tensor, Tensor?   a tensor; with ? None is allowed      Tensors    a list or tuple of tensors
 *   Operand           a tensor or a number                  ints ints? integers in a tuple, list, Size, or one integer
 *   tuple             integers in a tuple, list or Size
 *   ints...           the same, or as separate arguments    int int? float float? bool dtype? Generator?
 *   format            a torch.memory_format: 1 for contiguous_format, else 0
 *   enum:a|b          a string: its position, None is the first                *          what follows is given by keyword only
 *
 * Invariant: binding writes nothing but the frame; a call that fits no line raises a TypeError that lists all lines. */
#ifndef FNN_PY_SIGNATURE_H
#define FNN_PY_SIGNATURE_H

#include "py.h"

#define FNN_MAX_PARAMS 12

typedef enum fnn_kind {
    FNN_K_TENSOR, FNN_K_TENSORS, FNN_K_OPERAND, FNN_K_INT, FNN_K_FLOAT, FNN_K_BOOL, FNN_K_DTYPE, FNN_K_GENERATOR, FNN_K_INTS, FNN_K_ENUM, FNN_K_FORMAT,
} fnn_kind;

typedef struct fnn_param {
    PyObject *name;     /* interned */
    fnn_kind kind;
    bool optional;      /* None is allowed */
    bool varargs;       /* ints... */
    bool strict;        /* tuple: a bare integer is no list */
    bool has_default;
    bool keyword_only;
    uint8_t slot;       /* position in in[], v[] or list[] */
    fnn_value value;    /* the default */
    fnn_ints ints;
    char choices[64];   /* enum: "a|b" */
} fnn_param;

typedef struct fnn_frame fnn_frame;
/* A function that is not one op call (shape.c). type: of the result, a subclass kept. */
typedef PyObject *(*fnn_handler)(fnn_frame *f, PyTypeObject *type, PyObject *self);

typedef struct fnn_signature {
    const char *name, *text;
    const fnn_op *op;    /* NULL where `handler` does the work */
    fnn_handler handler;
    int n_params, n_positional, n_in, n_values, n_lists;
    fnn_param params[FNN_MAX_PARAMS];
    PyTypeObject *result; /* named tuple of several outputs, or NULL */
} fnn_signature;

/* A bound call. */
struct fnn_frame {
    const fnn_signature *signature;
    const fnn_tensor *in[FNN_MAX_IN];
    fnn_number_slot numbers[FNN_MAX_IN];
    fnn_attrs attrs;
    int n_in;
    const fnn_tensor **list; /* of a Tensors parameter; owned */
    PyObject *list_owner;    /* keeps those tensors alive; owned */
};

/* Parses text into *s; 0, or -1 with SystemError naming the line. */
int fnn_signature_parse(fnn_signature *s, const char *name, const fnn_op *op, const char *text);
/* 1: bound; 0: the arguments do not fit this line (no exception); -1: exception. */
int fnn_signature_bind(const fnn_signature *s, fnn_frame *f, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
void fnn_frame_clear(fnn_frame *f);

#endif
