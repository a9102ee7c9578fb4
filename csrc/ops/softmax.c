/* softmax and log_softmax along one dimension.
 *
 * attrs: v[0].i dim, v[1].i dtype the input is cast to first (-1: its own). Saved: the output.
 *   forward:  y = e^(x - max) / sum e^(x - max)    log_softmax:  y = x - max - log(sum e^(x - max))
 *   backward: dx = y (dy - sum(dy y))                            dx = dy - e^y sum(dy)
 * Rows along a dimension that is not the last one are copied to where they are contiguous, and back. */
#include "rows.h"

typedef struct task {
    bool log;
    int dtype;
    int64_t rows, n, per;
    char *out;            /* (rows, n): y, or dx */
    const char *in, *y;   /* (rows, n): x, or dy and y */
} task;

static void forward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per;
    int64_t at = first * t->n * fnn_itemsize[t->dtype];
    void *y = t->out + at;
    const void *x = t->in + at;
    if (t->log)
        FNN_KERNEL_OF(t->dtype, log_softmax_forward, y, x, rows, t->n);
    else
        FNN_KERNEL_OF(t->dtype, softmax_forward, y, x, rows, t->n);
}

static void backward_chunk(void *ctx, int64_t chunk) {
    const task *t = ctx;
    int64_t first = chunk * t->per, rows = t->rows - first < t->per ? t->rows - first : t->per;
    int64_t at = first * t->n * fnn_itemsize[t->dtype];
    void *dx = t->out + at;
    const void *dy = t->in + at, *y = t->y + at;
    if (t->log)
        FNN_KERNEL_OF(t->dtype, log_softmax_backward, dx, dy, y, rows, t->n);
    else
        FNN_KERNEL_OF(t->dtype, softmax_backward, dx, dy, y, rows, t->n);
}

static double work_of(int64_t numel) { return 0.6 * (double)numel; } /* ns: about 1.7 elements a ns with AVX2 */

static void run(task *t, fnn_chunk_fn fn) {
    t->per = fnn_rows_per_chunk(t->n);
    fnn_parallel(fnn_chunks(t->rows, t->per), work_of(t->rows * t->n), fn, t);
}

static int64_t row_length(const fnn_tensor *rows) { return rows->ndim ? rows->shape[rows->ndim - 1] : 1; }

static fnn_status plan(fnn_call *c) {
    const fnn_tensor *x = c->in[0];
    int64_t dim = c->attrs->v[0].i, want = c->attrs->v[1].i;
    FNN_TRY(fnn_wrap_dim(c->op->name, &dim, x->ndim));
    fnn_tensor_set_geometry(c->out, x->ndim, x->shape, NULL);
    c->out->dtype = want < 0 ? x->dtype : (uint8_t)want;
    c->work = work_of(x->numel);
    return fnn_rows_want_float(c->op->name, c->out);
}

static fnn_status forward(fnn_call *c) {
    int64_t dim = c->attrs->v[0].i;
    FNN_TRY(fnn_wrap_dim(c->op->name, &dim, c->in[0]->ndim));
    if (!c->out->numel) return FNN_OK;
    fnn_tensor cast, x = {0}, y = {0};
    FNN_TRY(fnn_cast(&cast, c->in[0], c->out->dtype));
    fnn_status status = fnn_rows_in(&x, &cast, (int)dim);
    fnn_tensor_unref(&cast);
    if (!status) status = fnn_rows_out(&y, c->out, (int)dim);
    if (!status) {
        int64_t n = row_length(&x);
        task t = {.log = c->op == &fnn_op_LOG_SOFTMAX, .dtype = x.dtype, .rows = x.numel / n, .n = n, .out = y.data, .in = x.data};
        run(&t, forward_chunk);
        status = fnn_rows_done(&y, c->out, (int)dim);
    }
    fnn_tensor_unref(&x);
    return status;
}

/* dx of the output's dtype, contiguous in the output's shape. */
static fnn_status gradient(const fnn_backcall *b, int dim, fnn_tensor *dx) {
    const fnn_geom *g = &b->out_geom[0];
    FNN_TRY(fnn_empty(dx, g->dtype, g->ndim, g->shape));
    if (!dx->numel) return FNN_OK;
    fnn_tensor dy = {0}, y = {0}, rows = {0};
    fnn_status status = fnn_rows_in(&dy, b->dy[0], dim);
    if (!status) status = fnn_rows_in(&y, &b->out[0], dim);
    if (!status) status = fnn_rows_out(&rows, dx, dim);
    if (!status) {
        int64_t n = row_length(&y);
        task t = {.log = b->op == &fnn_op_LOG_SOFTMAX, .dtype = y.dtype, .rows = y.numel / n, .n = n, .out = rows.data, .in = dy.data, .y = y.data};
        run(&t, backward_chunk);
        status = fnn_rows_done(&rows, dx, dim);
    }
    fnn_tensor_unref(&dy);
    fnn_tensor_unref(&y);
    return status;
}

static fnn_status backward(fnn_backcall *b) {
    int64_t dim = b->attrs->v[0].i;
    fnn_tensor dx = {0};
    FNN_TRY(fnn_wrap_dim(b->op->name, &dim, b->out_geom[0].ndim));
    fnn_status status = gradient(b, (int)dim, &dx);
    if (!status) status = fnn_cast(&b->dx[0], &dx, b->in_geom[0].dtype);
    fnn_tensor_unref(&dx);
    return status;
}

const fnn_op fnn_op_SOFTMAX = {.name = "softmax", .grad_name = "SoftmaxBackward0", .n_in = 1, .n_out = 1, .save_out = 1,
                               .plan = plan, .forward = forward, .backward = backward};
const fnn_op fnn_op_LOG_SOFTMAX = {.name = "log_softmax", .grad_name = "LogSoftmaxBackward0", .n_in = 1, .n_out = 1, .save_out = 1,
                                   .plan = plan, .forward = forward, .backward = backward};
