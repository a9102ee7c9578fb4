/* See iter.h. Dimensions are ordered by the output's strides and merged where all operands allow it. */
#include "iter.h"

#include <string.h>

#include "../core/threads.h"

#define CHUNK 8192 /* elements: 32 KB of float32, a few microseconds of a transcendental loop */

typedef struct plan {
    fnn_loop loop;
    int n_ops, ndim;
    char *base[FNN_MAX_OPERANDS];
    int64_t shape[FNN_MAX_DIMS];                      /* innermost first */
    int64_t stride[FNN_MAX_DIMS][FNN_MAX_OPERANDS];   /* in bytes */
    int64_t numel, rows_per_chunk, n_rows, inner_chunk, inner_chunks;
} plan;

/* Elements [begin, end) of the innermost dimension in rows [row, row_end) of the outer ones. */
static void run_rows(const plan *p, int64_t row, int64_t row_end, int64_t begin, int64_t end) {
    int64_t index[FNN_MAX_DIMS];
    char *ptr[FNN_MAX_OPERANDS];
    int64_t rest = row;
    for (int k = 0; k < p->n_ops; k++) ptr[k] = p->base[k] + begin * p->stride[0][k];
    for (int d = 1; d < p->ndim; d++) {
        index[d] = rest % p->shape[d];
        rest /= p->shape[d];
        for (int k = 0; k < p->n_ops; k++) ptr[k] += index[d] * p->stride[d][k];
    }
    for (;;) {
        p->loop(ptr, p->stride[0], end - begin);
        if (++row >= row_end) return;
        for (int d = 1; d < p->ndim; d++) {
            for (int k = 0; k < p->n_ops; k++) ptr[k] += p->stride[d][k];
            if (++index[d] < p->shape[d]) break;
            for (int k = 0; k < p->n_ops; k++) ptr[k] -= p->shape[d] * p->stride[d][k];
            index[d] = 0;
        }
    }
}

static void chunk(void *ctx, int64_t i) {
    const plan *p = ctx;
    if (p->inner_chunks > 1) {
        int64_t row = i / p->inner_chunks, begin = i % p->inner_chunks * p->inner_chunk, end = begin + p->inner_chunk;
        run_rows(p, row, row + 1, begin, end < p->shape[0] ? end : p->shape[0]);
        return;
    }
    int64_t row = i * p->rows_per_chunk, row_end = row + p->rows_per_chunk;
    run_rows(p, row, row_end < p->n_rows ? row_end : p->n_rows, 0, p->shape[0]);
}

/* One flat run: everything contiguous, or a single number. */
static bool flat(plan *p, const fnn_tensor *out, const fnn_tensor *const *in, int n_in) {
    if (!out->contiguous) return false;
    p->stride[0][0] = fnn_itemsize[out->dtype];
    for (int k = 0; k < n_in; k++) {
        if (in[k]->numel == 1 && out->numel != 0)
            p->stride[0][k + 1] = 0;
        else if (in[k]->contiguous && in[k]->numel == out->numel)
            p->stride[0][k + 1] = fnn_itemsize[in[k]->dtype];
        else
            return false;
    }
    p->ndim = 1;
    p->shape[0] = out->numel;
    return true;
}

/* Some dimension has several elements: one element is always flat. */
static void general(plan *p, const fnn_tensor *out, const fnn_tensor *const *in, int n_in) {
    int order[FNN_MAX_DIMS], n = 0;
    for (int d = out->ndim - 1; d >= 0; d--) { /* stable: innermost logical dimension first among equals */
        if (out->shape[d] == 1) continue;
        int at = n++;
        while (at > 0 && out->stride[order[at - 1]] > out->stride[d]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = d;
    }
    p->ndim = 0;
    for (int i = 0; i < n; i++) {
        int d = order[i];
        int64_t step[FNN_MAX_OPERANDS];
        step[0] = out->stride[d] * fnn_itemsize[out->dtype];
        for (int k = 0; k < n_in; k++) {
            int own = d - (out->ndim - in[k]->ndim);
            step[k + 1] = own < 0 || in[k]->shape[own] == 1 ? 0 : in[k]->stride[own] * fnn_itemsize[in[k]->dtype];
        }
        int last = p->ndim - 1;
        bool merges = last >= 0;
        for (int k = 0; k < p->n_ops && merges; k++) merges = step[k] == p->stride[last][k] * p->shape[last];
        if (merges) {
            p->shape[last] *= out->shape[d];
            continue;
        }
        p->shape[p->ndim] = out->shape[d];
        memcpy(p->stride[p->ndim], step, sizeof step);
        p->ndim++;
    }
}

void fnn_iterate(fnn_loop loop, const fnn_tensor *out, const fnn_tensor *const *in, int n_in, double ns) {
    if (!out->numel) return;
    plan p;
    p.loop = loop;
    p.n_ops = n_in + 1;
    p.numel = out->numel;
    p.base[0] = out->data;
    for (int k = 0; k < n_in; k++) p.base[k + 1] = in[k]->data;
    if (!flat(&p, out, in, n_in)) general(&p, out, in, n_in);
    if (p.ndim == 1 && p.numel <= CHUNK) {
        loop(p.base, p.stride[0], p.numel);
        return;
    }
    p.n_rows = p.numel / p.shape[0];
    p.inner_chunks = p.shape[0] > CHUNK ? (p.shape[0] + CHUNK - 1) / CHUNK : 1;
    p.inner_chunk = CHUNK;
    p.rows_per_chunk = p.shape[0] > CHUNK ? 1 : (CHUNK + p.shape[0] - 1) / p.shape[0];
    int64_t chunks = p.inner_chunks > 1 ? p.n_rows * p.inner_chunks : (p.n_rows + p.rows_per_chunk - 1) / p.rows_per_chunk;
    fnn_parallel(chunks, (double)p.numel * ns, chunk, &p);
}
