/* Order along one dimension: sort, argsort, topk.
 *
 * attrs: SORT, ARGSORT: v[0].i dim, v[1].i descending (v[2].i stable is granted always). TOPK: v[0].i k, v[1].i dim, v[2].i largest,
 * v[3].i sorted. Outputs values, indices (int64); ARGSORT indices alone.
 * NaN counts as largest, -0 equals 0. Equal elements keep their order in sort and argsort; in topk they come as in torch
 * (core/select.h). Rows are independent. The gradient of the values goes to the places they came from. */
#include <string.h>

#include "along.h"
#include "core/select.h"
#include "core/threads.h"

#define RADIX_FROM 512 /* elements: measured; shorter rows are merged */
#define MAX_CHUNKS 8   /* each chunk has its own scratch */

static int64_t dim_attr(const fnn_op *op, const fnn_attrs *a) { return op == &fnn_op_TOPK ? a->v[1].i : a->v[0].i; }
static int dim_of(const fnn_op *op, const fnn_attrs *a, int ndim) {
    int64_t dim = dim_attr(op, a);
    return (int)(!ndim ? 0 : dim < 0 ? dim + ndim : dim);
}
static int64_t chunks_of(int64_t rows, int64_t n) {
    int64_t chunks = rows * n / 4096 + 1;
    chunks = chunks > MAX_CHUNKS ? MAX_CHUNKS : chunks;
    return chunks > rows ? rows : chunks;
}

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    int64_t dim = dim_attr(c->op, c->attrs), shape[FNN_MAX_DIMS];
    FNN_TRY(fnn_wrap_dim(c->op->name, &dim, x->ndim));
    memcpy(shape, x->shape, sizeof shape);
    if (c->op == &fnn_op_TOPK) {
        int64_t k = c->attrs->v[0].i;
        if (x->dtype == FNN_BOOL) return fnn_fail(FNN_ERR_RUNTIME, "topk: topk does not support bool dtypes on CPU");
        if (k < 0 || k > fnn_along_size(x, dim))
            return fnn_fail(FNN_ERR_RUNTIME, "topk: selected index k out of range: k is %lld, input has shape %s", (long long)k, fnn_shape_of(x));
        shape[dim] = k;
    }
    for (int i = 0; i < c->n_out; i++) {
        fnn_tensor_set_geometry(&c->out[i], x->ndim, shape, NULL);
        if (c->op != &fnn_op_TOPK) fnn_keep_layout(&c->out[i], c->in, 1);
        c->out[i].dtype = i == c->n_out - 1 ? FNN_I64 : x->dtype;
    }
    int64_t n = fnn_along_size(x, dim);
    if (n && x->numel) c->scratch_bytes = (size_t)(chunks_of(x->numel / n, n) * 2 * n) * sizeof(fnn_ranked);
    c->work = (double)x->numel * 20;
    return FNN_OK;
}

/* ---- keys ---- */

#define RANK(type, expr)                                                                                 \
    static void rank_##type(fnn_ranked *a, const type *x, int64_t n, int64_t turn) {                     \
        for (int64_t i = 0; i < n; i++) a[i] = (fnn_ranked){(expr) ^ turn, i};                           \
    }
RANK(float, fnn_rank_f64(x[i]))
RANK(double, fnn_rank_f64(x[i]))
RANK(int64_t, x[i])
RANK(int32_t, x[i])
RANK(uint8_t, x[i])

/* turn: -1 reverses the order of the keys (~key), 0 keeps it. */
static void rank(fnn_ranked *a, const char *x, int64_t n, int dtype, int64_t turn) {
    switch (dtype) {
    case FNN_F32: rank_float(a, (const float *)x, n, turn); break;
    case FNN_F64: rank_double(a, (const double *)x, n, turn); break;
    case FNN_I64: rank_int64_t(a, (const int64_t *)x, n, turn); break;
    case FNN_I32: rank_int32_t(a, (const int32_t *)x, n, turn); break;
    default: rank_uint8_t(a, (const uint8_t *)x, n, turn);
    }
}

/* ---- stable sorts by increasing key; each gives the array that holds the result ---- */

static void insertion_sort(fnn_ranked *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        fnn_ranked item = a[i];
        int64_t at = i;
        for (; at > 0 && a[at - 1].key > item.key; at--) a[at] = a[at - 1];
        a[at] = item;
    }
}

static fnn_ranked *merge_sort(fnn_ranked *a, fnn_ranked *b, int64_t n) {
    enum { RUN = 16 };
    for (int64_t i = 0; i < n; i += RUN) insertion_sort(a + i, n - i < RUN ? n - i : RUN);
    for (int64_t width = RUN; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            int64_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n, l = lo, r = mid;
            for (int64_t i = lo; i < hi; i++) b[i] = r >= hi || (l < mid && a[l].key <= a[r].key) ? a[l++] : a[r++];
        }
        fnn_ranked *t = a;
        a = b;
        b = t;
    }
    return a;
}

/* Bytes from the lowest up; a byte that all keys share is passed over (float32 keys have three such). */
static fnn_ranked *radix_sort(fnn_ranked *a, fnn_ranked *b, int64_t n) {
    enum { BYTES = 8 };
    int64_t count[BYTES][256];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)a[i].key ^ (UINT64_C(1) << 63); /* negative keys first */
        for (int k = 0; k < BYTES; k++) count[k][key >> 8 * k & 255]++;
    }
    for (int k = 0; k < BYTES; k++) {
        int64_t *place = count[k], from = 0, most = 0;
        for (int v = 0; v < 256; v++) {
            int64_t here = place[v];
            most = here > most ? here : most;
            place[v] = from;
            from += here;
        }
        if (most == n) continue;
        for (int64_t i = 0; i < n; i++) b[place[((uint64_t)a[i].key ^ (UINT64_C(1) << 63)) >> 8 * k & 255]++] = a[i];
        fnn_ranked *t = a;
        a = b;
        b = t;
    }
    return a;
}

/* ---- rows ---- */

typedef struct task {
    const fnn_op *op;
    const fnn_attrs *attrs;
    const char *x;  /* (rows, n) */
    char *values;   /* (rows, k); NULL: not wanted */
    int64_t *index; /* (rows, k) */
    fnn_ranked *scratch; /* (chunks, 2, n) */
    int64_t rows, n, k, chunks;
    int dtype;
} task;

static const fnn_ranked *order_row(const task *t, const char *x, fnn_ranked *a) {
    bool down = t->attrs->v[1].i;
    if (t->op == &fnn_op_TOPK) {
        rank(a, x, t->n, t->dtype, t->attrs->v[2].i ? 0 : -1);
        fnn_select_largest(a, t->n, t->k, t->attrs->v[3].i);
        return a;
    }
    rank(a, x, t->n, t->dtype, down ? -1 : 0);
    return t->n < RADIX_FROM ? merge_sort(a, a + t->n, t->n) : radix_sort(a, a + t->n, t->n);
}

static void run_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t size = fnn_itemsize[t->dtype], first = t->rows * chunk / t->chunks, last = t->rows * (chunk + 1) / t->chunks;
    for (int64_t r = first; r < last; r++) {
        const char *x = t->x + r * t->n * size;
        const fnn_ranked *order = order_row(t, x, t->scratch + chunk * 2 * t->n);
        int64_t *index = t->index + r * t->k;
        for (int64_t i = 0; i < t->k; i++) index[i] = order[i].index;
        if (!t->values) continue;
        char *y = t->values + r * t->k * size;
        for (int64_t i = 0; i < t->k; i++) memcpy(y + i * size, x + order[i].index * size, (size_t)size);
    }
}

static fnn_status forward(fnn_call *c) {
    const fnn_tensor *out = c->out, *index = &c->out[c->n_out - 1];
    if (!index->numel) return FNN_OK;
    int dim = dim_of(c->op, c->attrs, c->in[0]->ndim);
    bool values = c->n_out > 1;
    fnn_tensor x, y = {0}, at = {0};
    FNN_TRY(fnn_along_read(c->in[0], dim, &x));
    fnn_status status = fnn_along_begin(index, dim, FNN_I64, &at);
    if (!status && values) status = fnn_along_begin(out, dim, x.dtype, &y);
    if (!status) {
        task t = {.op = c->op, .attrs = c->attrs, .x = x.data, .values = y.data, .index = (int64_t *)at.data, .scratch = (fnn_ranked *)c->scratch,
                  .n = fnn_along_size(c->in[0], dim), .k = fnn_along_size(index, dim), .dtype = x.dtype};
        t.rows = x.numel / t.n;
        t.chunks = chunks_of(t.rows, t.n);
        fnn_parallel(t.chunks, c->work, run_chunk, &t);
        if (values) status = fnn_along_end(out, dim, &y);
        if (!status) status = fnn_along_end(index, dim, &at);
    }
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&y);
    fnn_tensor_unref(&at);
    return status;
}

/* dx[.., index[i], ..] = dy[.., i, ..]: no place is named twice */
static fnn_status backward(fnn_backcall *b) {
    const fnn_geom *g = &b->in_geom[0];
    int dim = dim_of(b->op, b->attrs, g->ndim);
    fnn_tensor dy, index = {0}, *dx = &b->dx[0];
    FNN_TRY(fnn_zeros(dx, g));
    FNN_TRY(fnn_contiguous(&dy, b->dy[0]));
    fnn_status status = fnn_contiguous(&index, &b->out[1]);
    int64_t inner = 1, n = g->ndim ? g->shape[dim] : 1, k = fnn_along_size(&dy, dim);
    for (int d = dim + 1; d < g->ndim; d++) inner *= g->shape[d];
    const int64_t *at = (const int64_t *)index.data;
    for (int64_t i = 0; i < dy.numel && !status; i++) {
        int64_t to = (i / (k * inner) * n + at[i]) * inner + i % inner;
        if (g->dtype == FNN_F32)
            ((float *)dx->data)[to] = ((float *)dy.data)[i];
        else
            ((double *)dx->data)[to] = ((double *)dy.data)[i];
    }
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&index);
    return status;
}

const fnn_op fnn_op_SORT = {.name = "sort", .grad_name = "SortBackward0", .n_in = 1, .n_out = 2, .flags = FNN_F_SCAN, .no_grad_out = 2, .save_out = 2, .plan = plan, .forward = forward, .backward = backward};
const fnn_op fnn_op_TOPK = {.name = "topk", .grad_name = "TopkBackward0", .n_in = 1, .n_out = 2, .no_grad_out = 2, .save_out = 2, .plan = plan, .forward = forward, .backward = backward};
const fnn_op fnn_op_ARGSORT = {.name = "argsort", .n_in = 1, .n_out = 1, .flags = FNN_F_NO_GRAD, .plan = plan, .forward = forward};
