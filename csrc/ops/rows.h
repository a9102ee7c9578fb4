/* What ops over rows share: bringing one dimension last, cutting rows into chunks, calling the kernel of a dtype.
 *
 * Invariant: chunks follow from the shape alone, so results depend neither on threads nor on strides.
 * Read next: softmax.c (the simplest user), norm.c, loss.c. */
#ifndef FNN_OPS_ROWS_H
#define FNN_OPS_ROWS_H

#include "core/threads.h"
#include "kernels/kernels.h"
#include "op.h"

/* t with dimension `dim` last, contiguous: counted, t's own memory where it lies so, else a copy. */
fnn_status fnn_rows_in(fnn_tensor *rows, const fnn_tensor *t, int dim);
/* Where rows of t are computed: t's own memory where it lies so, else fresh memory that fnn_rows_done brings back. */
fnn_status fnn_rows_out(fnn_tensor *rows, const fnn_tensor *t, int dim);
/* Releases what fnn_rows_out gave, after bringing the rows into t where that is other memory. */
fnn_status fnn_rows_done(fnn_tensor *rows, const fnn_tensor *t, int dim);

/* NotImplementedError, as torch has it for kernels that exist for floats only. */
fnn_status fnn_rows_want_float(const char *op, const fnn_tensor *t);
/* [] of a list of sizes as torch prints it in messages: "[3, 4]". Valid until the thread has asked four times. */
const char *fnn_sizes_text(const int64_t *sizes, int64_t n);

#define FNN_CHUNK 16384 /* elements of a chunk: long beside the cost of a chunk (50 ns), short beside an op worth splitting */
/* whole groups of 16: what kernels take at a time of short rows */
static inline int64_t fnn_rows_per_chunk(int64_t n) { return (FNN_CHUNK / (n + 1) + 16) / 16 * 16; }
static inline int64_t fnn_chunks(int64_t rows, int64_t per) { return (rows + per - 1) / per; }

/* Calls a kernel of the dtype; pointers among the arguments are void *. */
#define FNN_KERNEL_OF(dtype, name, ...)      \
    do {                                     \
        if ((dtype) == FNN_F32)              \
            fnn_k.f32.name(__VA_ARGS__);     \
        else                                 \
            fnn_k.f64.name(__VA_ARGS__);     \
    } while (0)

#endif
