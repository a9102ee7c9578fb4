/* Random functions of the module: rand, randn, randint, randperm, normal, bernoulli, multinomial, seeds and states.
 *
 * Invariant: draws come in torch's number and order, so that the same script and seed give the same numbers: everything is
 * checked first, then the generator moves. Fills are random_fill.c, the numbers themselves core/random.h. */
#include "factory.h"

/* ---- rand, randn ---- */

static PyObject *sized(const char *function, fnn_draw draw, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"size", "*", "generator", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", "names", NULL};
    PyObject *g[9], *owned;
    fnn_options options;
    fnn_generator *gen;
    fnn_tensor t;
    if (fnn_sort_size_args(function, names, args, n, kwnames, g, &owned)) return NULL;
    int failed = fnn_as_generator(g[1], &gen) || fnn_read_options(function, g[3], g[5], g[4], g[6], g[7], g[2], &options);
    int dtype = failed ? 0 : options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : fnn_default_dtype;
    failed = failed || fnn_check_draw(function, &draw, dtype) || fnn_new_sized(function, g[0], dtype, &t);
    Py_XDECREF(owned);
    if (failed) return NULL;
    fnn_fill_random(&t, gen, &draw);
    return fnn_finish(&t, &options);
}

static const fnn_draw unit_uniform = {FNN_UNIFORM, 0, 1, 0, 0}, unit_normal = {FNN_NORMAL, 0, 1, 0, 0};

static PyObject *rand_(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, sized("rand", unit_uniform, args, n, kw); }
static PyObject *randn(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, sized("randn", unit_normal, args, n, kw); }

static PyObject *like(const char *function, fnn_draw draw, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "*", "dtype", "layout", "device", "pin_memory", "requires_grad", "memory_format", "generator", NULL};
    PyObject *g[8];
    fnn_options options;
    fnn_generator *gen;
    fnn_tensor t;
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor(function, "input", g[0]);
    if (!input || fnn_as_generator(g[7], &gen) || fnn_read_options(function, g[1], g[3], g[2], g[4], g[5], NULL, &options)) return NULL;
    if (fnn_check_draw(function, &draw, options.dtype < 0 ? input->dtype : options.dtype) || fnn_new_like(function, input, options.dtype, g[6], &t)) return NULL;
    fnn_fill_random(&t, gen, &draw);
    return fnn_finish(&t, &options);
}

static PyObject *rand_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, like("rand_like", unit_uniform, args, n, kw); }
static PyObject *randn_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, like("randn_like", unit_normal, args, n, kw); }

/* ---- integers ---- */

/* Sorts (high) or (low, high): the first of two is `low`. */
static int read_bounds(const char *function, PyObject *first, PyObject *second, int dtype, fnn_draw *draw) {
    int64_t low = 0, high;
    if (!first && !second) return fnn_missing_arg(function, "high");
    if (fnn_as_int(second ? second : first, &high) || (second && first && fnn_as_int(first, &low))) return -1;
    return fnn_check_range("randint", low, high, dtype, draw);
}

static PyObject *randint(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"low", "high", "size", "*", "generator", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)m;
    PyObject *g[10];
    fnn_options options;
    fnn_generator *gen;
    fnn_draw draw;
    fnn_tensor t;
    if (fnn_sort_args("randint", names, args, n, kwnames, g)) return NULL;
    if (n == 2 && (PyTuple_Check(args[1]) || PyList_Check(args[1]))) { /* randint(high, size) */
        g[1] = NULL;
        g[2] = args[1];
    }
    if (!g[2]) return fnn_missing_arg("randint", "size"), NULL;
    if (!PyTuple_Check(g[2]) && !PyList_Check(g[2]))
        return PyErr_Format(PyExc_TypeError, "randint: size is %s, expected a tuple of ints", Py_TYPE(g[2])->tp_name), NULL;
    if (fnn_as_generator(g[3], &gen) || fnn_read_options("randint", g[5], g[7], g[6], g[8], g[9], g[4], &options)) return NULL;
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : FNN_I64;
    if (read_bounds("randint", g[0], g[1], dtype, &draw) || fnn_new_sized("randint", g[2], dtype, &t)) return NULL;
    fnn_fill_random(&t, gen, &draw);
    return fnn_finish(&t, &options);
}

static PyObject *randint_like(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "low", "high", "*", "dtype", "layout", "device", "pin_memory", "requires_grad", "memory_format", "generator", NULL};
    (void)m;
    PyObject *g[10];
    fnn_options options;
    fnn_generator *gen;
    fnn_draw draw;
    fnn_tensor t;
    if (fnn_sort_args("randint_like", names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor("randint_like", "input", g[0]);
    if (!input || fnn_as_generator(g[9], &gen) || fnn_read_options("randint_like", g[3], g[5], g[4], g[6], g[7], NULL, &options)) return NULL;
    if (read_bounds("randint_like", g[1], g[2], options.dtype < 0 ? input->dtype : options.dtype, &draw)) return NULL;
    if (fnn_new_like("randint_like", input, options.dtype, g[8], &t)) return NULL;
    fnn_fill_random(&t, gen, &draw);
    return fnn_finish(&t, &options);
}

static PyObject *randperm(PyObject *m, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"n", "*", "generator", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)m;
    PyObject *g[8];
    fnn_options options;
    fnn_generator *gen;
    int64_t n;
    fnn_tensor t;
    if (fnn_sort_args("randperm", names, args, nargs, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("randperm", "n"), NULL;
    if (fnn_as_int(g[0], &n) || fnn_as_generator(g[1], &gen) || fnn_read_options("randperm", g[3], g[5], g[4], g[6], g[7], g[2], &options)) return NULL;
    if (n < 0) return PyErr_Format(PyExc_RuntimeError, "randperm: n must be non-negative, got %lld", (long long)n);
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : FNN_I64;
    if ((dtype == FNN_U8 && n > 256) || (dtype == FNN_I32 && n > INT32_MAX) || (dtype == FNN_F32 && n > (1 << 24) + 1) || dtype == FNN_BOOL)
        return PyErr_Format(PyExc_RuntimeError, "randperm: n=%lld is too large for dtype %s", (long long)n, fnn_dtype_name((fnn_dtype)dtype));
    fnn_status status = fnn_empty(&t, FNN_I64, 1, &n);
    if (status) return fnn_raise(status);
    fnn_generator_lock(gen);
    fnn_rng_randperm(gen, (int64_t *)t.data, n);
    fnn_generator_unlock(gen);
    if (dtype != FNN_I64) {
        fnn_tensor cast;
        status = fnn_cast(&cast, &t, dtype);
        fnn_tensor_unref(&t);
        if (status) return fnn_raise(status);
        t = cast;
    }
    return fnn_finish(&t, &options);
}

/* ---- normal ---- */

/* std: a number in draw->b, or a tensor whose elements must not be negative. */
static int check_std(const fnn_tensor *std) {
    bool good = true;
    fnn_tensor flat;
    fnn_status status = fnn_want_float("normal", "std", std);
    if (!status) status = fnn_contiguous(&flat, std);
    if (status) return fnn_raise(status), -1;
    for (int64_t i = 0; i < flat.numel && good; i++)
        good = !(flat.dtype == FNN_F32 ? ((const float *)flat.data)[i] < 0 : ((const double *)flat.data)[i] < 0);
    fnn_tensor_unref(&flat);
    if (!good) PyErr_SetString(PyExc_RuntimeError, "normal expects all elements of std >= 0.0");
    return good ? 0 : -1;
}

/* z * std + mean, as two rounded steps; mean and std: tensors or numbers, of which the number std is already in z. */
static PyObject *scale_and_shift(PyObject *z, PyObject *mean, PyObject *std) {
    bool mode = fnn_set_grad_mode(false);
    PyObject *scaled = fnn_is_tensor(std) ? PyObject_CallMethod(z, "mul_", "O", std) : Py_NewRef(z);
    PyObject *result = scaled ? PyObject_CallMethod(scaled, "add_", "O", mean) : NULL;
    fnn_set_grad_mode(mode);
    Py_XDECREF(scaled);
    Py_DECREF(z);
    return result;
}

static PyObject *normal_of_tensors(PyObject *mean, PyObject *std, fnn_generator *gen, const fnn_options *options) {
    const fnn_tensor *in[2] = {fnn_is_tensor(mean) ? TENSOR(mean) : NULL, fnn_is_tensor(std) ? TENSOR(std) : NULL};
    fnn_draw draw = unit_normal;
    fnn_tensor t = {0};
    if (in[1] ? check_std(in[1]) : fnn_opt_double("normal", "std", std, &draw.b)) return NULL;
    int dtype = in[0] ? in[0]->dtype : in[1]->dtype;
    if (fnn_check_draw("normal", &draw, dtype)) return NULL;
    fnn_status status = fnn_broadcast("normal", &t, in, 2);
    if (!status) {
        fnn_tensor shape = t;
        status = fnn_empty(&t, (fnn_dtype)dtype, shape.ndim, shape.shape);
    }
    if (status) return fnn_raise(status);
    fnn_fill_random(&t, gen, &draw);
    fnn_options none = {.dtype = -1};
    PyObject *z = fnn_finish(&t, &none), *result = z ? scale_and_shift(z, mean, std) : NULL;
    if (!result || !options->out) return result;
    PyObject *stored = fnn_store_out(options->out, result);
    Py_DECREF(result);
    return stored;
}

static PyObject *normal(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"mean", "std", "size", "*", "generator", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)m;
    PyObject *g[10], *zero = NULL, *one = NULL, *result = NULL;
    fnn_options options;
    fnn_generator *gen;
    fnn_draw draw = unit_normal;
    fnn_tensor t;
    if (fnn_sort_args("normal", names, args, n, kwnames, g)) return NULL;
    if (fnn_as_generator(g[3], &gen) || fnn_read_options("normal", g[5], g[7], g[6], g[8], g[9], g[4], &options)) return NULL;
    if ((g[0] && fnn_is_tensor(g[0])) || (g[1] && fnn_is_tensor(g[1]))) {
        zero = PyFloat_FromDouble(0);
        one = PyFloat_FromDouble(1);
        if (zero && one) result = normal_of_tensors(g[0] ? g[0] : zero, g[1] ? g[1] : one, gen, &options);
        Py_XDECREF(zero);
        Py_XDECREF(one);
        return result;
    }
    if (!g[2]) return fnn_missing_arg("normal", "size"), NULL;
    if (fnn_opt_double("normal", "mean", g[0], &draw.a) || fnn_opt_double("normal", "std", g[1], &draw.b)) return NULL;
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : fnn_default_dtype;
    if (fnn_check_draw("normal", &draw, dtype) || fnn_new_sized("normal", g[2], dtype, &t)) return NULL;
    fnn_fill_random(&t, gen, &draw);
    return fnn_finish(&t, &options);
}

/* ---- bernoulli ---- */

static PyObject *bernoulli(const fnn_tensor *input, PyObject *p, PyObject *generator, PyObject *out) {
    fnn_tensor t;
    fnn_status status = fnn_empty(&t, input->dtype, input->ndim, input->shape); /* row-major whatever the input's layout */
    PyObject *result = status ? fnn_raise(status) : fnn_wrap_leaf(&t, false);
    if (!result) return NULL;
    PyObject *by_input = NULL, *options = NULL, *method = PyObject_GetAttrString(result, "bernoulli_"), *filled = NULL;
    if (!p || p == Py_None) {
        fnn_tensor view;
        fnn_tensor_ref_data(&view, input);
        p = by_input = fnn_wrap(&view);
    }
    PyObject *args = p ? PyTuple_Pack(1, p) : NULL;
    options = Py_BuildValue("{sO}", "generator", generator ? generator : Py_None);
    if (method && args && options) filled = PyObject_Call(method, args, options);
    if (filled && out && out != Py_None) Py_SETREF(filled, fnn_store_out(out, filled));
    Py_XDECREF(by_input);
    Py_XDECREF(options);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_DECREF(result);
    return filled;
}

static PyObject *bernoulli_function(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "p", "*", "generator", "out", NULL};
    (void)m;
    PyObject *g[4];
    if (fnn_sort_args("bernoulli", names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor("bernoulli", "input", g[0]);
    return input ? bernoulli(input, g[1], g[2], g[3]) : NULL;
}

PyObject *fnn_bernoulli_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"p", "*", "generator", NULL};
    PyObject *g[2];
    return fnn_sort_args("bernoulli", names, args, n, kwnames, g) ? NULL : bernoulli(TENSOR(self), g[0], g[1], NULL);
}

/* ---- multinomial ---- */

static fnn_status check_multinomial(const fnn_tensor *p, int64_t k, bool replacement) {
    if (!fnn_dtype_is_float(p->dtype))
        return fnn_fail(FNN_ERR_RUNTIME, "multinomial only supports floating-point dtypes for input, got: %s", fnn_dtype_name(p->dtype));
    if (p->ndim != 1 && p->ndim != 2) return fnn_fail(FNN_ERR_RUNTIME, "multinomial: prob_dist must be 1 or 2 dim, found shape %s", fnn_shape_of(p));
    if (k <= 0) return fnn_fail(FNN_ERR_RUNTIME, "multinomial: cannot sample n_sample <= 0 samples, found %lld", (long long)k);
    int64_t classes = p->shape[p->ndim - 1];
    if (!replacement && k > classes)
        return fnn_fail(FNN_ERR_RUNTIME, "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement, found %lld > %lld",
                        (long long)k, (long long)classes);
    if (classes > 1 << 24) return fnn_fail(FNN_ERR_RUNTIME, "multinomial: number of categories cannot exceed 2^24, found %lld", (long long)classes);
    return FNN_OK;
}

typedef struct choice {
    int64_t rows, classes, k;
    bool replacement, by_column;
} choice;

/* p: row-major. ratios or cumulative sums go to work, which has p's size. */
#define CHOOSE(T, t)                                                                                                       \
    static fnn_status choose_##t(int64_t *out, const T *p, T *work, fnn_ranked *scratch, const choice *c, fnn_generator *gen) { \
        FNN_TRY(fnn_multinomial_check_##t(p, c->rows, c->classes, c->k, c->replacement));                                 \
        fnn_generator_lock(gen);                                                                                          \
        if (fnn_multinomial_by_ratio(c->k, c->replacement)) {                                                             \
            fnn_rng_multinomial_ratio_##t(gen, work, p, c->rows, c->classes, c->by_column);                               \
            fnn_multinomial_largest_##t(out, work, scratch, c->rows, c->classes, c->k);                                   \
        } else {                                                                                                          \
            fnn_rng_multinomial_cumulative_##t(gen, out, p, work, c->rows, c->classes, c->k);                             \
        }                                                                                                                 \
        fnn_generator_unlock(gen);                                                                                        \
        return FNN_OK;                                                                                                    \
    }
CHOOSE(float, f32)
CHOOSE(double, f64)

static fnn_status choose(fnn_tensor *out, const fnn_tensor *input, int64_t k, bool replacement, fnn_generator *gen) {
    int perm[FNN_MAX_DIMS];
    fnn_memory_order(input, perm);
    choice c = {.rows = input->ndim == 2 ? input->shape[0] : 1, .classes = input->shape[input->ndim - 1], .k = k, .replacement = replacement};
    c.by_column = input->ndim == 2 && perm[0] == 0; /* the draws follow the memory of a tensor like the input */
    int64_t shape[2] = {c.rows, k};
    fnn_tensor p, work = {0}, scratch = {0};
    FNN_TRY(fnn_contiguous(&p, input));
    fnn_status status = fnn_empty(out, FNN_I64, input->ndim, input->ndim == 2 ? shape : shape + 1);
    if (!status) status = fnn_empty(&work, p.dtype, p.ndim, p.shape);
    if (!status) status = fnn_empty(&scratch, FNN_U8, 1, &(int64_t){c.classes * (int64_t)sizeof(fnn_ranked)});
    if (!status && p.dtype == FNN_F32)
        status = choose_f32((int64_t *)out->data, (const float *)p.data, (float *)work.data, (fnn_ranked *)scratch.data, &c, gen);
    else if (!status)
        status = choose_f64((int64_t *)out->data, (const double *)p.data, (double *)work.data, (fnn_ranked *)scratch.data, &c, gen);
    fnn_tensor_unref(&p);
    fnn_tensor_unref(&work);
    fnn_tensor_unref(&scratch);
    if (status) fnn_tensor_unref(out);
    return status;
}

static PyObject *multinomial(const fnn_tensor *input, PyObject *num_samples, PyObject *replacement, PyObject *generator, PyObject *out) {
    int64_t k;
    bool again = false;
    fnn_generator *gen;
    fnn_tensor t = {0};
    fnn_options options = {.dtype = -1, .out = out == Py_None ? NULL : out};
    if (!num_samples) return fnn_missing_arg("multinomial", "num_samples"), NULL;
    if (fnn_as_int(num_samples, &k) || fnn_opt_bool("multinomial", "replacement", replacement, &again) || fnn_as_generator(generator, &gen)) return NULL;
    fnn_status status = check_multinomial(input, k, again);
    if (!status) status = choose(&t, input, k, again, gen);
    return status ? fnn_raise(status) : fnn_finish(&t, &options);
}

static PyObject *multinomial_function(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"input", "num_samples", "replacement", "*", "generator", "out", NULL};
    (void)m;
    PyObject *g[5];
    if (fnn_sort_args("multinomial", names, args, n, kwnames, g)) return NULL;
    const fnn_tensor *input = fnn_arg_tensor("multinomial", "input", g[0]);
    return input ? multinomial(input, g[1], g[2], g[3], g[4]) : NULL;
}

PyObject *fnn_multinomial_method(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"num_samples", "replacement", "*", "generator", NULL};
    PyObject *g[3];
    return fnn_sort_args("multinomial", names, args, n, kwnames, g) ? NULL : multinomial(TENSOR(self), g[0], g[1], g[2], NULL);
}

/* ---- the default generator ---- */

static PyObject *manual_seed(PyObject *m, PyObject *seed) {
    (void)m;
    PyObject *number = PyNumber_Long(seed); /* torch takes int(seed) */
    PyObject *result = number ? PyObject_CallMethod(fnn_default_generator_object, "manual_seed", "O", number) : NULL;
    Py_XDECREF(number);
    return result;
}
static PyObject *seed(PyObject *m, PyObject *unused) { return (void)m, (void)unused, PyObject_CallMethod(fnn_default_generator_object, "seed", NULL); }
static PyObject *initial_seed(PyObject *m, PyObject *unused) { return (void)m, (void)unused, PyObject_CallMethod(fnn_default_generator_object, "initial_seed", NULL); }
static PyObject *get_rng_state(PyObject *m, PyObject *unused) { return (void)m, (void)unused, PyObject_CallMethod(fnn_default_generator_object, "get_state", NULL); }
static PyObject *set_rng_state(PyObject *m, PyObject *state) {
    (void)m;
    PyObject *done = PyObject_CallMethod(fnn_default_generator_object, "set_state", "O", state);
    if (!done) return NULL;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

#define OPTIONS "generator=None, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False"

static PyMethodDef functions[] = {
    {"rand", FAST(rand_), "rand($module, *size, " OPTIONS ")\n--\n\nUniform numbers from [0, 1)."},
    {"randn", FAST(randn), "randn($module, *size, " OPTIONS ")\n--\n\nNormal numbers of mean 0 and deviation 1."},
    {"rand_like", FAST(rand_like), "rand_like($module, input, *, dtype=None, generator=None)\n--\n\nUniform numbers in input's shape."},
    {"randn_like", FAST(randn_like), "randn_like($module, input, *, dtype=None, generator=None)\n--\n\nNormal numbers in input's shape."},
    {"randint", FAST(randint), "randint($module, low=0, high=None, size=None, *, " OPTIONS ")\n--\n\nIntegers from [low, high)."},
    {"randint_like", FAST(randint_like), "randint_like($module, input, low=0, high=None, *, dtype=None, generator=None)\n--\n\nIntegers in input's shape."},
    {"randperm", FAST(randperm), "randperm($module, n, *, " OPTIONS ")\n--\n\nA random permutation of 0..n-1."},
    {"normal", FAST(normal), "normal($module, mean=0.0, std=1.0, size=None, *, " OPTIONS ")\n--\n\nNormal numbers; mean and std may be tensors."},
    {"bernoulli", FAST(bernoulli_function), "bernoulli($module, input, p=None, *, generator=None, out=None)\n--\n\n1 with input's probabilities, else 0."},
    {"multinomial", FAST(multinomial_function), "multinomial($module, input, num_samples, replacement=False, *, generator=None, out=None)\n--\n\n"
                                                "Indices drawn with the weights in each row of input."},
    {"manual_seed", manual_seed, METH_O, "manual_seed($module, seed, /)\n--\n\nRestarts the default generator from a seed; gives it."},
    {"seed", seed, METH_NOARGS, "seed($module, /)\n--\n\nRestarts the default generator from a seed of the system; gives the seed."},
    {"initial_seed", initial_seed, METH_NOARGS, "initial_seed($module, /)\n--\n\nThe seed the default generator was last started from."},
    {"get_rng_state", get_rng_state, METH_NOARGS, "get_rng_state($module, /)\n--\n\nThe default generator's state."},
    {"set_rng_state", set_rng_state, METH_O, "set_rng_state($module, new_state, /)\n--\n\nContinues the default generator from a state."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_random(PyObject *module) { return PyModule_AddFunctions(module, functions); }
