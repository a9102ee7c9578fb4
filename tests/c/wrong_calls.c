/* Calls of the public C interface that Python cannot make, right and wrong: each wrong one is refused with a message that names what was
 * found, and leaves its output untouched.
 *
 * Invariant: includes fastnn.h only; exit status 0 and no output mean that all held. Read next: csrc/fastnn.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

#define REQUIRE(holds)                                                         \
    do {                                                                       \
        if (!(holds)) {                                                        \
            fprintf(stderr, "line %d does not hold: %s\n", __LINE__, #holds);  \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static void refused(fnn_status status, fnn_status wanted, const char *word) {
    if (status == wanted && strstr(fnn_error_message(), word)) return;
    fprintf(stderr, "status %d and '%s', wanted %d and '%s'\n", status, status ? fnn_error_message() : "", wanted, word);
    exit(1);
}

static fnn_tensor values(fnn_dtype dtype, int ndim, const int64_t *shape, const void *data) {
    fnn_tensor t = {0};
    REQUIRE(fnn_from_data(&t, dtype, ndim, shape, data) == FNN_OK);
    return t;
}

static void sizes(void) {
    const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, negative[2] = {2, -3}, huge[2] = {(int64_t)1 << 40, (int64_t)1 << 40};
    fnn_tensor t = {0};
    refused(fnn_empty(&t, FNN_F32, 9, nine), FNN_ERR_RUNTIME, "found 9 dimensions, wanted at most 8");
    refused(fnn_empty(&t, FNN_F32, -1, nine), FNN_ERR_RUNTIME, "found -1 dimensions");
    refused(fnn_empty(&t, FNN_F32, 2, negative), FNN_ERR_RUNTIME, "dimension 1 has negative size -3");
    refused(fnn_empty(&t, FNN_F32, 2, huge), FNN_ERR_RUNTIME, "more bytes than an address can count");
    REQUIRE(!t.data && !t.storage && !t.numel);
    REQUIRE(fnn_dtype_size(FNN_F64) == 8 && fnn_dtype_size(FNN_BOOL) == 1 && strcmp(fnn_dtype_name(FNN_I32), "int32") == 0);
    REQUIRE(strcmp(fnn_op_name(FNN_OP_ADD), "add") == 0);
}

static void backward(void) {
    const double numbers[2] = {3, -2};
    const int64_t two = 2, one = 1;
    fnn_tensor x = values(FNN_F64, 1, &two, numbers), seed = values(FNN_F64, 1, &one, numbers), y = {0}, sum = {0};
    refused(fnn_backward(&x, NULL, false), FNN_ERR_RUNTIME, "does not require grad");
    REQUIRE(fnn_set_requires_grad(&x, true) == FNN_OK && fnn_requires_grad(&x) && !fnn_grad(&x));
    const fnn_tensor *both[2] = {&x, &x};
    REQUIRE(fnn_apply(FNN_OP_MUL, &y, both, 2, NULL) == FNN_OK);
    refused(fnn_backward(&y, NULL, false), FNN_ERR_RUNTIME, "only for scalar outputs, found shape (2,)");
    refused(fnn_backward(&y, &seed, false), FNN_ERR_RUNTIME, "shape of (1,) and output[0] has a shape of (2,)");
    REQUIRE(!fnn_grad(&x));
    const fnn_tensor *only[1] = {&y};
    fnn_attrs all = {0};
    all.list[0].n = -1;
    all.v[1].i = -1;
    REQUIRE(fnn_apply(FNN_OP_SUM, &sum, only, 1, &all) == FNN_OK && sum.ndim == 0);
    REQUIRE(fnn_backward(&sum, NULL, false) == FNN_OK);
    const double *g = (const double *)fnn_grad(&x)->data;
    REQUIRE(g[0] == 6 && g[1] == -4);
    refused(fnn_backward(&sum, NULL, false), FNN_ERR_RUNTIME, "a second time");
    fnn_clear_grad(&x);
    REQUIRE(!fnn_grad(&x) && fnn_grad_mode() && fnn_set_grad_mode(false) && !fnn_grad_mode());
    fnn_tensor *mine[4] = {&sum, &y, &seed, &x};
    for (int i = 0; i < 4; i++) fnn_tensor_unref(mine[i]);
    REQUIRE(!fnn_set_grad_mode(true));
}

/* What Python converts or checks before it calls the op. */
static void attributes(void) {
    const float ones[4] = {1, 1, 1, 1};
    const int64_t square[2] = {2, 2}, one = 1, zero = 0;
    fnn_tensor x = values(FNN_F32, 2, square, ones), place = values(FNN_I64, 1, &one, &zero), wrong = values(FNN_F32, 1, &one, ones), y = {0};
    fnn_attrs attrs = {0};
    attrs.list[0] = (fnn_ints){1, {0}};
    const fnn_tensor *by_float[2] = {&x, &wrong};
    refused(fnn_apply(FNN_OP_INDEX, &y, by_float, 2, &attrs), FNN_ERR_INDEX, "must be long, found float32");
    attrs.list[0].n = 7;
    const fnn_tensor *many[8] = {&x, &place, &place, &place, &place, &place, &place, &place};
    refused(fnn_apply(FNN_OP_INDEX, &y, many, 8, &attrs), FNN_ERR_INDEX, "more than 6 index tensors");
    fnn_attrs activation = {0};
    activation.v[2].i = 99;
    const fnn_tensor *operands[4] = {&x, &x, NULL, NULL};
    refused(fnn_apply(FNN_OP_MATMUL_FUSED, &y, operands, 4, &activation), FNN_ERR_RUNTIME, "activation is 99, expected 0 to 4");
    REQUIRE(!y.data && !y.storage);
    fnn_tensor *mine[3] = {&x, &place, &wrong};
    for (int i = 0; i < 3; i++) fnn_tensor_unref(mine[i]);
}

int main(void) {
    REQUIRE(fnn_kernels_init() == FNN_OK);
    sizes();
    backward();
    attributes();
    return 0;
}
