/* See permuted.h. Dimensions are ordered by the destination's strides and merged where both sides allow it; the two innermost
 * of interest make a block, the others are walked:
 *   runs: the innermost dimension is contiguous on both sides (heads moved past time steps): rows of so many bytes;
 *   tiles: it is contiguous in dst only, another one in src (a transpose): tiles of kernels/loops_int.h's copy_2d.
 * Why not fnn_iterate: it calls a loop for every run of the innermost dimension, which costs more than copying 16 floats. */
#include "permuted.h"

#include <string.h>

#include "../core/threads.h"
#include "kernels/kernels.h"

enum {
    CHUNK = 65536, /* bytes of a chunk: as fnn_iterate's for float32 */
    LONG = 4096,   /* bytes of a run from which a call for each is nothing */
    NARROW = 8,    /* a tile narrower than this is a plain walk */
    FEW = 64       /* elements not worth the planning */
};

typedef struct plan {
    char *y;
    const char *x;
    int ndim;                             /* dimensions of the walk, outermost last */
    int64_t shape[FNN_MAX_DIMS], ys[FNN_MAX_DIMS], xs[FNN_MAX_DIMS]; /* strides in bytes */
    int64_t rows, cols, y_row, x_row, x_col; /* the block: rows of `cols` elements; y_col is `size` */
    int64_t size;                         /* bytes of an element */
    int64_t blocks;
    int64_t blocks_per_chunk;             /* of small blocks; 1 where a block is cut */
    int64_t rows_per_chunk, chunks_per_block; /* of large ones; else all rows, 1 */
} plan;

/* rows of `bytes` */
static void copy_runs(char *y, const char *x, int64_t rows, int64_t bytes, int64_t y_row, int64_t x_row) {
    const int64_t whole = bytes / 16 * 16;
    for (int64_t r = 0; r < rows; r++, y += y_row, x += x_row) {
        for (int64_t i = 0; i < whole; i += 16) memcpy(y + i, x + i, 16);
        for (int64_t i = whole; i < bytes; i += 4) memcpy(y + i, x + i, 4);
    }
}

static void copy_block(const plan *p, char *y, const char *x, int64_t rows) {
    if (p->x_col == p->size) {
        copy_runs(y, x, rows, p->cols * p->size, p->y_row, p->x_row);
        return;
    }
    const int64_t ys[2] = {p->y_row / p->size, 1}, xs[2] = {p->x_row / p->size, p->x_col / p->size};
    fnn_k.copy_2d[p->size == 8 ? 3 : 2](y, x, rows, p->cols, ys, xs);
}

static void chunk(void *ctx, int64_t i) {
    const plan *p = ctx;
    const int64_t from = i % p->chunks_per_block * p->rows_per_chunk, first = i / p->chunks_per_block * p->blocks_per_chunk;
    const int64_t rows = p->rows - from < p->rows_per_chunk ? p->rows - from : p->rows_per_chunk;
    int64_t index[FNN_MAX_DIMS], rest = first;
    char *y = p->y + from * p->y_row;
    const char *x = p->x + from * p->x_row;
    for (int d = 0; d < p->ndim; d++) {
        index[d] = rest % p->shape[d];
        rest /= p->shape[d];
        y += index[d] * p->ys[d];
        x += index[d] * p->xs[d];
    }
    for (int64_t block = first; block < first + p->blocks_per_chunk && block < p->blocks; block++) {
        copy_block(p, y, x, rows);
        for (int d = 0; d < p->ndim; d++) {
            y += p->ys[d];
            x += p->xs[d];
            if (++index[d] < p->shape[d]) break;
            y -= p->shape[d] * p->ys[d];
            x -= p->shape[d] * p->xs[d];
            index[d] = 0;
        }
    }
}

/* Fills the walk with all dimensions longer than 1, innermost in dst first, merged. */
static void order(plan *p, const fnn_tensor *dst, const fnn_tensor *src) {
    int n = 0;
    for (int d = dst->ndim - 1; d >= 0; d--) {
        if (dst->shape[d] == 1) continue;
        int at = n++;
        for (; at > 0 && p->ys[at - 1] > dst->stride[d] * p->size; at--) {
            p->shape[at] = p->shape[at - 1];
            p->ys[at] = p->ys[at - 1];
            p->xs[at] = p->xs[at - 1];
        }
        p->shape[at] = dst->shape[d];
        p->ys[at] = dst->stride[d] * p->size;
        p->xs[at] = src->stride[d] * p->size;
    }
    p->ndim = 0;
    for (int i = 0; i < n; i++) {
        const int last = p->ndim - 1;
        if (last >= 0 && p->ys[i] == p->ys[last] * p->shape[last] && p->xs[i] == p->xs[last] * p->shape[last]) {
            p->shape[last] *= p->shape[i];
            continue;
        }
        p->shape[p->ndim] = p->shape[i];
        p->ys[p->ndim] = p->ys[i];
        p->xs[p->ndim++] = p->xs[i];
    }
}

static void take(plan *p, int d) {
    for (p->ndim--; d < p->ndim; d++) {
        p->shape[d] = p->shape[d + 1];
        p->ys[d] = p->ys[d + 1];
        p->xs[d] = p->xs[d + 1];
    }
}

/* Takes the block's two dimensions out of the walk. */
static bool choose_block(plan *p) {
    if (p->ndim < 2 || p->ys[0] != p->size) return false;
    int row = 1;
    if (p->xs[0] == p->size) {
        if (p->shape[0] * p->size >= LONG) return false;
        if (p->ndim > 2 && p->shape[2] > p->shape[1]) row = 2; /* the longer loop of the two inside */
    } else {
        while (row < p->ndim && p->xs[row] != p->size) row++;
        if (row == p->ndim || p->shape[row] < NARROW || p->shape[0] < NARROW) return false;
    }
    p->rows = p->shape[row];
    p->cols = p->shape[0];
    p->y_row = p->ys[row];
    p->x_row = p->xs[row];
    p->x_col = p->xs[0];
    take(p, row);
    take(p, 0);
    return true;
}

bool fnn_copy_permuted(const fnn_tensor *dst, const fnn_tensor *src) {
    plan p = {.y = dst->data, .x = src->data, .size = fnn_itemsize[dst->dtype]};
    if (dst->numel < FEW || dst->dtype != src->dtype || p.size < 4 || !fnn_same_shape(dst, src)) return false;
    order(&p, dst, src);
    if (!choose_block(&p)) return false;
    const int64_t bytes = p.cols * p.size, all = p.rows * bytes;
    p.blocks = 1;
    for (int d = 0; d < p.ndim; d++) p.blocks *= p.shape[d];
    p.blocks_per_chunk = all < CHUNK ? (CHUNK + all - 1) / all : 1;
    p.rows_per_chunk = all > CHUNK ? (CHUNK + bytes - 1) / bytes : p.rows;
    p.chunks_per_block = (p.rows + p.rows_per_chunk - 1) / p.rows_per_chunk;
    const int64_t groups = (p.blocks + p.blocks_per_chunk - 1) / p.blocks_per_chunk;
    fnn_parallel(groups * p.chunks_per_block, (double)dst->numel * 0.3, chunk, &p);
    return true;
}

fnn_status fnn_empty_as(fnn_tensor *out, const fnn_tensor *t, int inner) {
    int64_t stride[FNN_MAX_DIMS], step = 1;
    bool placed[FNN_MAX_DIMS] = {false};
    for (int n = 0; n < t->ndim; n++) {
        int next = -1; /* the last of the smallest strides left */
        for (int d = t->ndim - 1; d >= (n ? 0 : t->ndim - inner); d--)
            if (!placed[d] && (next < 0 || t->stride[d] < t->stride[next])) next = d;
        placed[next] = true;
        stride[next] = step;
        step *= t->shape[next];
    }
    *out = (fnn_tensor){.dtype = t->dtype};
    fnn_tensor_set_geometry(out, t->ndim, t->shape, stride);
    return fnn_tensor_alloc(out);
}
