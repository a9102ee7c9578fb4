/* embedding: rows of a table, picked by index.
 *
 * Inputs: weight (V,C), index of any shape, int64 or int32. attrs: v[0].i padding_idx (-1: none): that row gets no gradient;
 * v[1].i scale_grad_by_freq: a row's gradient is divided by how often it was picked. Saved: index.
 *   forward:  y[.., :] = weight[index[..], :]
 *   backward: dweight[v, :] = sum over r with index[r] = v of dy[r, :], in the order of r
 * Backward is split by strips of columns, so that every element of the table is summed by one thread in index order; a strip of
 * a small table stays in cache. */
#include <string.h>

#include "rows.h"

#define STRIPS 8         /* chunks of backward at most: each reads all indices */
#define STRIP_BYTES 128  /* at least so wide: two cache lines, which the processor fetches together */
#define CLEAR_BYTES 262144 /* of a table cleared by one thread */

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *w = c->in[0], *index = c->in[1];
    if (w->ndim != 2) return fnn_fail(FNN_ERR_RUNTIME, "embedding: 'weight' must be 2-D, found shape %s", fnn_shape_of(w));
    if (index->dtype != FNN_I64 && index->dtype != FNN_I32)
        return fnn_fail(FNN_ERR_RUNTIME, "embedding: Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got %s instead",
                        fnn_dtype_name(index->dtype));
    if (index->ndim == FNN_MAX_DIMS)
        return fnn_fail(FNN_ERR_RUNTIME, "embedding: found %d dimensions of indices, wanted at most %d", index->ndim, FNN_MAX_DIMS - 1);
    int64_t shape[FNN_MAX_DIMS];
    for (int d = 0; d < index->ndim; d++) shape[d] = index->shape[d];
    shape[index->ndim] = w->shape[1];
    fnn_tensor_set_geometry(c->out, index->ndim + 1, shape, NULL);
    c->out->dtype = w->dtype;
    c->work = 0.2 * (double)c->out->numel;
    return FNN_OK;
}

static fnn_status inspect(fnn_call *c) {
    int64_t rows = c->in[0]->shape[0];
    fnn_tensor index;
    FNN_TRY(fnn_contiguous_as(&index, c->in[1], FNN_I64));
    const int64_t *at = (const int64_t *)index.data;
    int64_t bad;
    fnn_k.i64_count_outside(&bad, at, index.numel, 0, rows);
    fnn_status status = FNN_OK;
    for (int64_t i = 0; bad && !status; i++)
        if ((uint64_t)at[i] >= (uint64_t)rows)
            status = fnn_fail(FNN_ERR_INDEX, "embedding: index out of range in self: found index %lld, expected 0 <= index < %lld", (long long)at[i], (long long)rows);
    fnn_tensor_unref(&index);
    return status;
}

typedef struct task {
    int dtype;
    int64_t rows, n, per;     /* picked rows, their length; rows of y, or columns of the table, in a chunk */
    int64_t table, padding;
    char *out;                /* y (rows, n), or dw (table, n) */
    const char *in;           /* w (table, n), or dy (rows, n) ... */
    int64_t in_row;           /* ... whose rows lie so far apart */
    const int64_t *index;     /* (rows,) */
} task;

static void forward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per;
    int64_t row = t->n * fnn_itemsize[t->dtype];
    void *y = t->out + first * row;
    const void *w = t->in;
    if (!fnn_dtype_is_float(t->dtype)) {
        for (int64_t r = 0; r < rows; r++) memcpy((char *)y + r * row, t->in + t->index[first + r] * row, (size_t)row);
        return;
    }
    FNN_KERNEL_OF(t->dtype, embedding_forward, y, w, t->index + first, rows, t->n);
}

static void clear_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t bytes = t->table * t->n * fnn_itemsize[t->dtype], first = chunk * CLEAR_BYTES;
    memset(t->out + first, 0, (size_t)(bytes - first < CLEAR_BYTES ? bytes - first : CLEAR_BYTES));
}

static void backward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, n = t->n - first < t->per ? t->n - first : t->per, size = fnn_itemsize[t->dtype];
    void *dw = t->out + first * size;
    const void *dy = t->in + first * size;
    FNN_KERNEL_OF(t->dtype, embedding_backward, dw, dy, t->index, t->rows, n, t->n, t->in_row, t->padding);
}

static fnn_status forward(fnn_call *c) {
    fnn_tensor w = {0}, index = {0};
    fnn_status status = fnn_contiguous(&w, c->in[0]);
    if (!status) status = fnn_contiguous_as(&index, c->in[1], FNN_I64);
    if (!status) {
        int64_t n = w.shape[1];
        task t = {.dtype = w.dtype, .rows = index.numel, .n = n, .per = fnn_rows_per_chunk(n), .out = c->out->data, .in = w.data,
                  .index = (const int64_t *)index.data};
        fnn_parallel(fnn_chunks(t.rows, t.per), c->work, forward_chunk, &t);
    }
    fnn_tensor_unref(&w);
    fnn_tensor_unref(&index);
    return status;
}

/* dy divided, row by row, by how often the row's index occurs. */
static fnn_status divide_by_count(fnn_tensor *dy, const fnn_tensor *index, int64_t table) {
    fnn_tensor count, share, scaled;
    fnn_geom g = {.shape = {table}, .ndim = 1, .dtype = FNN_I64};
    FNN_TRY(fnn_zeros(&count, &g));
    fnn_status status = fnn_empty(&share, FNN_F64, 2, (int64_t[2]){index->numel, 1});
    if (!status) {
        const int64_t *at = (const int64_t *)index->data;
        int64_t *n = (int64_t *)count.data;
        for (int64_t i = 0; i < index->numel; i++) n[at[i]]++;
        for (int64_t i = 0; i < index->numel; i++) ((double *)share.data)[i] = 1 / (double)n[at[i]];
        fnn_tensor single;
        status = fnn_cast(&single, &share, dy->dtype);
        if (!status) {
            fnn_tensor rows = *dy; /* borrowed: seen as (rows, n) */
            fnn_tensor_set_geometry(&rows, 2, (int64_t[2]){index->numel, index->numel ? dy->numel / index->numel : 0}, NULL);
            status = fnn_run2(&fnn_op_MUL, &scaled, &rows, &single);
            fnn_tensor_unref(&single);
        }
        fnn_tensor_unref(&share);
    }
    fnn_tensor_unref(&count);
    if (status) return status;
    fnn_tensor_unref(dy);
    *dy = scaled;
    return FNN_OK;
}

static fnn_status backward(fnn_backcall *b) {
    if (!b->need[0]) return FNN_OK;
    const fnn_geom *g = &b->in_geom[0];
    fnn_tensor dy = {0}, index = {0};
    int64_t apart = g->shape[1]; /* rows of a slice of a joined gradient need no copy */
    const bool even = b->dy[0]->storage && !b->attrs->v[1].i && fnn_even_rows(b->dy[0], b->dy[0]->ndim - 1, &apart);
    fnn_status status = FNN_OK;
    if (even) fnn_tensor_ref_data(&dy, b->dy[0]);
    else status = fnn_contiguous(&dy, b->dy[0]);
    if (!status) status = fnn_contiguous_as(&index, &b->in[1], FNN_I64);
    if (!status && b->attrs->v[1].i) status = divide_by_count(&dy, &index, g->shape[0]);
    if (!status) status = fnn_empty(&b->dx[0], g->dtype, 2, g->shape);
    if (!status && b->dx[0].numel) {
        int64_t n = g->shape[1], least = STRIP_BYTES / fnn_itemsize[g->dtype], bytes = b->dx[0].numel * fnn_itemsize[g->dtype];
        task t = {.dtype = g->dtype, .rows = index.numel, .n = n, .per = fnn_chunks(fnn_chunks(n, STRIPS), least) * least, .table = g->shape[0],
                  .padding = b->attrs->v[0].i, .out = b->dx[0].data, .in = dy.data, .in_row = apart, .index = (const int64_t *)index.data};
        fnn_parallel(fnn_chunks(bytes, CLEAR_BYTES), 0.02 * (double)bytes, clear_chunk, &t);
        fnn_parallel(fnn_chunks(n, t.per), 0.2 * (double)dy.numel, backward_chunk, &t);
    }
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&index);
    return status;
}

const fnn_op fnn_op_EMBEDDING = {.name = "embedding", .grad_name = "EmbeddingBackward0", .n_in = 2, .n_out = 1, .no_grad_in = 2, .save_in = {2},
                                 .plan = plan, .inspect = inspect, .forward = forward, .backward = backward};
