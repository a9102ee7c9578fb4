/* What factory.c, range.c and random.c share: sizes, options and results of functions that make tensors. */
#ifndef FNN_PY_FACTORY_H
#define FNN_PY_FACTORY_H

#include "args.h"

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

/* A fresh tensor of the given sizes (a tuple, a list or an int). */
int fnn_new_sized(const char *function, PyObject *size, int dtype, fnn_tensor *out);
/* A fresh tensor with the shape and, where torch keeps it, the memory order of `like`. */
int fnn_new_like(const char *function, const fnn_tensor *like, int dtype, PyObject *memory_format, fnn_tensor *out);
/* A number, NumPy scalar or tensor of one element; anything else is a TypeError. */
int fnn_as_scalar(const char *function, const char *name, PyObject *o, fnn_number_slot *slot);
double fnn_slot_double(const fnn_number_slot *slot);
/* Every element of a dense tensor becomes the number; a number that does not fit the dtype raises. */
int fnn_fill_number(fnn_tensor *t, const fnn_number_slot *slot);
/* The result of a creation function: written into options->out if there is one, else a new leaf. Takes t over. */
PyObject *fnn_finish(fnn_tensor *t, const fnn_options *options);
/* The dimensions in the order in which they lie in memory, innermost first. */
void fnn_memory_order(const fnn_tensor *t, int *perm);
/* Random fills (random_fill.c). The generator's lock is taken inside; nothing is checked. */
typedef enum fnn_distribution { FNN_UNIFORM, FNN_NORMAL, FNN_EXPONENTIAL, FNN_LOG_NORMAL, FNN_CAUCHY, FNN_GEOMETRIC, FNN_BERNOULLI, FNN_RANDINT, FNN_RANDOM } fnn_distribution;
typedef struct fnn_draw {
    fnn_distribution what;
    double a, b;    /* from/to, mean/std, lambda, median/sigma, p */
    int64_t base;   /* of FNN_RANDINT */
    uint64_t range; /* 0: 2^64 */
} fnn_draw;
void fnn_fill_random(fnn_tensor *t, fnn_generator *gen, const fnn_draw *draw);
/* Checks the parameters and the dtype as torch does; 0 or -1 with an exception. */
int fnn_check_draw(const char *function, const fnn_draw *draw, int dtype);
int fnn_check_range(const char *function, int64_t from, int64_t to, int dtype, fnn_draw *draw);

int fnn_init_ranges(PyObject *module); /* range.c: arange, linspace, logspace, eye */

#endif
