/* Tensors whose values are a formula of the index: arange, linspace, logspace, eye.
 *
 * Invariant: counts and values are torch's: arange computes start + i * step in double precision (integers in integers);
 * linspace counts from both ends, so that it is symmetric and hits both exactly. */
#include "factory.h"

#include <math.h>
#include <string.h>

/* ---- arange ---- */

static int64_t arange_count(const fnn_number_slot *start, const fnn_number_slot *end, const fnn_number_slot *step, int dtype) {
    double a = fnn_slot_double(start), b = fnn_slot_double(end), s = fnn_slot_double(step);
    if (s == 0) return PyErr_SetString(PyExc_RuntimeError, "arange: step must be nonzero"), -1;
    if (!isfinite(a) || !isfinite(b)) return PyErr_SetString(PyExc_RuntimeError, "arange: unsupported range: start and end must be finite"), -1;
    if ((s > 0 && b < a) || (s < 0 && b > a)) return PyErr_SetString(PyExc_RuntimeError, "arange: upper bound and lower bound inconsistent with step sign"), -1;
    if (dtype == FNN_I64) {
        int64_t from = start->t.dtype == FNN_F64 ? (int64_t)a : start->value.i, to = end->t.dtype == FNN_F64 ? (int64_t)b : end->value.i;
        int64_t by = step->t.dtype == FNN_F64 ? (int64_t)s : step->value.i;
        if (by == 0) return PyErr_SetString(PyExc_RuntimeError, "arange: step must be nonzero"), -1;
        return (to - from + by - (by > 0 ? 1 : -1)) / by;
    }
    double count = ceil((b - a) / s);
    if (!(count < 9e18)) return PyErr_SetString(PyExc_RuntimeError, "arange: invalid size, possible overflow?"), -1;
    return (int64_t)count;
}

static int64_t slot_int(const fnn_number_slot *s) { return s->t.dtype == FNN_F64 ? (int64_t)s->value.f : s->t.dtype == FNN_BOOL ? s->value.b : s->value.i; }

/* torch's own rounding: full pairs of vectors count on from the (rounded) value of their first lane, the rest counts from the
 * start; every product is fused. LANES: how many numbers torch's vectors hold on AVX2, and keep on AVX-512. */
#define RAMP_REAL(T, LANES)                                                                        \
    do {                                                                                           \
        T *p = (T *)t->data;                                                                       \
        int64_t whole = t->numel - t->numel % (2 * LANES);                                         \
        for (int64_t i = 0; i < whole; i += LANES) {                                               \
            double first = (T)fma(step, (double)i, start);                                         \
            for (int k = 0; k < LANES; k++) p[i + k] = (T)fma((double)k, step, first);             \
        }                                                                                          \
        for (int64_t i = whole; i < t->numel; i++) p[i] = (T)fma(step, (double)i, start);          \
    } while (0)

static void ramp_real(fnn_tensor *t, double start, double step) {
    if (t->dtype == FNN_F32)
        RAMP_REAL(float, 8);
    else
        RAMP_REAL(double, 4);
}

static void ramp_int(fnn_tensor *t, int64_t start, int64_t step) {
    for (int64_t i = 0; i < t->numel; i++) {
        int64_t x = start + step * i;
        switch (t->dtype) {
        case FNN_I64: ((int64_t *)t->data)[i] = x; break;
        case FNN_I32: ((int32_t *)t->data)[i] = (int32_t)x; break;
        default: ((uint8_t *)t->data)[i] = (uint8_t)x;
        }
    }
}

static PyObject *arange(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"start", "end", "step", "*", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)m;
    PyObject *g[9];
    fnn_options options;
    fnn_number_slot start = {.t = {.dtype = FNN_I64}}, end, step = {.t = {.dtype = FNN_I64}, .value = {.i = 1}};
    fnn_tensor t;
    if (fnn_sort_args("arange", names, args, n, kwnames, g)) return NULL;
    if (n == 1 && !g[1]) { /* arange(end) */
        g[1] = g[0];
        g[0] = NULL;
    }
    if (!g[1]) return fnn_missing_arg("arange", "end"), NULL;
    if (fnn_read_options("arange", g[4], g[6], g[5], g[7], g[8], g[3], &options)) return NULL;
    if (fnn_as_scalar("arange", "end", g[1], &end) || (g[0] && fnn_as_scalar("arange", "start", g[0], &start)) ||
        (g[2] && fnn_as_scalar("arange", "step", g[2], &step)))
        return NULL;
    bool floats = start.t.dtype == FNN_F64 || end.t.dtype == FNN_F64 || step.t.dtype == FNN_F64;
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : floats ? fnn_default_dtype : FNN_I64;
    if (dtype == FNN_BOOL) return PyErr_SetString(PyExc_NotImplementedError, "\"arange\" not implemented for 'Bool'"), NULL;
    int64_t count = arange_count(&start, &end, &step, dtype);
    if (count < 0) return NULL;
    fnn_status status = fnn_empty(&t, (fnn_dtype)dtype, 1, &count);
    if (status) return fnn_raise(status);
    if (fnn_dtype_is_float(dtype))
        ramp_real(&t, fnn_slot_double(&start), fnn_slot_double(&step));
    else
        ramp_int(&t, slot_int(&start), slot_int(&step));
    return fnn_finish(&t, &options);
}

/* ---- linspace, logspace ---- */

/* i-th of n points: from the start in the first half, from the end in the second; fused, as torch's are. */
static double point(double start, double end, double step, int64_t n, int64_t i) {
    return i < n / 2 ? fma(step, (double)i, start) : fma(-step, (double)(n - i - 1), end);
}
static float point_f32(float start, float end, float step, int64_t n, int64_t i) {
    return i < n / 2 ? fmaf(step, (float)i, start) : fmaf(-step, (float)(n - i - 1), end);
}

/* base 0: the points themselves; otherwise base to their power. */
static void points_f32(float *p, int64_t n, float start, float end, float base) {
    float step = n > 1 ? (end - start) / (float)(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        float x = n == 1 ? start : point_f32(start, end, step, n, i);
        p[i] = base != 0 ? powf(base, x) : x;
    }
}
static void points_f64(double *p, int64_t n, double start, double end, double base) {
    double step = n > 1 ? (end - start) / (double)(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        double x = n == 1 ? start : point(start, end, step, n, i);
        p[i] = base != 0 ? pow(base, x) : x;
    }
}
/* Integers: computed in double precision and cut towards zero. */
static void points_int(fnn_tensor *t, int64_t start, int64_t end, double base) {
    int64_t n = t->numel;
    double step = n > 1 ? ((double)end - (double)start) / (double)(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        double x = n == 1 ? (double)start : point((double)start, (double)end, step, n, i);
        if (base != 0) x = pow(base, x);
        switch (t->dtype) {
        case FNN_I64: ((int64_t *)t->data)[i] = (int64_t)x; break;
        case FNN_I32: ((int32_t *)t->data)[i] = (int32_t)x; break;
        default: ((uint8_t *)t->data)[i] = (uint8_t)(int64_t)x;
        }
    }
}

static PyObject *spaced(const char *function, bool log, PyObject *const *args, Py_ssize_t n, PyObject *kwnames) {
    static const char *const names[] = {"start", "end", "steps", "base", "*", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    PyObject *g[10];
    fnn_options options;
    fnn_number_slot start, end;
    fnn_tensor t;
    int64_t steps;
    double base = 10;
    if (fnn_sort_args(function, names, args, n, kwnames, g)) return NULL;
    if (!log && g[3]) return PyErr_Format(PyExc_TypeError, "%s() takes no argument 'base'", function);
    if (!g[0] || !g[1] || !g[2]) return fnn_missing_arg(function, !g[0] ? "start" : !g[1] ? "end" : "steps"), NULL;
    if (fnn_as_scalar(function, "start", g[0], &start) || fnn_as_scalar(function, "end", g[1], &end) || fnn_as_int(g[2], &steps) ||
        fnn_opt_double(function, "base", g[3], &base) || fnn_read_options(function, g[5], g[7], g[6], g[8], g[9], g[4], &options))
        return NULL;
    if (steps < 0) return PyErr_Format(PyExc_RuntimeError, "%s: number of steps must be non-negative, found %lld", function, (long long)steps);
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : fnn_default_dtype;
    if (dtype == FNN_BOOL) return PyErr_Format(PyExc_NotImplementedError, "\"%s\" not implemented for 'Bool'", function);
    fnn_status status = fnn_empty(&t, (fnn_dtype)dtype, 1, &steps);
    if (status) return fnn_raise(status);
    if (!log) base = 0;
    if (dtype == FNN_F32)
        points_f32((float *)t.data, steps, (float)fnn_slot_double(&start), (float)fnn_slot_double(&end), (float)base);
    else if (dtype == FNN_F64)
        points_f64((double *)t.data, steps, fnn_slot_double(&start), fnn_slot_double(&end), base);
    else
        points_int(&t, slot_int(&start), slot_int(&end), base);
    return fnn_finish(&t, &options);
}

static PyObject *linspace(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, spaced("linspace", false, args, n, kw); }
static PyObject *logspace(PyObject *m, PyObject *const *args, Py_ssize_t n, PyObject *kw) { return (void)m, spaced("logspace", true, args, n, kw); }

/* ---- eye ---- */

static PyObject *eye(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"n", "m", "*", "out", "dtype", "layout", "device", "pin_memory", "requires_grad", NULL};
    (void)mod;
    PyObject *g[8];
    fnn_options options;
    int64_t shape[2];
    fnn_tensor t;
    if (fnn_sort_args("eye", names, args, nargs, kwnames, g)) return NULL;
    if (!g[0]) return fnn_missing_arg("eye", "n"), NULL;
    if (fnn_as_int(g[0], &shape[0]) || fnn_as_int(g[1] && g[1] != Py_None ? g[1] : g[0], &shape[1])) return NULL;
    if (shape[0] < 0 || shape[1] < 0)
        return PyErr_Format(PyExc_RuntimeError, "eye: n and m must be greater or equal to 0, got %lld and %lld", (long long)shape[0], (long long)shape[1]);
    if (fnn_read_options("eye", g[3], g[5], g[4], g[6], g[7], g[2], &options)) return NULL;
    int dtype = options.dtype >= 0 ? options.dtype : options.out ? TENSOR(options.out)->dtype : fnn_default_dtype;
    fnn_status status = fnn_empty(&t, (fnn_dtype)dtype, 2, shape);
    if (status) return fnn_raise(status);
    memset(t.data, 0, (size_t)t.numel * fnn_itemsize[dtype]);
    static const fnn_number_slot one = {.t = {.dtype = FNN_I64}, .value = {.i = 1}};
    for (int64_t i = 0; i < shape[0] && i < shape[1]; i++) {
        fnn_tensor cell = {.data = t.data + i * (shape[1] + 1) * fnn_itemsize[dtype], .numel = 1, .dtype = (uint8_t)dtype};
        fnn_fill_number(&cell, &one);
    }
    return fnn_finish(&t, &options);
}

#define OPTIONS "out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False"

static PyMethodDef functions[] = {
    {"arange", FAST(arange), "arange($module, start=0, end=None, step=1, *, " OPTIONS ")\n--\n\nstart, start + step, ... below end. arange(end) counts from 0."},
    {"linspace", FAST(linspace), "linspace($module, start, end, steps, *, " OPTIONS ")\n--\n\nEvenly spaced points, both ends included."},
    {"logspace", FAST(logspace), "logspace($module, start, end, steps, base=10.0, *, " OPTIONS ")\n--\n\nbase to the power of evenly spaced points."},
    {"eye", FAST(eye), "eye($module, n, m=None, *, " OPTIONS ")\n--\n\nOnes on the diagonal, zeros elsewhere."},
    {NULL, NULL, 0, NULL},
};

int fnn_init_ranges(PyObject *module) { return PyModule_AddFunctions(module, functions); }
