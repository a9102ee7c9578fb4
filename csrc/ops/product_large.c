/* Large products through OpenBLAS. See product_large.h.
 *
 * The way: copy what does not lie in rows -> pieces of rows of C, one library call each, in parallel -> add the bias.
 * Does not: split K (the library adds up as it does), use the library's own threads. Read next: core/blas.c. */
#include "ops/product_large.h"

#include <limits.h>

#include "core/blas.h"
#include "core/threads.h"
#include "kernels/kernels.h"

/* The crossover, in GFLOP/s of two threads (AVX-512, OpenBLAS 0.3.34, SkylakeX kernels, pieces of 512 rows):
 *               1024^3     1536^3     2048^3     4096^3     2048x512x2048  1024x3072x768  4096x768x768
 *   float       312 / 302  307 / 217  304 / 294  296 / 305  316 / 290      307 / 200      343 / 278     ours / library
 *   double      157 / 150  154 / 117  146 / 156             155 / 138                     154 / 138
 * The library wins where no dimension is small and B no longer fits the L2 cache in any way; below, ours win and need no copies. */
enum { LARGE_F32 = 4096, LARGE_F64 = 2048, PIECE_ROWS = 512, COPY_ROWS = 64 };

bool fnn_product_is_large(const fnn_product *p, size_t size) {
    const int64_t least = size == sizeof(float) ? LARGE_F32 : LARGE_F64;
    if (p->batch_ndim != 0 || p->M < least || p->N < least || p->K < least) return false;
    if (p->M > INT_MAX || p->N > INT_MAX || p->K > INT_MAX) return false;
    return fnn_blas_get() != NULL;
}

/* Rows contiguous, in order and apart by what the library's 32-bit sizes can say. */
static bool lies_in_rows(int64_t row, int64_t col, int64_t columns) { return col == 1 && row >= columns && row <= INT_MAX; }

/* The bias is added to finished sums, which then are made in scratch. */
static bool has_parts(const fnn_product *p) { return p->has_bias || p->c_row > INT_MAX; }

static size_t rounded(int64_t elements, size_t size) { return ((size_t)elements * size + 63) & ~(size_t)63; }

size_t fnn_product_large_scratch(const fnn_product *p, size_t size) {
    size_t bytes = 0;
    if (!lies_in_rows(p->a_row, p->a_col, p->K)) bytes += rounded(p->M * p->K, size);
    if (!lies_in_rows(p->b_row, p->b_col, p->N)) bytes += rounded(p->K * p->N, size);
    if (has_parts(p)) bytes += rounded(p->M * p->N, size);
    return bytes;
}

typedef struct job {
    const fnn_product *p;
    size_t size;
    const fnn_blas *blas;
    char *c, *sums;        /* sums: where the library writes; C itself, or scratch */
    int64_t sums_row;
    const char *a, *b, *bias;
    int64_t a_row, b_row;
    int64_t rows;          /* of a piece */
    /* of the copy in progress */
    const char *from;
    char *to;
    int64_t from_row, from_col, copy_rows, copy_cols;
} job;

static void copy_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const int64_t first = chunk * COPY_ROWS, left = j->copy_rows - first, size = (int64_t)j->size;
    const int64_t to[2] = {j->copy_cols, 1}, from[2] = {j->from_row, j->from_col};
    fnn_k.copy_2d[j->size == 4 ? 2 : 3](j->to + first * j->copy_cols * size, j->from + first * j->from_row * size,
                                        left < COPY_ROWS ? left : COPY_ROWS, j->copy_cols, to, from);
}

/* The operand (rows, cols) in rows: itself, or a copy at *scratch, which moves on. */
static const char *in_rows(job *j, const char *x, int64_t *row, int64_t col, int64_t rows, int64_t cols, char **scratch) {
    if (lies_in_rows(*row, col, cols)) return x;
    j->from = x, j->from_row = *row, j->from_col = col;
    j->to = *scratch, j->copy_rows = rows, j->copy_cols = cols;
    fnn_parallel((rows + COPY_ROWS - 1) / COPY_ROWS, (double)(rows * cols), copy_chunk, j);
    *row = cols;
    *scratch += rounded(rows * cols, j->size);
    return j->to;
}

static void multiply_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_product *p = j->p;
    const int64_t first = chunk * j->rows, rows = p->M - first < j->rows ? p->M - first : j->rows, size = (int64_t)j->size;
    const char *a = j->a + first * j->a_row * size;
    char *c = j->sums + first * j->sums_row * size;
    if (j->size == sizeof(float))
        j->blas->sgemm(FNN_CBLAS_ROW_MAJOR, FNN_CBLAS_NO_TRANS, FNN_CBLAS_NO_TRANS, (int)rows, (int)p->N, (int)p->K, 1.0f,
                       (const float *)a, (int)j->a_row, (const float *)j->b, (int)j->b_row, 0.0f, (float *)c, (int)j->sums_row);
    else
        j->blas->dgemm(FNN_CBLAS_ROW_MAJOR, FNN_CBLAS_NO_TRANS, FNN_CBLAS_NO_TRANS, (int)rows, (int)p->N, (int)p->K, 1.0,
                       (const double *)a, (int)j->a_row, (const double *)j->b, (int)j->b_row, 0.0, (double *)c, (int)j->sums_row);
    if (j->sums == j->c) return;
    char *to = j->c + first * p->c_row * size;
    (j->size == sizeof(float) ? fnn_k.f32.gemm_merge : fnn_k.f64.gemm_merge)(
        to, p->c_row, c, 0, 1, rows, p->N, j->bias, 0);
}

void fnn_product_large(const fnn_product *p, size_t size, void *c, const void *a, const void *b, const void *bias, void *scratch) {
    job j = {.p = p, .size = size, .blas = fnn_blas_get(), .c = c, .sums = c, .sums_row = p->c_row, .bias = bias,
             .a_row = p->a_row, .b_row = p->b_row};
    char *free_scratch = scratch;
    j.a = in_rows(&j, a, &j.a_row, p->a_col, p->M, p->K, &free_scratch);
    j.b = in_rows(&j, b, &j.b_row, p->b_col, p->K, p->N, &free_scratch);
    if (has_parts(p)) j.sums = free_scratch, j.sums_row = p->N;
    const int64_t pieces = (p->M + PIECE_ROWS - 1) / PIECE_ROWS;
    j.rows = (p->M + pieces - 1) / pieces;
    fnn_parallel(pieces, (double)p->M * (double)p->N * (double)p->K * (size == 4 ? 0.013 : 0.026), multiply_chunk, &j);
}
