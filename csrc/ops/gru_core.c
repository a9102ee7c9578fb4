/* Batch rows, weights and gradients around the GRU kernels. See gru_core.h.
 *
 * forward:  pack the weights -> every chunk of batch rows walks all steps.
 * backward: every chunk walks the steps backwards and leaves gate gradients -> sums for the biases in chunk order -> products
 *           over all (b, t) for dx and the weights.
 * Scratch is cut by one function for both "how much" and "where", so the two agree. Read next: kernels/gru.h, product.h. */
#include "ops/gru_core.h"

#include <string.h>

#include "core/threads.h"
#include "kernels/kernels.h"
#include "ops/product.h"

/* Rows of a chunk: enough for full tiles, few enough that 8 chunks share a batch of 128 and more. */
enum { MIN_ROWS = 16, MAX_ROWS = 32, MAX_CHUNKS = 64, HOIST_ROWS = 48 };

typedef struct job {
    const fnn_gru *g;
    int64_t size;          /* bytes of an element */
    int64_t rows, chunks;  /* batch rows per chunk, how many chunks */
    int64_t hoist;
    /* cut out of the scratch; NULL while only its size is asked for */
    char *wx, *wh, *wn;    /* packed weights (forward) */
    char *dgates, *x, *db; /* backward: (B,T,4H), a contiguous (B,T,I) where x is not, (chunks, 4H) */
    char *slots;           /* one per chunk */
    size_t slot;
    char *product;         /* scratch of the products */
} job;

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Takes n elements from the scratch that starts at base (NULL: only counts). */
static char *take(char *base, size_t *used, int64_t elements, int64_t size) {
    char *p = base ? base + *used : NULL;
    *used += ((size_t)(elements * size) + 63) & ~(size_t)63;
    return p;
}
static int64_t packed_size(const job *j, int64_t N, int64_t K) { return ceil_div(N, 64 / j->size) * (64 / j->size) * K; }

static bool x_folds(const fnn_gru *g) { return g->B == 1 || g->T == 1 || g->x_b == g->T * g->x_t; }
static int64_t x_row(const fnn_gru *g) { return !x_folds(g) ? g->I : g->T == 1 ? g->x_b : g->x_t; }

static job new_job(const fnn_gru *g, int64_t size) {
    job j = {.g = g, .size = size};
    j.rows = max64(min64(max64(ceil_div(g->B, 8), MIN_ROWS), MAX_ROWS), ceil_div(g->B, MAX_CHUNKS));
    j.rows = max64(1, min64(j.rows, g->B));
    j.chunks = ceil_div(g->B, j.rows);
    j.hoist = j.rows >= 8 ? 1 : max64(1, min64(g->T, HOIST_ROWS / j.rows));
    return j;
}

static size_t cut_forward(job *j, char *base) {
    const fnn_gru *g = j->g;
    size_t used = 0;
    j->wx = take(base, &used, packed_size(j, 3 * g->H, g->I), j->size);
    j->wh = take(base, &used, packed_size(j, (g->before ? 2 : 3) * g->H, g->H), j->size);
    j->wn = take(base, &used, g->before ? packed_size(j, g->H, g->H) : 0, j->size);
    size_t slot = 0;
    (void)take(NULL, &slot, (3 * j->hoist + 5) * j->rows * g->H, j->size);
    j->slot = slot;
    j->slots = take(base, &used, (int64_t)slot * j->chunks, 1);
    return used;
}

/* ---- the products of backward, over n = B T rows ---- */

/* dx (B,T,I) = or += d (B,T,depth) wx[first .. first+depth]; the driver makes one product of it where dx allows */
static fnn_product input_product(const job *j, int64_t depth, bool accumulate) {
    const fnn_gru *g = j->g;
    return (fnn_product){.M = g->T, .N = g->I, .K = depth, .a_row = 4 * g->H, .a_col = 1, .b_row = g->wx_row, .b_col = 1,
                         .c_row = g->dx_t, .batch_ndim = 1, .batch = {g->B}, .a_batch = {g->T * 4 * g->H}, .c_batch = {g->dx_b},
                         .accumulate = accumulate};
}
/* dw (units,size) = d (n,units)^T x (n,size) */
static fnn_product weight_product(const job *j, int64_t units, int64_t size, int64_t row, int64_t w_row) {
    const fnn_gru *g = j->g;
    return (fnn_product){.M = units, .N = size, .K = g->B * g->T, .a_row = 1, .a_col = 4 * g->H, .b_row = row, .b_col = 1,
                         .c_row = w_row};
}
static size_t product_scratch(const job *j, const fnn_product *p) {
    return j->size == 4 ? fnn_product_scratch_f32(p) : fnn_product_scratch_f64(p);
}
static void multiply(const job *j, const fnn_product *p, void *c, const void *a, const void *b) {
    if (j->size == 4) fnn_product_f32(p, c, a, b, NULL, j->product);
    else fnn_product_f64(p, c, a, b, NULL, j->product);
}
static size_t all_products_scratch(const job *j) {
    const int64_t H = j->g->H, I = j->g->I, units[3] = {H, 2 * H, 3 * H};
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        const fnn_product all[3] = {input_product(j, units[i], false), weight_product(j, units[i], I, I, I),
                                    weight_product(j, units[i], H, 5 * H, H)};
        for (int k = 0; k < 3; k++) {
            const size_t bytes = product_scratch(j, &all[k]);
            if (bytes > most) most = bytes;
        }
    }
    return most;
}

static size_t cut_backward(job *j, char *base) {
    const fnn_gru *g = j->g;
    size_t used = 0, slot = 0;
    j->dgates = take(base, &used, g->B * g->T * 4 * g->H, j->size);
    j->x = take(base, &used, g->dwx && !x_folds(g) ? g->B * g->T * g->I : 0, j->size);
    j->db = take(base, &used, max64(1, j->chunks) * 4 * g->H, j->size);
    (void)take(NULL, &slot, 3 * j->rows * g->H, j->size);
    j->slot = slot;
    j->slots = take(base, &used, (int64_t)slot * j->chunks, 1);
    j->product = take(base, &used, (int64_t)all_products_scratch(j), 1);
    return used;
}

/* ---- forward ---- */

static fnn_gru_task chunk_task(const job *j, int64_t chunk) {
    const fnn_gru *g = j->g;
    const int64_t row = chunk * j->rows;
    return (fnn_gru_task){
        .B = g->B, .T = g->T, .I = g->I, .H = g->H, .before = g->before,
        .row = row, .rows = min64(j->rows, g->B - row), .hoist = j->hoist,
        .x = g->x, .x_b = g->x_b, .x_t = g->x_t, .h0 = g->h0, .h0_b = g->h0_b,
        .wx = j->wx, .wh = j->wh, .wn = j->wn, .bx = g->bx, .bh = g->bh,
        .y = g->y, .y_b = g->y_b, .y_t = g->y_t, .saved = g->saved,
        .scratch = j->slots + (size_t)chunk * j->slot,
        .dy = g->dy, .dy_b = g->dy_b, .dy_t = g->dy_t, .dhn = g->dhn, .uh = g->wh, .uh_row = g->wh_row,
        .dgates = j->dgates, .db = j->db ? j->db + chunk * 4 * g->H * j->size : NULL, .dh0 = g->dh0,
    };
}
static void forward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_gru_task task = chunk_task(j, chunk);
    (j->size == 4 ? fnn_k.f32.gru_forward : fnn_k.f64.gru_forward)(&task);
}
static double steps_ns(const job *j, double products) {
    const fnn_gru *g = j->g;
    const double per_unit = products * 3.0 * (double)(g->I + g->H) + 60.0; /* in multiply-adds: products, nonlinearities */
    return (double)(g->B * g->T * g->H) * per_unit * (j->size == 4 ? 0.013 : 0.026);
}

static void forward(const fnn_gru *g, int64_t size, char *scratch) {
    job j = new_job(g, size);
    (void)cut_forward(&j, scratch);
    if (g->B == 0 || g->T == 0 || g->H == 0) return;
    void (*pack)(void *, const void *, int64_t, int64_t, int64_t, int64_t) = size == 4 ? fnn_k.f32.gemm_pack : fnn_k.f64.gemm_pack;
    pack(j.wx, g->wx, 3 * g->H, g->I, 1, g->wx_row);
    pack(j.wh, g->wh, (g->before ? 2 : 3) * g->H, g->H, 1, g->wh_row);
    if (g->before) pack(j.wn, (const char *)g->wh + 2 * g->H * g->wh_row * size, g->H, g->H, 1, g->wh_row);
    fnn_parallel(j.chunks, steps_ns(&j, 1.0), forward_chunk, &j);
}

/* ---- backward ---- */

static void backward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_gru_task task = chunk_task(j, chunk);
    (j->size == 4 ? fnn_k.f32.gru_backward : fnn_k.f64.gru_backward)(&task);
}

/* Adds the chunks' bias sums up in order and deals them out: dbx = r, z, n; dbh = r, z, r n. */
static void bias_gradients(const job *j) {
    const fnn_gru *g = j->g;
    const int64_t H = g->H, bytes = H * j->size;
    if (j->chunks == 0) memset(j->db, 0, (size_t)(4 * bytes)); /* an empty batch; the room is there, see cut_backward */
    else (j->size == 4 ? fnn_k.f32.gemm_merge : fnn_k.f64.gemm_merge)(j->db, 4 * H, j->db, 4 * H, j->chunks, 1, 4 * H, NULL, 0);
    if (g->dbx) {
        memcpy(g->dbx, j->db + bytes, (size_t)(2 * bytes));
        memcpy((char *)g->dbx + 2 * bytes, j->db, (size_t)bytes);
    }
    if (g->dbh) memcpy(g->dbh, j->db + bytes, (size_t)(3 * bytes));
}

static void input_gradient(const job *j) {
    const fnn_gru *g = j->g;
    const fnn_product rz = input_product(j, 2 * g->H, false), n = input_product(j, g->H, true);
    multiply(j, &rz, g->dx, j->dgates + g->H * j->size, g->wx);
    multiply(j, &n, g->dx, j->dgates, (const char *)g->wx + 2 * g->H * g->wx_row * j->size);
}

static void weight_gradients(const job *j) {
    const fnn_gru *g = j->g;
    const int64_t H = g->H, unit = H * j->size; /* bytes of one gate of one row */
    const char *rz = j->dgates + unit, *saved = g->saved;
    if (g->dwx) {
        const char *x = g->x;
        if (!x_folds(g)) {
            for (int64_t i = 0; i < g->B * g->T; i++)
                memcpy(j->x + i * g->I * j->size, (const char *)g->x + (i / g->T * g->x_b + i % g->T * g->x_t) * j->size,
                       (size_t)(g->I * j->size));
            x = j->x;
        }
        const fnn_product two = weight_product(j, 2 * H, g->I, x_row(g), g->dwx_row);
        const fnn_product one = weight_product(j, H, g->I, x_row(g), g->dwx_row);
        multiply(j, &two, g->dwx, rz, x);
        multiply(j, &one, (char *)g->dwx + 2 * H * g->dwx_row * j->size, j->dgates, x);
    }
    if (!g->dwh) return;
    if (!g->before) {
        const fnn_product three = weight_product(j, 3 * H, H, 5 * H, g->dwh_row);
        multiply(j, &three, g->dwh, rz, saved + 4 * unit);
        return;
    }
    const fnn_product two = weight_product(j, 2 * H, H, 5 * H, g->dwh_row), one = weight_product(j, H, H, 5 * H, g->dwh_row);
    multiply(j, &two, g->dwh, rz, saved + 4 * unit);
    multiply(j, &one, (char *)g->dwh + 2 * H * g->dwh_row * j->size, j->dgates, saved + 3 * unit);
}

static void backward(const fnn_gru *g, int64_t size, char *scratch) {
    job j = new_job(g, size);
    (void)cut_backward(&j, scratch);
    fnn_parallel(g->H > 0 && g->B > 0 ? j.chunks : 0, steps_ns(&j, 0.5), backward_chunk, &j);
    if (g->dbx || g->dbh) bias_gradients(&j);
    if (g->dx) input_gradient(&j);
    weight_gradients(&j);
}

#define ENTRY(suffix, type)                                                                    \
    size_t fnn_gru_forward_scratch_##suffix(const fnn_gru *g) {                                \
        job j = new_job(g, sizeof(type));                                                      \
        return cut_forward(&j, NULL);                                                          \
    }                                                                                          \
    size_t fnn_gru_backward_scratch_##suffix(const fnn_gru *g) {                               \
        job j = new_job(g, sizeof(type));                                                      \
        return cut_backward(&j, NULL);                                                         \
    }                                                                                          \
    void fnn_gru_forward_##suffix(const fnn_gru *g, void *scratch) { forward(g, sizeof(type), scratch); }   \
    void fnn_gru_backward_##suffix(const fnn_gru *g, void *scratch) { backward(g, sizeof(type), scratch); }
ENTRY(f32, float)
ENTRY(f64, double)
