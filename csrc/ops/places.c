/* See places.h. Lines along the last dimension of the grid: where one index holds for the whole line it is a block copy (or a
 * vector add), else a loop over elements. Reads are split among threads by lines; so are writes to rows that are each line's
 * own. Other writes are not, their order counts; only sums of whole rows into a table are, by strips of columns, each of which
 * is summed by one thread in index order. */
#include "places.h"

#include <string.h>

#include "core/threads.h"
#include "kernels/kernels.h"

#define CHUNK 16384 /* elements a thread reads at a time */
#define STRIP 32    /* columns of a table that is added to, at least: each chunk reads all indices */

typedef struct line {
    char *x, *y;
    const int64_t *index;
    int64_t n, x_stride, y_stride, at_stride, step, size; /* in elements */
} line;

static inline int64_t offset(int64_t i, int64_t step, int64_t size) { return (i + (size & (i >> 63))) * step; }

/* ---- lines in which each element has its own index ---- */

/* A copy of the line, so that the compiler knows that writing x or y does not change it. */
#define MOVE(name, type, body)                                                         \
    static void name##_##type(const line *given) {                                     \
        const line l = *given;                                                         \
        type *a_line = (type *)l.x, *b = (type *)l.y;                                  \
        const int64_t *index = l.index;                                                \
        if (!l.x_stride && l.y_stride == 1 && l.at_stride == 1 && l.step == 1) { /* along the last dimension */ \
            for (int64_t j = 0; j < l.n; j++, b++) {                                   \
                type *a = a_line + offset(index[j], 1, l.size);                        \
                body;                                                                  \
            }                                                                          \
            return;                                                                    \
        }                                                                              \
        for (int64_t j = 0; j < l.n; j++) {                                            \
            type *a = a_line + offset(*index, l.step, l.size);                         \
            body;                                                                      \
            a_line += l.x_stride;                                                      \
            b += l.y_stride;                                                           \
            index += l.at_stride;                                                      \
        }                                                                              \
    }
#define ARITHMETIC(type, wide)                            \
    MOVE(add, type, *a = (type)((wide)*a + (wide)*b))     \
    MOVE(mul, type, *a = (type)((wide)*a * (wide)*b))
ARITHMETIC(float, float)
ARITHMETIC(double, double)
ARITHMETIC(int64_t, uint64_t)
ARITHMETIC(int32_t, uint32_t)
ARITHMETIC(uint8_t, uint8_t)
MOVE(add, bool, *a = *a || *b)
MOVE(mul, bool, *a = *a && *b)
MOVE(read, uint64_t, *b = *a)
MOVE(read, uint32_t, *b = *a)
MOVE(read, uint8_t, *b = *a)
MOVE(store, uint64_t, *a = *b)
MOVE(store, uint32_t, *a = *b)
MOVE(store, uint8_t, *a = *b)

typedef void (*line_fn)(const line *l);
#define BY_SIZE(name) {name##_uint32_t, name##_uint64_t, name##_uint64_t, name##_uint32_t, name##_uint8_t, name##_uint8_t}
#define BY_DTYPE(name) {name##_float, name##_double, name##_int64_t, name##_int32_t, name##_uint8_t, name##_bool}
static const line_fn scattered[4][FNN_NDTYPES] = {BY_SIZE(read), BY_SIZE(store), BY_DTYPE(add), BY_DTYPE(mul)};

/* ---- lines under one index ---- */

static void together(const line *l, int dtype, fnn_move move) {
    int64_t size = fnn_itemsize[dtype];
    char *x = l->x + offset(*l->index, l->step, l->size) * size, *y = l->y;
    if (move <= FNN_MOVE_STORE && l->x_stride == 1 && l->y_stride == 1) {
        memcpy(move == FNN_MOVE_READ ? y : x, move == FNN_MOVE_READ ? x : y, (size_t)(l->n * size));
        return;
    }
    int64_t sx = l->x_stride * size, sy = l->y_stride * size;
    if (move == FNN_MOVE_READ)
        fnn_k.cast[dtype][dtype]((char *[2]){y, x}, (int64_t[2]){sy, sx}, l->n);
    else if (move == FNN_MOVE_STORE)
        fnn_k.cast[dtype][dtype]((char *[2]){x, y}, (int64_t[2]){sx, sy}, l->n);
    else
        fnn_k.binary[move == FNN_MOVE_ADD ? FNN_B_add : FNN_B_mul][dtype]((char *[3]){x, x, y}, (int64_t[3]){sx, sx, sy}, l->n);
}

/* ---- the grid ---- */

/* Drops dimensions of size one and merges those that continue each other in all three. */
static void simplify(fnn_places *p) {
    int n = 0;
    for (int d = 0; d < p->ndim; d++) {
        int64_t size = p->shape[d];
        if (size == 1) continue;
        int last = n - 1;
        if (n && p->x[last] == p->x[d] * size && p->y[last] == p->y[d] * size && p->at[last] == p->at[d] * size) {
            p->shape[last] *= size;
            n--;
        } else {
            p->shape[n] = size;
        }
        p->x[n] = p->x[d];
        p->y[n] = p->y[d];
        p->at[n++] = p->at[d];
    }
    p->ndim = n;
    if (!n) fnn_places_add(p, 1, 0, 0, 0);
}

typedef struct task {
    fnn_places p;
    char *x, *y;
    const int64_t *index;
    int dtype;
    fnn_move move;
    int64_t lines, per; /* of the grid; of a chunk */
} task;

static void run_lines(void *ctx, int64_t chunk) {
    const task *t = ctx;
    const fnn_places *p = &t->p;
    int last = p->ndim - 1;
    int64_t first = chunk * t->per, end = first + t->per < t->lines ? first + t->per : t->lines, size = fnn_itemsize[t->dtype], pos[FNN_MAX_DIMS];
    line l = {.x = t->x, .y = t->y, .index = t->index, .n = p->shape[last], .x_stride = p->x[last], .y_stride = p->y[last],
              .at_stride = p->at[last], .step = p->step, .size = p->size};
    for (int64_t d = last - 1, rest = first; d >= 0; d--) {
        pos[d] = rest % p->shape[d];
        rest /= p->shape[d];
        l.x += pos[d] * p->x[d] * size;
        l.y += pos[d] * p->y[d] * size;
        l.index += pos[d] * p->at[d];
    }
    for (int64_t i = first; i < end; i++) {
        if (l.at_stride || !l.x_stride) /* a whole line on one element has an order, too */
            scattered[t->move][t->dtype](&l);
        else
            together(&l, t->dtype, t->move);
        for (int d = last - 1; d >= 0; d--) {
            int64_t back = ++pos[d] < p->shape[d] ? 0 : p->shape[d];
            l.x += (1 - back) * p->x[d] * size;
            l.y += (1 - back) * p->y[d] * size;
            l.index += (1 - back) * p->at[d];
            if (!back) break;
            pos[d] = 0;
        }
    }
}

/* ---- rows of a table: the fast case of embeddings ---- */

/* y[r] = x[index[r]] or x[index[r]] += y[r], for contiguous rows of floats under contiguous indices that are not negative */
static bool is_table(const fnn_places *p, const int64_t *index, int dtype, fnn_move move) {
    if (p->ndim != 2 || !p->size || !fnn_dtype_is_float(dtype) || (move != FNN_MOVE_READ && move != FNN_MOVE_ADD)) return false;
    int64_t n = p->shape[1], any = 0;
    if (p->x[0] || p->x[1] != 1 || p->y[0] != n || p->y[1] != 1 || p->at[0] != 1 || p->at[1] || p->step != n) return false;
    for (int64_t r = 0; r < p->shape[0]; r++) any |= index[r];
    return any >= 0;
}

static void run_table(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->p.shape[0], n = t->p.shape[1], size = fnn_itemsize[t->dtype];
    void *x = t->x, *y = t->y;
    bool f32 = t->dtype == FNN_F32;
    if (t->move == FNN_MOVE_ADD) {
        int64_t cols = n - first < t->per ? n - first : t->per;
        x = t->x + first * size;
        y = t->y + first * size;
        if (f32)
            fnn_k.f32.embedding_backward(x, y, t->index, rows, cols, n, n, -1);
        else
            fnn_k.f64.embedding_backward(x, y, t->index, rows, cols, n, n, -1);
        return;
    }
    y = t->y + first * n * size;
    rows = rows - first < t->per ? rows - first : t->per;
    if (f32)
        fnn_k.f32.embedding_forward(y, x, t->index + first, rows, n);
    else
        fnn_k.f64.embedding_forward(y, x, t->index + first, rows, n);
}

/* Whether each line stays in a part of x of its own: rows of a matrix under indices along them. */
static bool apart(const fnn_places *p) {
    return p->ndim == 2 && !p->x[1] && p->step > 0 && p->size && p->x[0] >= p->step * p->size;
}

void fnn_places_run(fnn_places p, char *x, char *y, const int64_t *index, int dtype, fnn_move move) {
    int64_t total = 1;
    for (int d = 0; d < p.ndim; d++) total *= p.shape[d];
    if (!total) return;
    simplify(&p);
    task t = {.p = p, .x = x, .y = y, .index = index, .dtype = dtype, .move = move, .lines = total / p.shape[p.ndim - 1]};
    bool rows = is_table(&p, index, dtype, move);
    int64_t per = CHUNK / p.shape[p.ndim - 1];
    t.per = per ? per : 1;
    if (rows && move == FNN_MOVE_ADD) {
        t.per = (p.shape[1] + 8 * STRIP - 1) / (8 * STRIP) * STRIP;
        fnn_parallel((p.shape[1] + t.per - 1) / t.per, (double)total * 0.1, run_table, &t);
    } else if (rows) {
        fnn_parallel((t.lines + t.per - 1) / t.per, (double)total * 0.3, run_table, &t);
    } else if (move == FNN_MOVE_READ || apart(&p)) {
        fnn_parallel((t.lines + t.per - 1) / t.per, (double)total, run_lines, &t);
    } else {
        t.per = t.lines;
        run_lines(&t, 0);
    }
}

/* ---- indices ---- */

fnn_status fnn_index_tensor(fnn_tensor *out, const fnn_tensor *t, const fnn_tensor *written) {
    if (t->dtype != FNN_I64 || !written || t->storage != written->storage) return fnn_cast(out, t, FNN_I64);
    FNN_TRY(fnn_empty(out, FNN_I64, t->ndim, t->shape));
    return fnn_copy_into(out, t);
}

fnn_status fnn_check_indices(const char *op, fnn_status kind, const fnn_tensor *index, int64_t low, int64_t dim, int64_t size) {
    fnn_tensor t;
    FNN_TRY(fnn_contiguous(&t, index));
    const int64_t *v = (const int64_t *)t.data;
    int64_t outside, bad = 0;
    fnn_k.i64_count_outside(&outside, v, t.numel, low, size - low);
    for (int64_t i = 0; outside && i < t.numel; i++)
        if (v[i] < low || v[i] >= size) {
            bad = v[i];
            break;
        }
    fnn_tensor_unref(&t);
    if (!outside) return FNN_OK;
    return fnn_fail(kind, "%s: index %lld is out of bounds for dimension %lld with size %lld", op, (long long)bad, (long long)dim, (long long)size);
}
