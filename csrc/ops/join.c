/* Joining tensors: cat along a dimension they have, stack along a new one.
 *
 * attrs: v[0].i dim. in[] is a list; the result's dtype is the promotion of all of them, its layout contiguous. As in torch,
 * cat passes over 1-D tensors without elements, whatever the shape of the others.
 * Invariant: a piece lies in the result as one block per position of the dimensions before dim. Gradients are views of dy. */
#include <string.h>

#include "core/threads.h"
#include "op.h"

#define CHUNK 32768     /* bytes a thread copies at a time */
#define NS_PER_BYTE 0.1 /* what copying costs */

/* ---- plans ---- */

static bool passed_over(int ndim, const int64_t *shape) { return ndim == 1 && !shape[0]; }

static fnn_status check_piece(const fnn_tensor *t, const fnn_tensor *first, int64_t dim, int i) {
    if (t->ndim != first->ndim)
        return fnn_fail(FNN_ERR_RUNTIME, "cat: Tensors must have same number of dimensions: got %d and %d", first->ndim, t->ndim);
    for (int d = 0; d < t->ndim; d++)
        if (d != dim && t->shape[d] != first->shape[d])
            return fnn_fail(FNN_ERR_RUNTIME, "cat: Sizes of tensors must match except in dimension %lld. Expected size %lld but got size %lld for "
                                             "tensor number %d in the list.",
                            (long long)dim, (long long)first->shape[d], (long long)t->shape[d], i);
    return FNN_OK;
}

static fnn_status plan_cat(fnn_call *c) {
    int64_t dim = c->attrs->v[0].i, total = 0, shape[FNN_MAX_DIMS] = {0};
    const fnn_tensor *first = NULL;
    if (!c->n_in) return fnn_fail(FNN_ERR_VALUE, "cat: expected a non-empty list of Tensors");
    for (int i = 0; i < c->n_in; i++) {
        const fnn_tensor *t = c->in[i];
        if (!t->ndim) return fnn_fail(FNN_ERR_RUNTIME, "cat: zero-dimensional tensor (at position %d) cannot be concatenated", i);
        if (passed_over(t->ndim, t->shape)) continue;
        if (!first) {
            first = t;
            FNN_TRY(fnn_wrap_dim("cat", &dim, t->ndim));
        }
        FNN_TRY(check_piece(t, first, dim, i));
        if (__builtin_add_overflow(total, t->shape[dim], &total)) return fnn_fail(FNN_ERR_RUNTIME, "cat: the elements of all tensors cannot be counted");
    }
    c->out->dtype = (uint8_t)fnn_promote(c->in, c->n_in);
    if (first) {
        memcpy(shape, first->shape, sizeof shape);
        shape[dim] = total;
    }
    fnn_tensor_set_geometry(c->out, first ? first->ndim : 1, shape, NULL);
    c->work = (double)c->out->numel * 0.3;
    return FNN_OK;
}

static fnn_status plan_stack(fnn_call *c) {
    int64_t dim = c->attrs->v[0].i, shape[FNN_MAX_DIMS];
    if (!c->n_in) return fnn_fail(FNN_ERR_RUNTIME, "stack: stack expects a non-empty TensorList");
    const fnn_tensor *first = c->in[0];
    FNN_TRY(fnn_wrap_dim("stack", &dim, first->ndim + 1));
    if (first->ndim == FNN_MAX_DIMS) return fnn_fail(FNN_ERR_RUNTIME, "stack: found tensors of %d dimensions, wanted at most %d", first->ndim, FNN_MAX_DIMS - 1);
    for (int i = 1; i < c->n_in; i++)
        if (!fnn_same_shape(c->in[i], first))
            return fnn_fail(FNN_ERR_RUNTIME, "stack: stack expects each tensor to be equal size, but got %s at entry 0 and %s at entry %d",
                            fnn_shape_of(first), fnn_shape_of(c->in[i]), i);
    for (int d = 0, from = 0; d <= first->ndim; d++) shape[d] = d == dim ? c->n_in : first->shape[from++];
    c->out->dtype = (uint8_t)fnn_promote(c->in, c->n_in);
    fnn_tensor_set_geometry(c->out, first->ndim + 1, shape, NULL);
    c->work = (double)c->out->numel * 0.3;
    return FNN_OK;
}

/* ---- forward ---- */

/* Pieces that only need copying: each is one block in each of `rows` rows of y, side by side, and lies in even rows itself. */
typedef struct joined {
    char *y;
    const fnn_call *c;
    int dim;
    int64_t rows, row_bytes, per; /* per: rows of a chunk */
} joined;

static void copy_blocks(char *y, int64_t y_step, const char *x, int64_t x_step, int64_t width, int64_t rows) {
    switch (width) { /* a stack of numbers: no call per number */
    case 4:
        for (int64_t r = 0; r < rows; r++, y += y_step, x += x_step) memcpy(y, x, 4);
        return;
    case 8:
        for (int64_t r = 0; r < rows; r++, y += y_step, x += x_step) memcpy(y, x, 8);
        return;
    default:
        for (int64_t r = 0; r < rows; r++, y += y_step, x += x_step) memcpy(y, x, (size_t)width);
    }
}

/* Some rows of y from all pieces, so that they are written once, side by side. */
static void join_rows(void *ctx, int64_t chunk) {
    const joined *j = ctx;
    int64_t first = chunk * j->per, rows = j->rows - first < j->per ? j->rows - first : j->per;
    char *y = j->y + first * j->row_bytes;
    for (int i = 0; i < j->c->n_in; i++) {
        const fnn_tensor *x = j->c->in[i];
        int64_t size = fnn_itemsize[x->dtype], width = x->numel / j->rows * size, step;
        if (!width) continue;
        fnn_even_rows(x, j->dim, &step);
        copy_blocks(y, j->row_bytes, x->data + first * step * size, step * size, width, rows);
        y += width;
    }
}

typedef struct flat {
    char *y;
    const char *x;
    int64_t bytes;
} flat;

static void copy_flat(void *ctx, int64_t chunk) {
    const flat *f = ctx;
    int64_t at = chunk * CHUNK;
    memcpy(f->y + at, f->x + at, (size_t)(f->bytes - at < CHUNK ? f->bytes - at : CHUNK));
}

/* True, and done, if every piece lies in such rows and is of y's type. */
static bool join(fnn_call *c, int dim) {
    const fnn_tensor *y = c->out;
    int64_t apart;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i]->dtype != y->dtype || (c->in[i]->numel && !fnn_even_rows(c->in[i], dim, &apart))) return false;
    joined j = {.y = y->data, .c = c, .dim = dim, .rows = 1};
    for (int d = 0; d < dim; d++) j.rows *= y->shape[d];
    j.row_bytes = y->numel / j.rows * fnn_itemsize[y->dtype];
    if (j.rows > 1) {
        j.per = j.row_bytes >= CHUNK ? 1 : CHUNK / j.row_bytes;
        fnn_parallel((j.rows + j.per - 1) / j.per, (double)(j.rows * j.row_bytes) * NS_PER_BYTE, join_rows, &j);
        return true;
    }
    for (int i = 0; i < c->n_in; i++) {
        flat f = {.y = j.y, .x = c->in[i]->data, .bytes = c->in[i]->numel * fnn_itemsize[y->dtype]};
        fnn_parallel((f.bytes + CHUNK - 1) / CHUNK, (double)f.bytes * NS_PER_BYTE, copy_flat, &f);
        j.y += f.bytes;
    }
    return true;
}

/* y[.., at : at + size, ..] = x, where size is that of x at dim, or one when x lacks the dimension. */
static fnn_status place(const fnn_tensor *y, const fnn_tensor *x, int dim, int64_t at, int64_t size) {
    if (!x->numel) return FNN_OK;
    fnn_tensor part = *y, piece = *x;
    part.data += at * y->stride[dim] * fnn_itemsize[y->dtype];
    part.shape[dim] = size;
    fnn_tensor_derive(&part);
    if (x->ndim < y->ndim) {
        for (int d = x->ndim; d > dim; d--) {
            piece.shape[d] = x->shape[d - 1];
            piece.stride[d] = x->stride[d - 1];
        }
        piece.shape[dim] = 1;
        piece.stride[dim] = 0;
        piece.ndim = y->ndim;
    }
    return fnn_copy_into(&part, &piece);
}

static int dim_of(const fnn_attrs *attrs, int ndim) { return (int)(attrs->v[0].i < 0 ? attrs->v[0].i + ndim : attrs->v[0].i); }

static fnn_status forward_cat(fnn_call *c) {
    if (!c->out->numel) return FNN_OK;
    int dim = dim_of(c->attrs, c->out->ndim);
    if (join(c, dim)) return FNN_OK;
    int64_t at = 0;
    for (int i = 0; i < c->n_in; i++) {
        const fnn_tensor *t = c->in[i];
        if (passed_over(t->ndim, t->shape)) continue;
        FNN_TRY(place(c->out, t, dim, at, t->shape[dim]));
        at += t->shape[dim];
    }
    return FNN_OK;
}

static fnn_status forward_stack(fnn_call *c) {
    if (!c->out->numel) return FNN_OK;
    int dim = dim_of(c->attrs, c->out->ndim);
    if (join(c, dim)) return FNN_OK;
    for (int i = 0; i < c->n_in; i++) FNN_TRY(place(c->out, c->in[i], dim, i, 1));
    return FNN_OK;
}

/* ---- backward: each piece's part of dy ---- */

static fnn_status give(fnn_tensor *dx, fnn_tensor *part, int dtype) {
    fnn_tensor_derive(part);
    fnn_status status = fnn_cast(dx, part, dtype);
    fnn_tensor_unref(part);
    return status;
}

static fnn_status back_cat(fnn_backcall *b) {
    int dim = dim_of(b->attrs, b->out_geom[0].ndim);
    int64_t at = 0;
    for (int i = 0; i < b->n_in; i++) {
        const fnn_geom *g = &b->in_geom[i];
        if (passed_over(g->ndim, g->shape)) {
            if (b->need[i]) FNN_TRY(fnn_zeros(&b->dx[i], g));
            continue;
        }
        if (b->need[i]) {
            fnn_tensor part;
            fnn_tensor_ref_data(&part, b->dy[0]);
            part.data += at * part.stride[dim] * fnn_itemsize[part.dtype];
            part.shape[dim] = g->shape[dim];
            FNN_TRY(give(&b->dx[i], &part, g->dtype));
        }
        at += g->shape[dim];
    }
    return FNN_OK;
}

static fnn_status back_stack(fnn_backcall *b) {
    int dim = dim_of(b->attrs, b->out_geom[0].ndim);
    for (int i = 0; i < b->n_in; i++) {
        if (!b->need[i]) continue;
        fnn_tensor part;
        fnn_tensor_ref_data(&part, b->dy[0]);
        part.data += i * part.stride[dim] * fnn_itemsize[part.dtype];
        part.ndim--;
        for (int d = dim; d < part.ndim; d++) {
            part.shape[d] = part.shape[d + 1];
            part.stride[d] = part.stride[d + 1];
        }
        FNN_TRY(give(&b->dx[i], &part, b->in_geom[i].dtype));
    }
    return FNN_OK;
}

const fnn_op fnn_op_CAT = {.name = "cat", .grad_name = "CatBackward0", .n_in = -1, .n_out = 1, .flags = FNN_F_LIST | FNN_F_PLACES, .plan = plan_cat, .forward = forward_cat, .backward = back_cat};
const fnn_op fnn_op_STACK = {.name = "stack", .grad_name = "StackBackward0", .n_in = -1, .n_out = 1, .flags = FNN_F_LIST, .plan = plan_stack, .forward = forward_stack, .backward = back_stack};
