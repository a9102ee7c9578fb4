/* Trains a small name model through the public C interface alone: no Python, no other header of fastnn.
 *
 * Three letters are embedded, joined, sent through a tanh layer and a linear layer; the next letter's cross entropy is minimised by
 * plain gradient descent. Invariant: exit status 0 only if the loss falls as it must, a gradient agrees with a finite difference, a
 * second run gives the same bits, and a wrong call is refused with a message. Read next: csrc/fastnn.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

enum { LETTERS = 27, CONTEXT = 3, WIDTH = 8, HIDDEN = 32, STEPS = 300, MOST = 256, PARAMS = 5 };

static const char *const names[] = {"mira", "tolan", "ella", "orin", "sena", "lomar", "anika", "belin", "tara", "noel", "rosa", "emil", "lina", "doran", "maro", "selma"};

static void check(fnn_status status, const char *what) {
    if (status != FNN_OK) {
        fprintf(stderr, "%s: %s\n", what, fnn_error_message());
        exit(1);
    }
}

static void require(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        exit(1);
    }
}

/* The program's own random numbers in [-1, 1): the header has no generator. */
static float uniform(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static fnn_tensor parameter(uint32_t *state, int64_t rows, int64_t cols, float scale) {
    float values[LETTERS * HIDDEN + HIDDEN * CONTEXT * WIDTH];
    int64_t shape[2] = {rows, cols}, n = rows * (cols ? cols : 1);
    for (int64_t i = 0; i < n; i++) values[i] = scale * uniform(state);
    fnn_tensor t = {0};
    check(fnn_from_data(&t, FNN_F32, cols ? 2 : 1, shape, values), "from_data");
    check(fnn_set_requires_grad(&t, true), "requires_grad");
    return t;
}

/* (n, CONTEXT) letters and the letter that follows each of them. */
static int64_t examples(int64_t *x, int64_t *y) {
    int64_t n = 0;
    for (size_t w = 0; w < sizeof names / sizeof *names; w++) {
        int64_t context[CONTEXT] = {0};
        for (size_t i = 0; i <= strlen(names[w]); i++, n++) {
            int64_t letter = names[w][i] ? names[w][i] - 'a' + 1 : 0;
            memcpy(x + n * CONTEXT, context, sizeof context);
            y[n] = letter;
            memmove(context, context + 1, sizeof context - sizeof *context);
            context[CONTEXT - 1] = letter;
        }
    }
    return n;
}

/* loss = cross_entropy(linear(tanh(linear(embedding(p0, x), p1, p2)), p3, p4), y) */
static fnn_tensor loss_of(const fnn_tensor *p, const fnn_tensor *x, const fnn_tensor *y) {
    fnn_tensor emb = {0}, flat = {0}, pre = {0}, h = {0}, logits = {0}, loss = {0};
    fnn_attrs no_padding = {.v = {{.i = -1}, {.i = 0}}};
    fnn_attrs joined = {.list[0] = {.n = 2, .v = {x->shape[0], CONTEXT * WIDTH}}};
    fnn_attrs mean = {.v = {{.i = -100}, {.i = 1}, {.f = 0}}};
    check(fnn_apply(FNN_OP_EMBEDDING, &emb, (const fnn_tensor *[]){&p[0], x}, 2, &no_padding), "embedding");
    check(fnn_apply(FNN_OP_VIEW, &flat, (const fnn_tensor *[]){&emb}, 1, &joined), "view");
    check(fnn_apply(FNN_OP_LINEAR, &pre, (const fnn_tensor *[]){&flat, &p[1], &p[2]}, 3, NULL), "linear");
    check(fnn_apply(FNN_OP_TANH, &h, (const fnn_tensor *[]){&pre}, 1, NULL), "tanh");
    check(fnn_apply(FNN_OP_LINEAR, &logits, (const fnn_tensor *[]){&h, &p[3], &p[4]}, 3, NULL), "linear");
    check(fnn_apply(FNN_OP_CROSS_ENTROPY, &loss, (const fnn_tensor *[]){&logits, y, NULL}, 3, &mean), "cross_entropy");
    fnn_tensor *inner[] = {&emb, &flat, &pre, &h, &logits}; /* the tape keeps what it needs */
    for (int i = 0; i < 5; i++) fnn_tensor_unref(inner[i]);
    return loss;
}

static float value(const fnn_tensor *t) { return *(const float *)t->data; }

/* Central difference of the loss in one weight of the hidden layer, beside the tape's gradient. */
static void check_gradient(fnn_tensor *p, const fnn_tensor *x, const fnn_tensor *y) {
    fnn_tensor loss = loss_of(p, x, y);
    check(fnn_backward(&loss, NULL, false), "backward");
    fnn_tensor_unref(&loss);
    float slope = ((const float *)fnn_grad(&p[1])->data)[5], *weight = (float *)p[1].data + 5, at = *weight, h = 1e-2f;
    bool before = fnn_set_grad_mode(false);
    float side[2];
    for (int i = 0; i < 2; i++) {
        *weight = i ? at + h : at - h;
        loss = loss_of(p, x, y);
        require(!fnn_requires_grad(&loss), "nothing is recorded while grad mode is off");
        side[i] = value(&loss);
        fnn_tensor_unref(&loss);
    }
    *weight = at;
    fnn_set_grad_mode(before);
    require(fabsf((side[1] - side[0]) / (2 * h) - slope) < 1e-3f, "the gradient is the slope");
    for (int i = 0; i < PARAMS; i++) fnn_clear_grad(&p[i]);
}

static float train(bool print) {
    int64_t xs[MOST * CONTEXT], ys[MOST], n = examples(xs, ys);
    uint32_t state = 1;
    fnn_tensor p[PARAMS] = {
        parameter(&state, LETTERS, WIDTH, 1.0f),
        parameter(&state, HIDDEN, CONTEXT * WIDTH, 0.2f),
        parameter(&state, HIDDEN, 0, 0.1f),
        parameter(&state, LETTERS, HIDDEN, 0.1f),
        parameter(&state, LETTERS, 0, 0.01f),
    };
    fnn_tensor x = {0}, y = {0};
    check(fnn_from_data(&x, FNN_I64, 2, (int64_t[]){n, CONTEXT}, xs), "from_data");
    check(fnn_from_data(&y, FNN_I64, 1, (int64_t[]){n}, ys), "from_data");
    check_gradient(p, &x, &y);
    float first = 0, last = 0;
    fnn_attrs down = {.v[0].f = -0.5}; /* p += -0.5 grad */
    for (int step = 0; step < STEPS; step++) {
        fnn_tensor loss = loss_of(p, &x, &y);
        check(fnn_backward(&loss, NULL, false), "backward");
        last = value(&loss);
        if (!step) first = last;
        if (print && step % 50 == 0) printf("step %d loss %.4f\n", step, last);
        fnn_tensor_unref(&loss);
        bool before = fnn_set_grad_mode(false);
        for (int i = 0; i < PARAMS; i++) {
            check(fnn_apply_inplace(FNN_OP_ADD, &p[i], (const fnn_tensor *[]){&p[i], fnn_grad(&p[i])}, 2, &down), "add_");
            fnn_clear_grad(&p[i]);
        }
        fnn_set_grad_mode(before);
    }
    require(fabsf(first - logf(LETTERS)) < 0.3f, "an untrained model knows nothing");
    require(last < 0.9f, "the names are learnt");
    for (int i = 0; i < PARAMS; i++) fnn_tensor_unref(&p[i]);
    fnn_tensor_unref(&x);
    fnn_tensor_unref(&y);
    return last;
}

static void refuse_wrong_calls(void) {
    float values[6] = {0};
    fnn_tensor a = {0}, out = {0};
    check(fnn_from_data(&a, FNN_F32, 2, (int64_t[]){2, 3}, values), "from_data");
    require(fnn_apply(FNN_OP_MATMUL, &out, (const fnn_tensor *[]){&a, &a}, 2, NULL) == FNN_ERR_RUNTIME, "(2,3) @ (2,3) is refused");
    require(strstr(fnn_error_message(), "matmul") != NULL, "the message names the op");
    require(out.storage == NULL, "a failed call leaves its output alone");
    require(fnn_backward(&a, NULL, false) != FNN_OK, "a tensor without history cannot go backward");
    fnn_tensor_unref(&a);
}

int main(void) {
    check(fnn_kernels_init(), "kernels_init");
    float first = train(true), second = train(false);
    require(memcmp(&first, &second, sizeof first) == 0, "two runs give the same bits");
    refuse_wrong_calls();
    printf("final loss %.4f\n", first);
    return 0;
}
