/* Random fills of whole tensors and the in-place methods over them: uniform_, normal_, random_, ...
 *
 * Invariants: elements are drawn in memory order (decreasing stride), not in logical order, as torch does. Parameters are
 * checked before the generator is touched. A write into a tensor of a graph gives it a node with a zero gradient. */
#include "factory.h"

#include <math.h>

#include "core/random.h"

/* ---- filling ---- */

#define REAL_ROW(T, t)                                                                              \
    static void row_##t(fnn_generator *g, char *p, int64_t n, int64_t step, const fnn_draw *d) {    \
        T *out = (T *)p;                                                                            \
        switch (d->what) {                                                                          \
        case FNN_UNIFORM: fnn_rng_uniform_##t(g, out, n, step, d->a, d->b); break;                  \
        case FNN_NORMAL: fnn_rng_normal_##t(g, out, n, step, d->a, d->b); break;                    \
        case FNN_EXPONENTIAL: fnn_rng_exponential_##t(g, out, n, step, d->a); break;                \
        case FNN_LOG_NORMAL: fnn_rng_log_normal_##t(g, out, n, step, d->a, d->b); break;            \
        case FNN_CAUCHY: fnn_rng_cauchy_##t(g, out, n, step, d->a, d->b); break;                    \
        case FNN_GEOMETRIC: fnn_rng_geometric_##t(g, out, n, step, d->a); break;                    \
        case FNN_BERNOULLI: fnn_rng_bernoulli_##t(g, out, n, step, d->a); break;                    \
        case FNN_RANDINT: fnn_rng_randint_##t(g, out, n, step, d->base, d->range); break;           \
        case FNN_RANDOM: fnn_rng_random_##t(g, out, n, step); break;                                \
        }                                                                                           \
    }
#define INTEGER_ROW(T, t)                                                                           \
    static void row_##t(fnn_generator *g, char *p, int64_t n, int64_t step, const fnn_draw *d) {    \
        T *out = (T *)p;                                                                            \
        switch (d->what) {                                                                          \
        case FNN_GEOMETRIC: fnn_rng_geometric_##t(g, out, n, step, d->a); break;                    \
        case FNN_BERNOULLI: fnn_rng_bernoulli_##t(g, out, n, step, d->a); break;                    \
        case FNN_RANDINT: fnn_rng_randint_##t(g, out, n, step, d->base, d->range); break;           \
        case FNN_RANDOM: fnn_rng_random_##t(g, out, n, step); break;                                \
        default: break; /* fnn_check_draw has refused it */                                         \
        }                                                                                           \
    }
REAL_ROW(float, f32)
REAL_ROW(double, f64)
INTEGER_ROW(int64_t, i64)
INTEGER_ROW(int32_t, i32)
INTEGER_ROW(uint8_t, u8)
INTEGER_ROW(bool, bool)

typedef void (*row_fn)(fnn_generator *, char *, int64_t, int64_t, const fnn_draw *);
static const row_fn rows[FNN_NDTYPES] = {row_f32, row_f64, row_i64, row_i32, row_u8, row_bool};

/* Row by row from the largest stride to the smallest. */
static void fill_strided(const fnn_tensor *t, fnn_generator *gen, const fnn_draw *draw) {
    int perm[FNN_MAX_DIMS];
    int64_t index[FNN_MAX_DIMS] = {0}, size = fnn_itemsize[t->dtype];
    fnn_memory_order(t, perm);
    char *p = t->data;
    for (;;) {
        rows[t->dtype](gen, p, t->shape[perm[0]], t->stride[perm[0]], draw);
        int k = 1;
        for (; k < t->ndim; k++) {
            int d = perm[k];
            p += t->stride[d] * size;
            if (++index[d] < t->shape[d]) break;
            p -= t->stride[d] * t->shape[d] * size;
            index[d] = 0;
        }
        if (k >= t->ndim) return;
    }
}

static void fill(const fnn_tensor *t, fnn_generator *gen, const fnn_draw *draw) {
    fnn_generator_lock(gen);
    if (draw->what == FNN_NORMAL && t->numel >= 16 && t->contiguous) {
        if (t->dtype == FNN_F32)
            fnn_rng_normal_block_f32(gen, (float *)t->data, t->numel, draw->a, draw->b);
        else
            fnn_rng_normal_block_f64(gen, (double *)t->data, t->numel, draw->a, draw->b);
    } else if (fnn_is_dense(t)) {
        rows[t->dtype](gen, t->data, t->numel, 1, draw);
    } else {
        fill_strided(t, gen, draw);
    }
    fnn_generator_unlock(gen);
}

#define LONG_FILL 4096 /* elements: about 10 us, from where letting other threads run costs nothing in proportion */

void fnn_fill_random(fnn_tensor *t, fnn_generator *gen, const fnn_draw *draw) {
    if (!t->numel) return;
    if (t->numel < LONG_FILL) {
        fill(t, gen, draw);
        return;
    }
    fnn_storage *storage = t->storage; /* pinned: without the GIL the tensor may be changed by another thread */
    fnn_tensor view = *t;
    fnn_storage_ref(storage);
    Py_BEGIN_ALLOW_THREADS
    fill(&view, gen, draw);
    Py_END_ALLOW_THREADS
    fnn_storage_unref(storage);
}

/* ---- checks ---- */

static int refuse(const char *format, const char *function, double value) {
    char text[200];
    snprintf(text, sizeof text, format, function, value);
    PyErr_SetString(PyExc_RuntimeError, text);
    return -1;
}

int fnn_check_draw(const char *function, const fnn_draw *d, int dtype) {
    if (d->what < FNN_GEOMETRIC && !fnn_dtype_is_float(dtype)) {
        PyErr_Format(d->what == FNN_CAUCHY || d->what == FNN_EXPONENTIAL ? PyExc_RuntimeError : PyExc_NotImplementedError,
                     "%s: found dtype %s, wanted a floating point dtype", function, fnn_dtype_name((fnn_dtype)dtype));
        return -1;
    }
    if (d->what == FNN_GEOMETRIC && dtype == FNN_BOOL)
        return PyErr_Format(PyExc_NotImplementedError, "%s: not implemented for bool", function), -1;
    double limit = dtype == FNN_F32 ? 3.4028234663852886e38 : 1.7976931348623157e308;
    switch (d->what) {
    case FNN_UNIFORM:
        if (!(d->a <= d->b)) return refuse("%s expects to return a [from, to) range, but found from > to, or NaN (from=%g)", function, d->a);
        if (!(d->b - d->a <= limit)) return refuse("%s expects to-from within the dtype's largest number, but found %g", function, d->b - d->a);
        return 0;
    case FNN_NORMAL: return d->b >= 0 ? 0 : refuse("%s expects std >= 0.0, but found std %g", function, d->b);
    case FNN_EXPONENTIAL: return d->a > 0 ? 0 : refuse("%s expects lambda > 0.0, but found lambda=%g", function, d->a);
    case FNN_LOG_NORMAL: return d->b > 0 ? 0 : refuse("%s expects std > 0.0, but found std=%g", function, d->b);
    case FNN_CAUCHY: return d->b > 0 ? 0 : refuse("%s expects sigma > 0.0, but found sigma=%g", function, d->b);
    case FNN_GEOMETRIC: return d->a > 0 && d->a < 1 ? 0 : refuse("%s expects p to be in (0, 1), but got p=%g", function, d->a);
    case FNN_BERNOULLI: return d->a >= 0 && d->a <= 1 ? 0 : refuse("%s expects p to be in [0, 1], but got p=%g", function, d->a);
    default: return 0;
    }
}

/* Integers in [from, to): both ends must fit the dtype. */
int fnn_check_range(const char *function, int64_t from, int64_t to, int dtype, fnn_draw *draw) {
    static const struct {
        int64_t lo, hi;
    } limits[FNN_NDTYPES] = {[FNN_F32] = {INT64_MIN, INT64_MAX}, [FNN_F64] = {INT64_MIN, INT64_MAX}, [FNN_I64] = {INT64_MIN, INT64_MAX},
                             [FNN_I32] = {INT32_MIN, INT32_MAX}, [FNN_U8] = {0, 255}, [FNN_BOOL] = {0, 1}};
    if (from >= to) {
        PyErr_Format(PyExc_RuntimeError, "%s expects 'from' to be less than 'to', but got from=%lld >= to=%lld", function, (long long)from, (long long)to);
        return -1;
    }
    if (from < limits[dtype].lo || from > limits[dtype].hi || to - 1 > limits[dtype].hi) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s is out of bounds for %s", function,
                     from < limits[dtype].lo || from > limits[dtype].hi ? "from" : "to - 1", fnn_dtype_name((fnn_dtype)dtype));
        return -1;
    }
    *draw = (fnn_draw){.what = FNN_RANDINT, .base = from, .range = (uint64_t)to - (uint64_t)from};
    return 0;
}

/* ---- writing into a graph ---- */

static fnn_status no_gradient(void *object, fnn_backcall *b) {
    (void)object; /* the values written depend on nothing */
    return b->need[0] ? fnn_zeros(&b->dx[0], &b->in_geom[0]) : FNN_OK;
}
static void release_nothing(void *object) { (void)object; }
static const fnn_foreign constant = {no_gradient, release_nothing};

/* Before the write: a node that hands a zero gradient on, for the tensor's history to start at. *base: see fnn_prepare_history. */
static fnn_status prepare_record(fnn_tensor *t, const char *grad_name, fnn_node **made, fnn_node **base) {
    fnn_node *node = *made = fnn_node_new(NULL, 1, 1, 0, NULL);
    if (!node) return FNN_ERR_MEMORY;
    node->name = grad_name;
    node->foreign = &constant;
    node->in_geom[0] = node->out_geom[0] = fnn_geom_of(t);
    FNN_TRY(fnn_gradient_edge(t, &node->edges[0]));
    return fnn_prepare_history(t, node, base);
}

/* name: without the underscore, for fnn_check_inplace. */
static PyObject *fill_self(PyObject *self, const char *name, const char *grad_name, PyObject *generator, const fnn_draw *draw) {
    fnn_tensor *t = TENSOR(self);
    fnn_generator *gen;
    if (fnn_as_generator(generator, &gen)) return NULL;
    bool recorded = fnn_mode.grad && fnn_wants_grad(t);
    fnn_status status = fnn_check_inplace(name, t, recorded);
    if (!status) status = fnn_check_repeats(name, t);
    fnn_node *node = NULL, *base = NULL;
    if (!status && recorded) status = prepare_record(t, grad_name, &node, &base);
    if (!status) {
        fnn_fill_random(t, gen, draw);
        fnn_tensor_bump(t);
        if (node) fnn_start_history(t, node, base);
    }
    fnn_node_unref(node);
    fnn_node_unref(base);
    return status ? fnn_raise(status) : Py_NewRef(self);
}

/* ---- methods ---- */

/* A method of two numbers and a generator. */
static PyObject *two_numbers(PyObject *self, fnn_draw draw, const char *const *names, const char *name, const char *grad_name,
                             PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    PyObject *g[3];
    char function[32];
    snprintf(function, sizeof function, "%s_", name);
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    if (fnn_opt_double(function, names[0], g[0], &draw.a) || fnn_opt_double(function, names[1], g[1], &draw.b)) return NULL;
    if (fnn_check_draw(draw.what == FNN_NORMAL ? "normal" : function, &draw, TENSOR(self)->dtype)) return NULL;
    return fill_self(self, name, grad_name, g[2], &draw);
}

#define TWO(name, first, second, what, a, b, grad)                                                            \
    static PyObject *name##_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {        \
        static const char *const names[] = {first, second, "*", "generator", NULL};                           \
        return two_numbers(self, (fnn_draw){what, a, b, 0, 0}, names, #name, grad, args, n, kwnames);         \
    }
TWO(uniform, "from", "to", FNN_UNIFORM, 0, 1, "UniformBackward0")
TWO(normal, "mean", "std", FNN_NORMAL, 0, 1, "NormalBackward0")
TWO(log_normal, "mean", "std", FNN_LOG_NORMAL, 1, 2, "LogNormalBackward0")
TWO(cauchy, "median", "sigma", FNN_CAUCHY, 0, 1, "CauchyBackward0")

static PyObject *exponential_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"lambd", "*", "generator", NULL};
    PyObject *g[2];
    fnn_draw draw = {.what = FNN_EXPONENTIAL, .a = 1};
    if (fnn_sort_args("exponential_", names, args, n, kwnames, g) || fnn_opt_double("exponential_", "lambd", g[0], &draw.a)) return NULL;
    return fnn_check_draw("exponential_", &draw, TENSOR(self)->dtype) ? NULL : fill_self(self, "exponential", "ExponentialBackward0", g[1], &draw);
}

static PyObject *geometric_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"p", "*", "generator", NULL};
    PyObject *g[2];
    fnn_draw draw = {.what = FNN_GEOMETRIC};
    if (fnn_sort_args("geometric_", names, args, n, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("geometric_", "p"), NULL;
    if (fnn_opt_double("geometric_", "p", g[0], &draw.a) || fnn_check_draw("geometric_", &draw, TENSOR(self)->dtype)) return NULL;
    return fill_self(self, "geometric", "GeometricBackward0", g[1], &draw);
}

/* random_(), random_(to), random_(from, to): to None means up to the dtype's end. */
static PyObject *random_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"from", "to", "*", "generator", NULL};
    static const int64_t ends[FNN_NDTYPES] = {(1 << 24) + 1, (INT64_C(1) << 53) + 1, 0, INT64_C(1) << 31, 256, 2};
    PyObject *g[3];
    int64_t from = 0, to;
    int dtype = TENSOR(self)->dtype;
    fnn_draw draw = {.what = FNN_RANDOM};
    if (fnn_sort_args("random_", names, args, n, kwnames, g)) return NULL;
    bool open = g[1] == Py_None;
    if (g[0] && fnn_as_int(g[0], &from)) return NULL;
    if (g[1] && !open) {
        if (fnn_as_int(g[1], &to) || fnn_check_range("random_", from, to, dtype, &draw)) return NULL;
    } else if (open && dtype == FNN_I64) { /* the end of int64 has no successor: its range is counted from 2^63 */
        draw = (fnn_draw){.what = FNN_RANDINT, .base = from, .range = (UINT64_C(1) << 63) - (uint64_t)from};
        if (!draw.range) draw.base = 0; /* all of int64: the drawn bits as they are */
    } else if (open) {
        if (fnn_check_range("random_", from, ends[dtype], dtype, &draw)) return NULL;
    } else if (g[0]) {
        if (fnn_check_range("random_", 0, from, dtype, &draw)) return NULL;
    }
    return fill_self(self, "random", "RandomBackward0", g[2], &draw);
}

/* A probability per element: drawn as bytes in self's memory order, then copied over. */
static fnn_status draw_each(const fnn_tensor *self, const fnn_tensor *p, fnn_generator *gen) {
    fnn_tensor bytes = {0}, each = {0};
    fnn_tensor plan = *self;
    plan.dtype = p->dtype;
    if (fnn_new_like("bernoulli_", &plan, p->dtype, NULL, &each) || fnn_new_like("bernoulli_", &plan, FNN_U8, NULL, &bytes)) {
        fnn_tensor_unref(&each);
        return fnn_fail(FNN_ERR_MEMORY, "bernoulli_: out of memory");
    }
    fnn_status status = fnn_copy_into(&each, p);
    if (!status) {
        fnn_generator_lock(gen);
        if (p->dtype == FNN_F32)
            fnn_rng_bernoulli_each_f32(gen, (uint8_t *)bytes.data, each.numel, 1, (const float *)each.data, 1);
        else
            fnn_rng_bernoulli_each_f64(gen, (uint8_t *)bytes.data, each.numel, 1, (const double *)each.data, 1);
        fnn_generator_unlock(gen);
        status = fnn_copy_into(self, &bytes);
    }
    fnn_tensor_unref(&each);
    fnn_tensor_unref(&bytes);
    return status;
}

/* Floating point, every element in [0, 1]. */
static fnn_status check_probabilities(const fnn_tensor *p) {
    if (!fnn_dtype_is_float(p->dtype))
        return fnn_fail(FNN_ERR_NOT_IMPLEMENTED, "bernoulli: p has dtype %s, expected a floating point dtype", fnn_dtype_name(p->dtype));
    fnn_tensor flat;
    FNN_TRY(fnn_contiguous(&flat, p));
    bool good = true;
    for (int64_t i = 0; i < flat.numel && good; i++) {
        double v = p->dtype == FNN_F32 ? ((const float *)flat.data)[i] : ((const double *)flat.data)[i];
        good = v >= 0 && v <= 1;
    }
    fnn_tensor_unref(&flat);
    return good ? FNN_OK : fnn_fail(FNN_ERR_RUNTIME, "bernoulli: Expected p_in >= 0 && p_in <= 1 to be true for every element of p");
}

static PyObject *bernoulli_by_tensor(PyObject *self, PyObject *p, PyObject *generator) {
    fnn_tensor *t = TENSOR(self);
    fnn_generator *gen;
    if (fnn_as_generator(generator, &gen)) return NULL;
    fnn_status status = check_probabilities(TENSOR(p));
    bool recorded = fnn_mode.grad && fnn_wants_grad(t);
    if (!status) status = fnn_check_inplace("bernoulli", t, recorded);
    if (!status) status = fnn_check_repeats("bernoulli", t);
    fnn_tensor shape = {0};
    const fnn_tensor *both[2] = {t, TENSOR(p)};
    if (!status) status = fnn_broadcast("bernoulli_", &shape, both, 2);
    if (!status && !fnn_same_shape(&shape, t))
        status = fnn_fail(FNN_ERR_RUNTIME, "bernoulli_: output with shape %s doesn't match the broadcast shape %s", fnn_shape_of(t), fnn_shape_of(&shape));
    fnn_node *node = NULL, *base = NULL;
    if (!status && recorded) status = prepare_record(t, "BernoulliBackward0", &node, &base);
    if (!status) status = draw_each(t, TENSOR(p), gen);
    if (!status && !PyErr_Occurred()) {
        fnn_tensor_bump(t);
        if (node) fnn_start_history(t, node, base);
    }
    fnn_node_unref(node);
    fnn_node_unref(base);
    if (PyErr_Occurred()) return NULL;
    return status ? fnn_raise(status) : Py_NewRef(self);
}

static PyObject *bernoulli_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"p", "*", "generator", NULL};
    PyObject *g[2];
    fnn_draw draw = {.what = FNN_BERNOULLI, .a = 0.5};
    if (fnn_sort_args("bernoulli_", names, args, n, kwnames, g)) return NULL;
    if (g[0] && fnn_is_tensor(g[0])) return bernoulli_by_tensor(self, g[0], g[1]);
    if (fnn_opt_double("bernoulli_", "p", g[0], &draw.a) || fnn_check_draw("bernoulli_", &draw, TENSOR(self)->dtype)) return NULL;
    return fill_self(self, "bernoulli", "BernoulliBackward0", g[1], &draw);
}

PyObject *fnn_bernoulli_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);
PyObject *fnn_multinomial_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames);

PyMethodDef fnn_random_methods[] = {
    {"uniform_", FAST(uniform_), "uniform_($self, from=0, to=1, *, generator=None)\n--\n\nFills with uniform numbers from [from, to)."},
    {"normal_", FAST(normal_), "normal_($self, mean=0, std=1, *, generator=None)\n--\n\nFills with normal numbers."},
    {"log_normal_", FAST(log_normal_), "log_normal_($self, mean=1, std=2, *, generator=None)\n--\n\nFills with exp of normal numbers."},
    {"cauchy_", FAST(cauchy_), "cauchy_($self, median=0, sigma=1, *, generator=None)\n--\n\nFills with Cauchy-distributed numbers."},
    {"exponential_", FAST(exponential_), "exponential_($self, lambd=1, *, generator=None)\n--\n\nFills with exponential numbers of rate lambd."},
    {"geometric_", FAST(geometric_), "geometric_($self, p, *, generator=None)\n--\n\nFills with the number of trials up to the first success."},
    {"random_", FAST(random_), "random_($self, from=0, to=None, *, generator=None)\n--\n\nFills with integers from [from, to)."},
    {"bernoulli_", FAST(bernoulli_), "bernoulli_($self, p=0.5, *, generator=None)\n--\n\nFills with 1 with probability p, else 0."},
    {"bernoulli", FAST(fnn_bernoulli_method), "bernoulli($self, p=None, *, generator=None)\n--\n\n1 with this tensor's probabilities (or p), else 0."},
    {"multinomial", FAST(fnn_multinomial_method), "multinomial($self, num_samples, replacement=False, *, generator=None)\n--\n\n"
                                                  "Indices drawn with this tensor's weights, row by row."},
    {NULL, NULL, 0, NULL},
};
