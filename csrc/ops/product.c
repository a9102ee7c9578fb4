/* The driver of matrix products. See product.h for what it promises.
 *
 * The way: a kernel call for a small product, one row or an inner product; OpenBLAS for a large one; else a plan, run as pack,
 * multiply, merge, each a parallel region.
 * Does not: decide a plan (product_plan.c), write an arithmetic loop (kernels/gemm.h).
 * Read next: product_plan.h, kernels/gemm_task.h, product_large.h (OpenBLAS). */
#include "ops/product.h"

#include <string.h>

#include "core/threads.h"
#include "kernels/kernels.h"
#include "ops/product_large.h"
#include "ops/product_plan.h"

typedef fnn_product_type type_info;
typedef fnn_product_plan plan;

static const type_info F32 = {sizeof(float), FNN_F32, 16, 13000.0}, F64 = {sizeof(double), FNN_F64, 8, 26000.0};

enum {
    PANELS = FNN_PRODUCT_PANELS,
    ROWS = FNN_PRODUCT_ROWS,
    CHUNK_WORK = FNN_PRODUCT_CHUNK_WORK,
    ROW_MIN_K = 32 /* below, the lanes of a row product would be added up longer than they were filled: part of the contract */
};

/* Offset of batch element i, in bytes. */
static int64_t batch_offset(const plan *l, const int64_t *strides, int64_t i) {
    int64_t offset = 0;
    for (int d = l->p.batch_ndim - 1; d >= 0; d--) {
        offset += i % l->p.batch[d] * strides[d];
        i /= l->p.batch[d];
    }
    return offset * (int64_t)l->t->size;
}

static const char *bytes_at(const void *p, int64_t elements, const plan *l) {
    return (const char *)p + elements * (int64_t)l->t->size;
}
static int64_t piece_depth(const plan *l, int64_t split) { return min64(l->depth, l->p.K - split * l->depth); }

/* What follows the finished sums of a block of C; `at`: its place in bytes. */
static void finish_block(const fnn_product *p, const type_info *t, char *c, char *sums, int64_t at, int64_t rows, int64_t columns) {
    const fnn_product_finish *f = p->finish;
    if (!f) return;
    const int64_t size = (int64_t)t->size, stride[3] = {size, size, size};
    if (columns == p->c_row) columns *= rows, rows = 1;
    for (; rows > 0; rows--, at += p->c_row * size) {
        if (f->activation >= 0) fnn_k.unary[f->activation][t->dtype]((char *[]){c + at, sums + at}, stride, columns);
        if (f->residual) fnn_k.binary[FNN_B_add][t->dtype]((char *[]){c + at, c + at, (char *)f->residual + at}, stride, columns);
    }
}

static void call_pack(const plan *l, void *to, const char *b, int64_t columns, int64_t depth) {
    (l->t == &F32 ? fnn_k.f32.gemm_pack : fnn_k.f64.gemm_pack)(to, b, columns, depth, l->p.b_row, l->p.b_col);
}

/* Where B's element (first k of the piece, column) lies, and where its packed copy does. */
static const char *b_piece(const plan *l, int64_t b_index, int64_t split, int64_t column) {
    const char *b = l->b + (l->b_batches > 1 ? batch_offset(l, l->p.b_batch, b_index) : 0);
    return bytes_at(b, split * l->depth * l->p.b_row + column * l->p.b_col, l);
}
static char *packed_piece(const plan *l, int64_t b_index, int64_t split, int64_t column) {
    char *first = l->scratch + (size_t)(b_index * l->splits + split) * l->pack_bytes;
    return first + column * piece_depth(l, split) * (int64_t)l->t->size;
}

/* Region 0: chunk = (B, piece of K, block of columns). */
static void pack_chunk(void *ctx, int64_t chunk) {
    const plan *l = ctx;
    const int64_t blocks = ceil_div(l->p.N, PANELS), column = chunk % blocks * PANELS;
    const int64_t split = chunk / blocks % l->splits, b_index = chunk / blocks / l->splits;
    call_pack(l, packed_piece(l, b_index, split, column), b_piece(l, b_index, split, column),
              min64(PANELS, l->p.N - column), piece_depth(l, split));
}

/* What is added to the finished sums of every row from `column` on. */
static const void *bias_at(const plan *l, int64_t column) { return l->p.has_bias ? bytes_at(l->bias, column, l) : NULL; }

static void multiply(const plan *l, int64_t batch, int64_t split, int64_t row, int64_t column) {
    const fnn_product *p = &l->p;
    const int64_t b_index = l->b_batches > 1 ? batch : 0;
    const char *a = l->a + batch_offset(l, p->a_batch, batch);
    const int64_t at = batch_offset(l, p->c_batch, batch) + (row * p->c_row + column) * (int64_t)l->t->size;
    fnn_gemm_task task = {
        .M = min64(l->rows, p->M - row), .N = min64(l->columns, p->N - column), .K = piece_depth(l, split),
        .a = bytes_at(a, row * p->a_row + split * l->depth * p->a_col, l), .a_row = p->a_row, .a_col = p->a_col,
        .b = l->b_form == FNN_GEMM_PACKED ? packed_piece(l, b_index, split, column) : b_piece(l, b_index, split, column),
        .b_form = l->b_form, .b_row = p->b_row, .b_col = p->b_col,
    };
    if (l->splits > 1) {
        task.c = (void *)bytes_at(l->parts, split * p->M * p->N + row * p->N + column, l);
        task.c_row = p->N;
    } else {
        task.c = l->sums + at;
        task.c_row = p->c_row;
        task.add = bias_at(l, column);
    }
    (l->t == &F32 ? fnn_k.f32.gemm_block : fnn_k.f64.gemm_block)(&task);
    if (l->splits == 1) finish_block(p, l->t, l->c, l->sums, at, task.M, task.N);
}

/* Region 1: chunk = (group of batches, piece of K, rows, columns). Neighbours share their rows of A and C, as the chunks of the ops
 * before and after do, so these stay in one core's cache; where B is large, its columns, of which a core then reads half. */
static void multiply_chunk(void *ctx, int64_t chunk) {
    const plan *l = ctx;
    const int64_t row = (l->by_rows ? chunk / l->column_chunks % l->row_chunks : chunk % l->row_chunks) * l->rows;
    const int64_t column = (l->by_rows ? chunk % l->column_chunks : chunk / l->row_chunks % l->column_chunks) * l->columns;
    chunk /= l->column_chunks * l->row_chunks;
    const int64_t split = chunk % l->splits, first = chunk / l->splits * l->group;
    for (int64_t batch = first; batch < min64(first + l->group, l->batches); batch++) multiply(l, batch, split, row, column);
}

/* Region 2: chunk = rows of C; adds the pieces up in order. */
static void merge_chunk(void *ctx, int64_t chunk) {
    const plan *l = ctx;
    const fnn_product *p = &l->p;
    const int64_t row = chunk * ROWS, rows = min64(ROWS, p->M - row), at = row * p->c_row * (int64_t)l->t->size;
    (l->t == &F32 ? fnn_k.f32.gemm_merge : fnn_k.f64.gemm_merge)(
        l->sums + at, p->c_row, bytes_at(l->parts, row * p->N, l), p->M * p->N, l->splits, rows, p->N, bias_at(l, 0), 0);
    finish_block(p, l->t, l->c, l->sums, at, rows, p->N);
}

static void dot_chunk(void *ctx, int64_t i) {
    const plan *l = ctx;
    const fnn_product *p = &l->p;
    const char *a = l->a + batch_offset(l, p->a_batch, i), *b = l->b + batch_offset(l, p->b_batch, i);
    const int64_t at = batch_offset(l, p->c_batch, i);
    char *c = l->sums + at;
    if (l->t == &F32) {
        float sum = fnn_k.f32.dot((const float *)a, (const float *)b, p->K, p->a_col, p->b_row);
        if (p->has_bias) sum += *(const float *)l->bias;
        *(float *)c = sum;
    } else {
        double sum = fnn_k.f64.dot((const double *)a, (const double *)b, p->K, p->a_col, p->b_row);
        if (p->has_bias) sum += *(const double *)l->bias;
        *(double *)c = sum;
    }
    finish_block(p, l->t, l->c, l->sums, at, 1, 1);
}

static int64_t chunks_of(const plan *l) { return ceil_div(l->batches, l->group) * l->splits * l->row_chunks * l->column_chunks; }

static double depth_ns(const plan *l) { return (double)l->p.K * l->t->ns_per_m * 1e-6; }

static double work_ns(const plan *l) { return (double)l->batches * (double)l->p.M * (double)l->p.N * depth_ns(l); }

static void pack(plan *l) {
    const int64_t packs = l->b_batches * l->splits;
    if (l->b_form == FNN_GEMM_PACKED)
        fnn_parallel(packs * ceil_div(l->p.N, PANELS), (double)(packs * l->p.N * l->depth) * 0.5, pack_chunk, l);
}

static void merge(plan *l) {
    if (l->splits > 1)
        fnn_parallel(ceil_div(l->p.M, ROWS), (double)(l->p.M * l->p.N * l->splits) * 0.1, merge_chunk, l);
}

static void run(plan *l) {
    if (l->empty) return;
    if (l->dot) {
        fnn_parallel(l->batches, (double)l->batches * depth_ns(l), dot_chunk, l);
        return;
    }
    pack(l);
    fnn_parallel(chunks_of(l), work_ns(l), multiply_chunk, l);
    merge(l);
}

/* Chunk of two products: theirs are dealt out evenly, each in its order. Where they are large, in two halves that hold first one
 * product's chunks, then the other's: a core, which starts with one end of all chunks, then reads one product's memory at a time. */
static void pair_chunk(void *ctx, int64_t chunk) {
    plan *const *l = ctx;
    const int64_t n[2] = {chunks_of(l[0]), chunks_of(l[1])};
    const int64_t parts = l[0]->by_rows && l[1]->by_rows ? max64(n[0], n[1]) : 2;
    for (int64_t part = 0; part < parts; part++)
        for (int i = 0; i < 2; i++) {
            const int64_t first = n[i] * part / parts, count = n[i] * (part + 1) / parts - first;
            if (chunk < count) {
                multiply_chunk(l[i], first + chunk);
                return;
            }
            chunk -= count;
        }
}

static void run_pair(plan *l, plan *m) {
    plan *both[2] = {l, m};
    pack(l);
    pack(m);
    fnn_parallel(chunks_of(l) + chunks_of(m), work_ns(l) + work_ns(m), pair_chunk, both);
    merge(l);
    merge(m);
}

/* Small products without batch are one kernel call: planning would take longer than multiplying. */
static bool is_small(const fnn_product *p) {
    return p->batch_ndim == 0 && p->M <= 64 && p->N <= 64 && p->K <= 64 && p->M * p->N > 1;
}

static void run_small(const fnn_product *p, const type_info *t, char *c, char *sums, const void *a, const void *b, const void *bias) {
    const fnn_gemm_task task = {
        .M = p->M, .N = p->N, .K = p->K, .a = a, .a_row = p->a_row, .a_col = p->a_col,
        .b = b, .b_form = p->b_col == 1 || p->N == 1 ? FNN_GEMM_PLAIN : FNN_GEMM_COPIED, .b_row = p->b_row, .b_col = p->b_col,
        .c = sums, .c_row = p->c_row, .add = p->has_bias ? bias : NULL,
    };
    (t == &F32 ? fnn_k.f32.gemm_block : fnn_k.f64.gemm_block)(&task);
    finish_block(p, t, c, sums, 0, p->M, p->N);
}

/* One row (generation): B is read once, so nothing is packed, and its columns are shared out. */
static bool is_row(const fnn_product *p) { return p->batch_ndim == 0 && p->M == 1 && p->N > 1 && p->K >= ROW_MIN_K; }

typedef struct row_job {
    const fnn_product *p;
    const type_info *t;
    char *c, *sums;
    const char *a, *b, *bias;
    int64_t columns; /* of a chunk */
} row_job;

static void row_chunk(void *ctx, int64_t chunk) {
    const row_job *j = ctx;
    const fnn_product *p = j->p;
    const int64_t first = chunk * j->columns, n = min64(j->columns, p->N - first), size = (int64_t)j->t->size, at = first * size;
    char *c = j->sums + at;
    const char *b = j->b + first * p->b_col * size;
    const char *add = p->has_bias ? j->bias + at : NULL;
    if (j->t == &F32) fnn_k.f32.row_product((float *)c, (const float *)j->a, (const float *)b, (const float *)add, n, p->K, p->b_row, p->b_col);
    else fnn_k.f64.row_product((double *)c, (const double *)j->a, (const double *)b, (const double *)add, n, p->K, p->b_row, p->b_col);
    finish_block(p, j->t, j->c, j->sums, at, 1, n);
}

/* `scratch` is for an a that is not contiguous. */
static void run_row(const fnn_product *p, const type_info *t, char *c, char *sums, const char *a, const char *b, const char *bias, char *scratch) {
    const int64_t size = (int64_t)t->size;
    row_job j = {p, t, c, sums, a, b, bias, round_up(min64(p->N, ceil_div(CHUNK_WORK, 8 * p->K)), PANELS)};
    for (int64_t k = 0; p->a_col != 1 && k < p->K; k++) memcpy(scratch + k * size, a + k * p->a_col * size, t->size);
    if (p->a_col != 1) j.a = scratch;
    fnn_parallel(ceil_div(p->N, j.columns), (double)(p->N * p->K) * 0.05, row_chunk, &j);
}

/* A product that the library has made is finished in a pass of its own. */
typedef struct finish_job {
    const fnn_product *p;
    const type_info *t;
    char *c, *sums;
} finish_job;

static void finish_chunk(void *ctx, int64_t chunk) {
    const finish_job *j = ctx;
    const int64_t row = chunk * ROWS;
    finish_block(j->p, j->t, j->c, j->sums, row * j->p->c_row * (int64_t)j->t->size, min64(ROWS, j->p->M - row), j->p->N);
}

static size_t scratch_bytes(const fnn_product *p, const type_info *t) {
    if (is_row(p)) return p->a_col == 1 ? 0 : round_bytes((size_t)p->K * t->size);
    if (is_small(p)) return 0;
    if (fnn_product_is_large(p, t->size)) return fnn_product_large_scratch(p, t->size);
    const plan l = fnn_product_plan_of(p, t);
    return l.packed_bytes + round_bytes(l.part_bytes);
}

size_t fnn_product_scratch_f32(const fnn_product *p) { return scratch_bytes(p, &F32); }
size_t fnn_product_scratch_f64(const fnn_product *p) { return scratch_bytes(p, &F64); }

/* A plan with its operands, fit to run. */
static plan ready_plan(const fnn_product *p, const type_info *t, void *c, void *sums, const void *a, const void *b, const void *bias, void *scratch) {
    plan l = fnn_product_plan_of(p, t);
    l.c = c, l.sums = sums, l.a = l.turned ? b : a, l.b = l.turned ? a : b, l.bias = bias, l.scratch = scratch;
    l.parts = l.scratch + l.packed_bytes;
    if (l.b_form == FNN_GEMM_PLAIN && fnn_product_reads_badly(&l)) l.b_form = FNN_GEMM_COPIED;
    return l;
}

static void run_product(const fnn_product *p, const type_info *t, void *c, const void *a, const void *b, const void *bias,
                        void *scratch) {
    char *sums = p->finish && p->finish->sums ? p->finish->sums : c;
    if (is_row(p)) {
        run_row(p, t, c, sums, a, b, bias, scratch);
        return;
    }
    if (is_small(p)) {
        run_small(p, t, c, sums, a, b, bias);
        return;
    }
    if (fnn_product_is_large(p, t->size)) {
        finish_job j = {p, t, c, sums};
        fnn_product_large(p, t->size, sums, a, b, bias, scratch);
        if (p->finish) fnn_parallel(ceil_div(p->M, ROWS), (double)(p->M * p->N), finish_chunk, &j);
        return;
    }
    plan l = ready_plan(p, t, c, sums, a, b, bias, scratch);
    run(&l);
}

/* Both in one region, unless one of them takes a way of its own. */
static void run_two(const fnn_product_run *r, const type_info *t) {
    plan l[2] = {0};
    bool planned = true;
    for (int i = 0; i < 2; i++) {
        const fnn_product *p = r[i].p;
        planned = planned && !is_row(p) && !is_small(p) && !fnn_product_is_large(p, t->size);
        if (planned) l[i] = ready_plan(p, t, r[i].c, r[i].c, r[i].a, r[i].b, NULL, r[i].scratch);
        planned = planned && !l[i].empty && !l[i].dot;
    }
    if (planned) run_pair(&l[0], &l[1]);
    else
        for (int i = 0; i < 2; i++) run_product(r[i].p, t, r[i].c, r[i].a, r[i].b, NULL, r[i].scratch);
}

void fnn_product_two_f32(const fnn_product_run run[2]) { run_two(run, &F32); }
void fnn_product_two_f64(const fnn_product_run run[2]) { run_two(run, &F64); }

void fnn_product_f32(const fnn_product *p, float *c, const float *a, const float *b, const float *bias, void *scratch) {
    run_product(p, &F32, c, a, b, bias, scratch);
}
void fnn_product_f64(const fnn_product *p, double *c, const double *a, const double *b, const double *bias, void *scratch) {
    run_product(p, &F64, c, a, b, bias, scratch);
}
