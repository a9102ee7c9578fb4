/* Batch rows, weights and gradients around the recurrent kernels. See recurrent_core.h.
 *
 * forward:  pack the weights -> every chunk of batch rows walks all steps.
 * backward: every chunk walks the steps backwards, then forms dx and its share of the weight gradients -> the shares are added
 *           up in the order of the chunks. Where copies of the weights would cost more than they save (large weights, few
 *           steps), the weight gradients are products over all (b, t) instead: a choice by shapes alone.
 * Scratch is cut by one function for both "how much" and "where", so the two agree. Read next: kernels/recurrent_walk.h, product.h. */
#include "ops/recurrent_core.h"

#include <stdatomic.h>
#include <string.h>

#include "core/threads.h"
#include "kernels/kernels.h"
#include "ops/product.h"

enum {
    MIN_ROWS = 16, MAX_ROWS = 32, MAX_CHUNKS = 64, /* rows of a chunk: enough for full tiles, few enough that 8 chunks share a batch of 128 and more */
    HOIST_ROWS = 48,
    PACK_COLUMNS = 64,       /* whole panels of every kernel, both types */
    SHARE_MIN_N = 256,       /* rows times steps of a chunk from which forming a share outweighs adding it up */
    SHARE_MAX_WEIGHTS = 128 * 1024 /* and numbers in all weights up to which it stays in the L2 cache */
};

typedef struct job {
    const fnn_recurrent *g;
    const fnn_recurrence_shape *shape;
    int64_t size;             /* bytes of an element */
    int64_t rows, chunks;     /* batch rows per chunk, how many chunks */
    int64_t hoist;
    bool shares;              /* chunks form shares of the weight gradients */
    const void *bx, *bh;      /* biases as the kernels want them */
    /* cut out of the scratch; NULL while only its size is asked for */
    char *px, *ph, *pn, *bias; /* forward: packed weights, the sum of both biases */
    char *dgates;             /* backward: (B,T,DH), of all rows, where there are no shares */
    int64_t d_row;
    char *x;                  /* there too, a contiguous (B,T,I) where x is not */
    char *db, *dwx, *dwh;     /* (chunks, DH), (chunks, GH, I), (chunks, GH, H) */
    char *slots;              /* forward: one per chunk. backward: one per thread, so that it stays in the core's cache */
    size_t slot, slot_dgates; /* bytes of one; where dgates begin in it where there are shares */
    _Atomic uint64_t free;    /* backward: bit i: slot i is free */
    char *product;            /* scratch of the products */
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

static bool x_folds(const fnn_recurrent *g) { return g->B == 1 || g->T == 1 || g->x_b == g->T * g->x_t; }
static int64_t x_row(const fnn_recurrent *g) { return !x_folds(g) ? g->I : g->T == 1 ? g->x_b : g->x_t; }
static int64_t gate_rows(const job *j) { return j->shape->gates * j->g->H; }

static job new_job(const fnn_recurrent *g, int64_t size) {
    job j = {.g = g, .shape = &FNN_RECURRENCE[g->kind], .size = size, .bx = g->bx, .bh = g->bh};
    j.rows = max64(min64(max64(ceil_div(g->B, 8), MIN_ROWS), MAX_ROWS), ceil_div(g->B, MAX_CHUNKS));
    j.rows = max64(1, min64(j.rows, g->B));
    j.chunks = ceil_div(g->B, j.rows);
    j.hoist = j.rows >= 8 ? 1 : max64(1, min64(g->T, HOIST_ROWS / j.rows));
    /* A line more than the gates: rows a power of two apart would meet in a few sets of the caches. */
    j.d_row = j.shape->grads * g->H + 64 / size;
    j.shares = g->B > 0 && j.rows * g->T >= SHARE_MIN_N && gate_rows(&j) * (g->I + g->H) <= SHARE_MAX_WEIGHTS;
    return j;
}

static size_t cut_forward(job *j, char *base) {
    const fnn_recurrent *g = j->g;
    const int64_t G = gate_rows(j), n = g->kind == FNN_GRU_BEFORE ? g->H : 0; /* rows that see r h */
    size_t used = 0, slot = 0;
    j->px = take(base, &used, packed_size(j, G, g->I), j->size);
    j->ph = take(base, &used, packed_size(j, G - n, g->H), j->size);
    j->pn = take(base, &used, packed_size(j, n, g->H), j->size);
    j->bias = take(base, &used, G, j->size);
    (void)take(NULL, &slot, ((j->hoist + 1) * j->shape->gates + 2) * j->rows * g->H, j->size);
    j->slot = slot;
    j->slots = take(base, &used, (int64_t)slot * j->chunks, 1);
    return used;
}

static fnn_recurrent_task chunk_task(const job *j, int64_t chunk, char *slot) {
    const fnn_recurrent *g = j->g;
    const int64_t row = chunk * j->rows, G = gate_rows(j);
#define SHARE(p, n) ((p) ? (p) + chunk * (n) * j->size : NULL)
    return (fnn_recurrent_task){
        .B = g->B, .T = g->T, .I = g->I, .H = g->H, .kind = g->kind,
        .row = row, .rows = min64(j->rows, g->B - row), .hoist = j->hoist,
        .x = g->x, .x_b = g->x_b, .x_t = g->x_t, .h0 = g->h0, .h0_b = g->h0_b, .c0 = g->c0, .c0_b = g->c0_b,
        .px = j->px, .ph = j->ph, .pn = j->pn, .bx = j->bx, .bh = j->bh,
        .y = g->y, .y_b = g->y_b, .y_t = g->y_t, .cn = g->cn, .saved = g->saved,
        .scratch = slot, .d_row = j->d_row,
        .dy = g->dy, .dy_b = g->dy_b, .dy_t = g->dy_t, .dhn = g->dhn, .dcn = g->dcn,
        .wx = g->wx, .wx_row = g->wx_row, .wh = g->wh, .wh_row = g->wh_row,
        .dh0 = g->dh0, .dc0 = g->dc0, .dx = g->dx, .dx_b = g->dx_b, .dx_t = g->dx_t,
        .db = SHARE(j->db, j->shape->grads * g->H), .dwx = SHARE(j->dwx, G * g->I), .dwh = SHARE(j->dwh, G * g->H),
    };
#undef SHARE
}

/* ---- forward ---- */

/* Packs columns first .. of the transpose of w (rows, depth). */
static void pack_columns(const job *j, char *packed, const void *w, int64_t w_row, int64_t rows, int64_t depth, int64_t first) {
    (j->size == 4 ? fnn_k.f32.gemm_pack : fnn_k.f64.gemm_pack)(packed + first * depth * j->size, (const char *)w + first * w_row * j->size,
                                                               min64(PACK_COLUMNS, rows - first), depth, 1, w_row);
}
/* Chunk = one block of columns of px, then of ph, then of pn. */
static void pack_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_recurrent *g = j->g;
    const int64_t G = gate_rows(j), n = g->kind == FNN_GRU_BEFORE ? g->H : 0;
    const int64_t x_blocks = ceil_div(G, PACK_COLUMNS), h_blocks = ceil_div(G - n, PACK_COLUMNS);
    if (chunk < x_blocks) pack_columns(j, j->px, g->wx, g->wx_row, G, g->I, chunk * PACK_COLUMNS);
    else if (chunk < x_blocks + h_blocks) pack_columns(j, j->ph, g->wh, g->wh_row, G - n, g->H, (chunk - x_blocks) * PACK_COLUMNS);
    else pack_columns(j, j->pn, (const char *)g->wh + (G - n) * g->wh_row * j->size, g->wh_row, n, g->H, (chunk - x_blocks - h_blocks) * PACK_COLUMNS);
}
static void pack(job *j) {
    const fnn_recurrent *g = j->g;
    const int64_t G = gate_rows(j), n = g->kind == FNN_GRU_BEFORE ? g->H : 0;
    const int64_t blocks = ceil_div(G, PACK_COLUMNS) + ceil_div(G - n, PACK_COLUMNS) + ceil_div(n, PACK_COLUMNS);
    fnn_parallel(blocks, (double)(G * (g->I + g->H)) * 0.25 * (double)(j->size / 4), pack_chunk, j);
    if (g->kind == FNN_GRU_AFTER || g->kind == FNN_GRU_BEFORE || !g->bh) return;
    /* Both are added to the same sum. */
    (j->size == 4 ? fnn_k.f32.gemm_merge : fnn_k.f64.gemm_merge)(j->bias, G, g->bh, 0, 1, 1, G, g->bx, 0);
    j->bx = j->bias;
}

static void forward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_recurrent_task task = chunk_task(j, chunk, j->slots + (size_t)chunk * j->slot);
    (j->size == 4 ? fnn_k.f32.recurrent_forward : fnn_k.f64.recurrent_forward)(&task);
}

/* In multiply-adds: products, nonlinearities. */
static double unit_work(const fnn_recurrent *g, int64_t size) {
    const int gates = FNN_RECURRENCE[g->kind].gates;
    return (double)(g->B * g->T * g->H * gates) * ((double)(g->I + g->H) + 20.0) * (size == 4 ? 0.013 : 0.026);
}
double fnn_recurrent_work(const fnn_recurrent *g, int64_t size) { return unit_work(g, size); }

void fnn_recurrent_forward(const fnn_recurrent *g, int64_t size, void *scratch) {
    job j = new_job(g, size);
    (void)cut_forward(&j, scratch);
    if (g->B == 0 || g->T == 0 || g->H == 0) return;
    pack(&j);
    fnn_parallel(j.chunks, unit_work(g, size), forward_chunk, &j);
}

/* ---- the weight gradients as products over all n = B T rows ---- */

/* dw (gates H, N) = d (n, gates H)^T v (n, N) */
static fnn_product weight_product(const job *j, int64_t gates, int64_t N, int64_t row, int64_t w_row) {
    const fnn_recurrent *g = j->g;
    return (fnn_product){.M = gates * g->H, .N = N, .K = g->B * g->T, .a_row = 1, .a_col = j->d_row, .b_row = row, .b_col = 1,
                         .c_row = w_row};
}
static size_t products_scratch(const job *j) {
    const int64_t H = j->g->H, I = j->g->I, S = j->shape->saved * H;
    size_t most = 0;
    for (int gates = 1; gates <= j->shape->gates; gates++) {
        const fnn_product both[2] = {weight_product(j, gates, I, I, I), weight_product(j, gates, H, S, H)};
        for (int k = 0; k < 2; k++) {
            const size_t bytes = j->size == 4 ? fnn_product_scratch_f32(&both[k]) : fnn_product_scratch_f64(&both[k]);
            if (bytes > most) most = bytes;
        }
    }
    return most;
}

/* The runs of one weight matrix; v's vector `saved` (0 for x) is the other factor. */
static void multiply_runs(const job *j, const fnn_gate_run *runs, int n, char *dw, int64_t dw_row, const char *v, int64_t v_row, int64_t N) {
    const int64_t unit = j->g->H * j->size; /* bytes of one gate of one row */
    for (int i = 0; i < n; i++) {
        const fnn_product p = weight_product(j, runs[i].gates, N, v_row, dw_row);
        void *c = dw + runs[i].row * j->g->H * dw_row * j->size;
        const void *a = j->dgates + runs[i].d * unit, *b = v + runs[i].saved * unit;
        if (j->size == 4) fnn_product_f32(&p, c, a, b, NULL, j->product);
        else fnn_product_f64(&p, c, a, b, NULL, j->product);
    }
}
static void weight_products(const job *j) {
    const fnn_recurrent *g = j->g;
    if (g->dwx) {
        const char *x = g->x;
        if (!x_folds(g)) {
            for (int64_t i = 0; i < g->B * g->T; i++)
                memcpy(j->x + i * g->I * j->size, (const char *)g->x + (i / g->T * g->x_b + i % g->T * g->x_t) * j->size,
                       (size_t)(g->I * j->size));
            x = j->x;
        }
        multiply_runs(j, j->shape->x, j->shape->x_runs, g->dwx, g->dwx_row, x, x_row(g), g->I);
    }
    if (g->dwh) multiply_runs(j, j->shape->h, j->shape->h_runs, g->dwh, g->dwh_row, g->saved, j->shape->saved * g->H, g->H);
}

/* ---- backward ---- */

static size_t cut_backward(job *j, char *base) {
    const fnn_recurrent *g = j->g;
    const int64_t G = gate_rows(j), D = j->shape->grads * g->H, n = max64(1, j->chunks);
    const bool copies = g->dwx && !x_folds(g);
    const int64_t threads = max64(1, min64(min64(g->threads, j->chunks), 64));
    size_t used = 0, slot = 0;
    j->dgates = take(base, &used, j->shares ? 0 : g->B * g->T * j->d_row, j->size);
    j->x = take(base, &used, copies && !j->shares ? g->B * g->T * g->I : 0, j->size);
    j->db = take(base, &used, n * D, j->size);
    if (j->shares && g->dwx) j->dwx = take(base, &used, n * G * g->I, j->size);
    if (j->shares && g->dwh) j->dwh = take(base, &used, n * G * g->H, j->size);
    (void)take(NULL, &slot, j->rows * g->H + D + (copies && j->shares ? j->rows * g->T * g->I : 0), j->size);
    j->slot_dgates = slot;
    (void)take(NULL, &slot, j->shares ? j->rows * g->T * j->d_row : 0, j->size);
    j->slot = slot;
    j->slots = take(base, &used, (int64_t)slot * threads, 1);
    atomic_init(&j->free, threads == 64 ? ~UINT64_C(0) : (UINT64_C(1) << threads) - 1);
    j->product = take(base, &used, j->shares ? 0 : (int64_t)products_scratch(j), 1);
    return used;
}

/* Slots are as many as threads, or chunks; that another is running with more threads meanwhile costs only waiting. */
static int claim_slot(job *j) {
    uint64_t free = atomic_load(&j->free);
    while (!free || !atomic_compare_exchange_weak(&j->free, &free, free & (free - 1)))
        if (!free) free = atomic_load(&j->free);
    return __builtin_ctzll(free);
}

static void backward_chunk(void *ctx, int64_t chunk) {
    job *j = ctx;
    const int i = claim_slot(j);
    char *slot = j->slots + (size_t)i * j->slot;
    fnn_recurrent_task task = chunk_task(j, chunk, slot);
    task.dgates = j->shares ? slot + j->slot_dgates : j->dgates + task.row * j->g->T * j->d_row * j->size;
    (j->size == 4 ? fnn_k.f32.recurrent_backward : fnn_k.f64.recurrent_backward)(&task);
    atomic_fetch_or(&j->free, UINT64_C(1) << i);
}

/* c (M,N) = the chunks' shares at `parts`, each `stride` elements, added up in order */
static void merge(const job *j, void *c, int64_t c_row, const char *parts, int64_t stride, int64_t M, int64_t N) {
    (j->size == 4 ? fnn_k.f32.gemm_merge : fnn_k.f64.gemm_merge)(c, c_row, parts, stride, j->chunks, M, N, NULL, 0);
}
/* Chunk = one gate of dwx, then of dwh. */
static void merge_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_recurrent *g = j->g;
    const int64_t gate = chunk % j->shape->gates * g->H;
    const bool of_x = chunk < j->shape->gates;
    const int64_t N = of_x ? g->I : g->H, row = of_x ? g->dwx_row : g->dwh_row;
    char *dw = of_x ? g->dwx : g->dwh, *parts = of_x ? j->dwx : j->dwh;
    if (dw) merge(j, dw + gate * row * j->size, row, parts + gate * N * j->size, gate_rows(j) * N, g->H, N);
}

/* Deals the sums out to both biases: the x runs say where dbx's gates lie, the h runs where dbh's do. */
static void bias_gradients(const job *j) {
    const fnn_recurrent *g = j->g;
    const int64_t D = j->shape->grads * g->H, unit = g->H * j->size;
    if (j->chunks == 0) memset(j->db, 0, (size_t)(D * j->size)); /* an empty batch; the room is there, see cut_backward */
    else merge(j, j->db, D, j->db, D, 1, D);
    for (int side = 0; side < 2; side++) {
        const fnn_gate_run *runs = side ? j->shape->h : j->shape->x;
        char *db = side ? g->dbh : g->dbx;
        for (int i = 0; db && i < (side ? j->shape->h_runs : j->shape->x_runs); i++)
            memcpy(db + runs[i].row * unit, j->db + runs[i].d * unit, (size_t)(runs[i].gates * unit));
    }
}

void fnn_recurrent_backward(const fnn_recurrent *g, int64_t size, void *scratch) {
    job j = new_job(g, size);
    (void)cut_backward(&j, scratch);
    fnn_parallel(g->H > 0 && g->B > 0 ? j.chunks : 0, (j.shares ? 2.0 : 1.0) * unit_work(g, size), backward_chunk, &j);
    if (g->dbx || g->dbh) bias_gradients(&j);
    if (!j.shares) weight_products(&j);
    else fnn_parallel(2 * j.shape->gates, (double)(j.chunks * gate_rows(&j) * (g->I + g->H)) * 0.2, merge_chunk, &j);
}

size_t fnn_recurrent_forward_scratch(const fnn_recurrent *g, int64_t size) {
    job j = new_job(g, size);
    return cut_forward(&j, NULL);
}
size_t fnn_recurrent_backward_scratch(const fnn_recurrent *g, int64_t size) {
    job j = new_job(g, size);
    return cut_backward(&j, NULL);
}
