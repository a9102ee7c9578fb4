/* The backward half of fastnn.kernels: from (dy, saved) to gradients as arrays; see kernels.h.
 *
 * Builds the same fnn_backcall that the tape would build and calls the same function, so the bits are the tape's.
 * Invariant: gradients nobody needs are not computed. */
#include <string.h>

#include "kernels.h"

/* Everything a backcall points to. */
typedef struct frame {
    fnn_borrowed dy_arrays[FNN_MAX_OUT], saved_arrays[FNN_MAX_IN + FNN_MAX_OUT + FNN_MAX_EXTRA];
    int n_saved;
    fnn_tensor copies[FNN_MAX_OUT + FNN_MAX_EXTRA]; /* contiguous ones of saved outputs and extras */
    int n_copies;
    fnn_tensor in[FNN_MAX_IN], out[FNN_MAX_OUT], extra[FNN_MAX_EXTRA], dx[FNN_MAX_IN];
    const fnn_tensor *dys[FNN_MAX_OUT];
    double numbers[FNN_MAX_OUT]; /* gradients given as Python numbers */
    bool need[FNN_MAX_IN];
    fnn_target targets[FNN_MAX_IN];
} frame;

static bool differentiable(const fnn_record *r, int i) {
    const fnn_geom *g = &fnn_record_in(r)[i];
    return g->ndim != FNN_ABSENT && fnn_dtype_is_float(g->dtype) && !(r->op->no_grad_in >> i & 1);
}

static fnn_tensor shape_of(const fnn_geom *g) {
    fnn_tensor t = {.dtype = g->dtype};
    fnn_tensor_set_geometry(&t, g->ndim, g->shape, NULL);
    return t;
}

static int check_geometry(const fnn_pair *p, const char *what, const fnn_tensor *t, const fnn_geom *g) {
    bool same = t->dtype == g->dtype && t->ndim == g->ndim;
    for (int d = 0; d < g->ndim && same; d++) same = t->shape[d] == g->shape[d];
    if (same) return 0;
    fnn_tensor want = shape_of(g);
    PyErr_Format(PyExc_RuntimeError, "%s: %s has shape %s and dtype %s, expected %s and %s as in forward", p->backward, what, fnn_shape_of(t),
                 fnn_dtype_name(t->dtype), fnn_shape_of(&want), fnn_dtype_name(g->dtype));
    return -1;
}

/* ---- saved ---- */

static int read_one(const fnn_pair *p, PyObject *saved, int at, const fnn_geom *g, bool contiguous, fnn_tensor *t, frame *f) {
    const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(p->fields, at));
    fnn_borrowed *b = &f->saved_arrays[at];
    if (!name || fnn_read_array(p->backward, name, PyTuple_GET_ITEM(saved, at), 0, b) || check_geometry(p, name, &b->t, g)) return -1;
    *t = b->t;
    if (!contiguous || t->contiguous) return 0;
    fnn_tensor *copy = &f->copies[f->n_copies];
    fnn_status status = fnn_contiguous(copy, &b->t);
    if (status) return fnn_raise(status), -1;
    f->n_copies++;
    *t = *copy;
    return 0;
}

/* Inputs that the gradients of this call's inputs could need; others may be anything. */
static unsigned used_inputs(const fnn_record *r) {
    unsigned bits = 0;
    for (int i = 0; i < r->op->n_in; i++)
        if (differentiable(r, i)) bits |= r->op->save_in[i];
    return bits;
}

static int read_saved(const fnn_pair *p, const fnn_record *r, PyObject *saved, frame *f) {
    const fnn_op *op = p->op;
    const fnn_geom *in = fnn_record_in(r), *out = fnn_record_out(r), *extra = fnn_record_extra(r);
    unsigned used = used_inputs(r);
    f->n_saved = (int)PyTuple_GET_SIZE(p->fields);
    for (int i = 0; i < f->n_saved; i++) f->saved_arrays[i].array = NULL;
    int at = 0;
    for (int i = 0; i < op->n_in; i++)
        if (p->kept >> i & 1) {
            if ((used >> i & 1) && in[i].ndim != FNN_ABSENT && read_one(p, saved, at, &in[i], false, &f->in[i], f)) return -1;
            at++;
        }
    for (int i = 0; i < op->n_out; i++)
        if ((op->save_out >> i & 1) && read_one(p, saved, at++, &out[i], r->contiguous >> i & 1, &f->out[i], f)) return -1;
    for (int i = 0; i < op->n_extra; i++, at++)
        if (extra[i].ndim != FNN_ABSENT && read_one(p, saved, at, &extra[i], true, &f->extra[i], f)) return -1;
    return 0;
}

/* ---- dy ---- */

/* A Python number stands for a 0-d gradient. */
static void borrow_number(fnn_borrowed *b, double *slot, double value, int dtype) {
    float narrow = (float)value;
    if (dtype == FNN_F32)
        memcpy(slot, &narrow, sizeof narrow);
    else
        *slot = value;
    b->t = (fnn_tensor){.dtype = (uint8_t)dtype};
    fnn_tensor_set_geometry(&b->t, 0, NULL, NULL);
    fnn_borrow_memory(b, slot, sizeof *slot, true);
}

static int read_dy(const fnn_pair *p, const fnn_geom *g, PyObject *o, int i, frame *f) {
    fnn_borrowed *b = &f->dy_arrays[i];
    PyObject *array = NULL;
    int dtype;
    if (o == Py_None) return 0;
    if (PyFloat_CheckExact(o) || PyLong_CheckExact(o)) {
        double value = PyFloat_AsDouble(o);
        if (value == -1 && PyErr_Occurred()) return -1;
        borrow_number(b, &f->numbers[i], value, g->dtype);
    } else {
        if (fnn_is_numpy_scalar(o, &dtype) && !(array = PyObject_CallMethod(o, "__array__", NULL))) return -1;
        int failed = fnn_read_array(p->backward, "dy", array ? array : o, 0, b);
        Py_XDECREF(array);
        if (failed) return -1;
    }
    f->dys[i] = &b->t;
    return check_geometry(p, "dy", &b->t, g);
}

static int read_dys(const fnn_pair *p, const fnn_record *r, PyObject *dy, frame *f) {
    const fnn_geom *g = fnn_record_out(r);
    if (p->n_given == 1) return read_dy(p, &g[0], dy, 0, f);
    if (!PyTuple_Check(dy) || PyTuple_GET_SIZE(dy) != p->n_given) {
        PyErr_Format(PyExc_TypeError, "%s: dy must be a tuple of %d arrays or None, not %.100s", p->backward, p->n_given, Py_TYPE(dy)->tp_name);
        return -1;
    }
    for (int i = 0; i < p->n_given; i++)
        if (read_dy(p, &g[i], PyTuple_GET_ITEM(dy, i), i, f)) return -1;
    return 0;
}

/* ---- need and out ---- */

static int bit_of(const fnn_pair *p, PyObject *name) {
    for (int i = 0; i < p->op->n_in; i++)
        if ((p->wanted >> i & 1) && PyTuple_GET_ITEM(p->inputs, i) == name) return i;
    for (int i = 0; i < p->op->n_in && PyUnicode_Check(name); i++)
        if ((p->wanted >> i & 1) && PyUnicode_Compare(PyTuple_GET_ITEM(p->inputs, i), name) == 0) return i;
    return -1;
}

static int unknown_name(const fnn_pair *p, PyObject *name) {
    PyObject *list = PyList_New(0), *comma = PyUnicode_FromString(", "), *text = NULL;
    for (int i = 0; i < p->op->n_in && list; i++)
        if ((p->wanted >> i & 1) && PyList_Append(list, PyTuple_GET_ITEM(p->inputs, i))) Py_CLEAR(list);
    if (list && comma) text = PyUnicode_Join(comma, list);
    if (text) PyErr_Format(PyExc_ValueError, "%s: need names %R, expected some of: %U", p->backward, name, text);
    Py_XDECREF(list);
    Py_XDECREF(comma);
    Py_XDECREF(text);
    return -1;
}

static int read_need(const fnn_pair *p, const fnn_record *r, PyObject *need, frame *f) {
    unsigned bits = p->wanted;
    if (need != Py_None) {
        if (!PyTuple_Check(need)) {
            PyErr_Format(PyExc_TypeError, "%s(): argument 'need' must be a tuple of argument names, not %.100s", p->backward, Py_TYPE(need)->tp_name);
            return -1;
        }
        bits = 0;
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(need); k++) {
            int i = bit_of(p, PyTuple_GET_ITEM(need, k));
            if (i < 0) return unknown_name(p, PyTuple_GET_ITEM(need, k));
            bits |= 1U << i;
        }
    }
    for (int i = 0; i < p->op->n_in; i++) f->need[i] = (bits >> i & 1) && differentiable(r, i);
    return 0;
}

static int check_target(const fnn_pair *p, int k, int n, int i, const frame *f) {
    const fnn_target *t = &f->targets[i];
    for (int j = 0; j < p->n_given; j++)
        if (fnn_check_apart(p->backward, k, n, t, "dy", &f->dy_arrays[j])) return -1;
    for (int j = 0; j < f->n_saved; j++)
        if (fnn_check_apart(p->backward, k, n, t, PyUnicode_AsUTF8(PyTuple_GET_ITEM(p->fields, j)), &f->saved_arrays[j])) return -1;
    for (int j = 0; j < i; j++)
        if (fnn_check_apart(p->backward, k, n, t, "another entry of out", &f->targets[j].b)) return -1;
    return 0;
}

/* out has an entry for each gradient that is ever given. */
static int read_out(const fnn_pair *p, const fnn_record *r, PyObject *out, frame *f) {
    PyObject *given[FNN_MAX_IN];
    int n = 0, k = 0;
    if (out == Py_None) return 0;
    for (int i = 0; i < p->op->n_in; i++) n += p->wanted >> i & 1;
    if (fnn_split_out(p->backward, out, n, given)) return -1;
    for (int i = 0; i < p->op->n_in; i++) {
        if (!(p->wanted >> i & 1)) continue;
        if (given[k] && !f->need[i]) {
            PyErr_Format(PyExc_ValueError, "%s: out[%d] is given for %U, which gets no gradient in this call", p->backward, k, PyTuple_GET_ITEM(p->inputs, i));
            return -1;
        }
        if (given[k]) {
            fnn_tensor like = shape_of(&fnn_record_in(r)[i]);
            if (fnn_read_target(p->backward, k, n, given[k], &like, &f->targets[i]) || check_target(p, k, n, i, f)) return -1;
        }
        k++;
    }
    return 0;
}

/* ---- running ---- */

static fnn_status run(const fnn_pair *p, const fnn_record *r, frame *f) {
    fnn_backcall b = {.op = p->op, .n_in = p->op->n_in, .n_out = p->op->n_out, .attrs = &r->attrs, .dy = f->dys, .in = f->in, .out = f->out,
                      .extra = f->extra, .in_geom = fnn_record_in(r), .out_geom = fnn_record_out(r), .need = f->need, .dx = f->dx};
    bool dy = false, any = false; /* as on the tape, backward is not asked when no gradient arrives: then all are zero */
    for (int i = 0; i < p->n_given; i++) dy |= f->dys[i] != NULL;
    for (int i = 0; i < p->op->n_in; i++) any |= f->need[i];
    return dy && any ? fnn_run_backward(&b, NULL) : FNN_OK;
}

/* A gradient may be handed out as it is: it has memory of its own, and no two indices meet on one element. */
static bool is_own(const frame *f, int i) {
    const fnn_tensor *dx = &f->dx[i];
    if (fnn_is_borrowed(dx->storage) || fnn_has_overlap(dx)) return false;
    for (int k = 0; k < FNN_MAX_IN; k++)
        if (k != i && f->dx[k].storage == dx->storage) return false;
    return true;
}

/* Gradient i as an array: the caller's, or one that only the caller will know. */
static PyObject *give(const fnn_record *r, frame *f, int i) {
    fnn_tensor *dx = &f->dx[i];
    fnn_target *t = &f->targets[i];
    bool large = dx->data && dx->numel * fnn_itemsize[dx->dtype] > FNN_SMALL_ARRAY;
    if (!t->given && large && is_own(f, i)) return fnn_share_array(dx);
    if (!t->given) {
        fnn_tensor like = shape_of(&fnn_record_in(r)[i]);
        if (fnn_new_array(&like, &t->b)) return NULL;
    }
    fnn_status status = FNN_OK;
    if (!dx->data)
        status = fnn_fill_zero(&t->b.t);
    else if (dx->contiguous && t->b.t.contiguous)
        memcpy(t->b.t.data, dx->data, (size_t)(dx->numel * fnn_itemsize[dx->dtype]));
    else
        status = fnn_copy_into(&t->b.t, dx);
    return status ? fnn_raise(status) : fnn_finish_target(t);
}

static PyObject *gradients(const fnn_pair *p, const fnn_record *r, frame *f) {
    int n = 0, k = 0;
    for (int i = 0; i < p->op->n_in; i++) n += p->wanted >> i & 1;
    PyObject *tuple = n > 1 ? PyTuple_New(n) : NULL;
    if (n > 1 && !tuple) return NULL;
    for (int i = 0; i < p->op->n_in; i++) {
        if (!(p->wanted >> i & 1)) continue;
        PyObject *array = f->need[i] ? give(r, f, i) : Py_NewRef(Py_None);
        if (n == 1) return array;
        if (!array) return Py_DECREF(tuple), NULL;
        PyTuple_SET_ITEM(tuple, k++, array);
    }
    return tuple;
}

static void start(const fnn_pair *p, frame *f) {
    for (int i = 0; i < p->op->n_in; i++) {
        f->in[i] = f->dx[i] = (fnn_tensor){0};
        f->targets[i].b.array = f->targets[i].given = NULL;
    }
    for (int i = p->op->n_in; i < FNN_MAX_IN; i++) f->dx[i].storage = NULL;
    for (int i = 0; i < p->op->n_out; i++) {
        f->out[i] = (fnn_tensor){0};
        f->dys[i] = NULL;
        f->dy_arrays[i].array = NULL;
    }
    for (int i = 0; i < p->op->n_extra; i++) f->extra[i] = (fnn_tensor){0};
    f->n_saved = f->n_copies = 0;
}

static void finish(const fnn_pair *p, frame *f) {
    for (int i = 0; i < p->op->n_in; i++) {
        fnn_tensor_unref(&f->dx[i]);
        fnn_drop_target(&f->targets[i]);
    }
    for (int i = 0; i < p->op->n_out; i++) fnn_give_back(&f->dy_arrays[i]);
    for (int i = 0; i < f->n_saved; i++) fnn_give_back(&f->saved_arrays[i]);
    for (int i = 0; i < f->n_copies; i++) fnn_tensor_unref(&f->copies[i]);
}

PyObject *fnn_pair_backward(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    const fnn_pair *p = (fnn_pair *)self;
    if (n != 4) return PyErr_Format(PyExc_TypeError, "%s: found %zd arguments, expected dy, saved, need, out", p->backward, n);
    PyObject *saved = args[1];
    if (Py_TYPE(saved) != p->saved)
        return PyErr_Format(PyExc_TypeError, "%s(): argument 'saved' must come from %s_forward, not %.100s", p->backward, p->forward, Py_TYPE(saved)->tp_name);
    const fnn_record *r = (fnn_record *)PyTuple_GET_ITEM(saved, PyTuple_GET_SIZE(saved) - 1);
    if (PyTuple_GET_SIZE(saved) != PyTuple_GET_SIZE(p->fields) + 1 || Py_TYPE(r) != fnn_RecordType || r->op != p->op)
        return PyErr_Format(PyExc_TypeError, "%s: saved does not come from %s_forward", p->backward, p->forward);
    frame f;
    PyObject *result = NULL;
    start(p, &f);
    if (!read_saved(p, r, saved, &f) && !read_dys(p, r, args[0], &f) && !read_need(p, r, args[2], &f) && !read_out(p, r, args[3], &f)) {
        fnn_status status = run(p, r, &f);
        result = status ? fnn_raise(status) : gradients(p, r, &f);
    }
    finish(p, &f);
    return result;
}
