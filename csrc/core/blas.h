/* The gate to an optional OpenBLAS.
 *
 * What: finds, opens and checks a shared library with OpenBLAS' C interface on first use and
 *   hands out its two matrix products.
 * Invariant: the library is used with one thread only (threads are ours, core/threads.h), its
 *   symbols stay private to fastnn (RTLD_LOCAL), and nothing is opened before the first caller
 *   asks for it. A library that fails a check is closed and never used; the reason is kept.
 * Does not: search the file system, import Python packages, decide which products are large
 *   (ops/product.c does, by shape).
 * Read next: blas.c, then ops/product.h.
 *
 * Choice of the library, in this order:
 *   1. environment FASTNN_BLAS: a path, or "none" for no library at all;
 *   2. the path given to fnn_blas_set_path (the Python side passes the file inside PyPI's
 *      scipy-openblas32, found without importing that package);
 *   3. none.
 */
#ifndef FNN_CORE_BLAS_H
#define FNN_CORE_BLAS_H

/* The values of CBLAS' enumerations: they are part of its binary interface. */
enum { FNN_CBLAS_ROW_MAJOR = 101, FNN_CBLAS_NO_TRANS = 111 };

typedef void (*fnn_blas_sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k,
                                  float alpha, const float *a, int lda, const float *b, int ldb,
                                  float beta, float *c, int ldc);
typedef void (*fnn_blas_dgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k,
                                  double alpha, const double *a, int lda, const double *b,
                                  int ldb, double beta, double *c, int ldc);

typedef struct fnn_blas {
    fnn_blas_sgemm_fn sgemm; /* both are set, or the gate is shut */
    fnn_blas_dgemm_fn dgemm;
} fnn_blas;

/* Proposes the library to open. Copies `path`; NULL or "" withdraws the proposal. Returns 0, or
 * -1 where it came too late (the gate has been decided) or the path is too long to keep. */
int fnn_blas_set_path(const char *path);

/* The opened library, or NULL when there is none. Any thread; the first call opens it. */
const fnn_blas *fnn_blas_get(void);

/* One line about the gate for people ("OpenBLAS 0.3.30 ..., 1 thread, /path" or "none: why").
 * Opens the library if that has not happened. The text lives as long as the process. */
const char *fnn_blas_describe(void);

#endif
