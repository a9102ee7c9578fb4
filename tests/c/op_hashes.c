/* Runs ops of every family, forward and backward, in float32 and float64, and prints a hash of the bits of each result.
 *
 * Invariant: inputs come from a generator of its own in integers, so two machines, instruction sets or thread counts that keep the
 * promise of equal bits print equal lines; a NaN counts as any NaN. Run it with FASTNN_BLAS=none. It judges nothing: tests/qemu.py compares.
 * Does not: cover every attribute (the op table in Python does, on the instruction sets of one machine). Read next: tests/qemu.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "ops/op.h"

/* Inputs: one word each. A letter for the values: r reals in (-4, 4), p positive, i integers below 7, b bools, - absent; then the
 * shape, as in r3x17; a final t swaps the last two dimensions without moving anything. */
typedef struct op_case {
    fnn_op_id id;
    const char *inputs;
    fnn_attrs attrs;
} op_case;

#define ALL .list[0].n = -1
#define UNARY(id) {FNN_OP_##id, "r1003", {}}, {FNN_OP_##id, "p5x37t", {}}
#define BINARY(id) {FNN_OP_##id, "r33x29 r33x29", {.v[0].f = 1}}, {FNN_OP_##id, "p7x33 p33", {.v[0].f = 1}}
#define INTEGER(id) {FNN_OP_##id, "i67 i67", {}}
#define REDUCTION(id) {FNN_OP_##id, "r5x700", {.v[1].i = -1, ALL}}, {FNN_OP_##id, "r37x65", {.v[1].i = -1, .list[0] = {1, {}}}}, {FNN_OP_##id, "r9x67t", {.v[1].i = -1, .list[0] = {1, {1}}}}
#define SPREAD(id) {FNN_OP_##id, "r37x65", {.v[1].f = 1, .list[0] = {1, {1}}}}, {FNN_OP_##id, "r700x5", {.v[1].f = 1, .list[0] = {1, {}}}}
#define ROWS(id) {FNN_OP_##id, "r7x1", {.v = {{.i = 1}, {.i = -1}}}}, {FNN_OP_##id, "r41x67", {.v = {{.i = 1}, {.i = -1}}}}, {FNN_OP_##id, "r35x19", {.v = {{.i = 0}, {.i = -1}}}}
#define RECURRENT(id, G, last, a0) \
    {FNN_OP_##id, "r5x7x9 r5x13 r" G "x9 r" G "x13 r" G " r" G last, {.v = {{.i = a0}, {.i = 1}, {.i = 0}}}}, \
    {FNN_OP_##id##_CELL, "r5x9 r5x13 r" G "x9 r" G "x13 r" G " r" G last, {.v = {{.i = a0}}}}

static const op_case cases[] = {
    BINARY(ADD), BINARY(SUB), BINARY(MUL), {FNN_OP_DIV, "r33x29 p33x29", {}}, BINARY(REMAINDER), BINARY(FMOD), {FNN_OP_POW, "p333 r333", {}},
    BINARY(ATAN2), BINARY(MAXIMUM), BINARY(MINIMUM), BINARY(EQ), BINARY(LT), BINARY(LOGICAL_XOR), INTEGER(ADD), INTEGER(MUL), INTEGER(BITWISE_XOR), INTEGER(LSHIFT), {FNN_OP_FLOOR_DIVIDE, "r333 p333", {}},
    UNARY(NEG), UNARY(ABS), UNARY(SIGN), UNARY(EXP), UNARY(EXP2), UNARY(EXPM1), UNARY(LOG), UNARY(LOG2), UNARY(LOG10), UNARY(LOG1P), UNARY(SQRT), UNARY(RSQRT), UNARY(RECIPROCAL),
    UNARY(SQUARE), UNARY(SIN), UNARY(COS), UNARY(TAN), UNARY(ASIN), UNARY(ACOS), UNARY(ATAN), UNARY(SINH), UNARY(COSH), UNARY(TANH), UNARY(SIGMOID), UNARY(ERF), UNARY(ERFC),
    UNARY(ERFINV), UNARY(LGAMMA), UNARY(DIGAMMA), UNARY(FLOOR), UNARY(CEIL), UNARY(ROUND), UNARY(TRUNC), UNARY(RELU), UNARY(GELU), {FNN_OP_GELU, "r1003", {.v[0].i = 1}}, UNARY(SILU),
    UNARY(LOGSIGMOID), UNARY(ISNAN), UNARY(ISFINITE),
    {FNN_OP_WHERE, "b33x29 r33x29 r29", {}}, {FNN_OP_MASKED_FILL, "r33x29 b33x29 r", {}}, {FNN_OP_LERP, "r333 r333 r333", {}}, {FNN_OP_ADDCMUL, "r333 r333 r333", {.v[0].f = 0.3}},
    {FNN_OP_ADDCDIV, "r333 r333 p333", {.v[0].f = 0.3}}, {FNN_OP_CLAMP, "r333 r333 p333", {}}, {FNN_OP_CLONE, "r7x9x11t", {}},
    {FNN_OP_MATMUL, "r1x1 r1x1", {}}, {FNN_OP_MATMUL, "r32x27 r27x64", {}}, {FNN_OP_MATMUL, "r67x33 r35x33t", {}}, {FNN_OP_MATMUL, "r129x100t r129x70", {}}, {FNN_OP_MATMUL, "r3x17x19 r3x19x5", {}},
    {FNN_OP_MATMUL, "r200x300 r300", {}}, {FNN_OP_MATMUL, "r2000x3 r3x3", {}}, {FNN_OP_MATMUL, "r3x2000 r2000x3", {}}, {FNN_OP_MATMUL, "r257x255 r255x130", {}}, {FNN_OP_LINEAR, "r4x33x65 r47x65 r47", {}},
    {FNN_OP_MATMUL_FUSED, "r65x33 r33x47 r47 r65x47", {.v = {{.i = 0}, {.i = 0}, {.i = 2}}}},
    REDUCTION(SUM), REDUCTION(MEAN), {FNN_OP_SUM, "r30001", {.v[1].i = -1, ALL}}, {FNN_OP_PROD, "p37x65", {.v[1].i = -1, .list[0] = {1, {1}}}}, SPREAD(VAR), SPREAD(STD), SPREAD(LOGSUMEXP),
    {FNN_OP_AMAX, "r37x65", {.list[0] = {1, {1}}}}, ROWS(MAX_DIM), ROWS(MIN_DIM), ROWS(ARGMAX), ROWS(SOFTMAX), ROWS(LOG_SOFTMAX), ROWS(CUMSUM), ROWS(CUMPROD), {FNN_OP_SORT, "r5x700", {.v[0].i = 1}}, {FNN_OP_SORT, "i5x700", {.v[0].i = 1}},
    {FNN_OP_TOPK, "r5x700", {.v = {{.i = 9}, {.i = 1}, {.i = 1}, {.i = 1}}}},
    {FNN_OP_LAYER_NORM, "r33x67 r67 r67", {.v[0].f = 1e-5, .list[0] = {1, {67}}}}, {FNN_OP_LAYER_NORM, "r5x1000 - -", {.v[0].f = 1e-5, .list[0] = {1, {1000}}}}, {FNN_OP_RMS_NORM, "r33x67 r67", {.v[0].f = 1e-6, .list[0] = {1, {67}}}},
    {FNN_OP_CROSS_ENTROPY, "r45x27 i45 -", {.v = {{.i = -100}, {.i = 1}, {.f = 0.1}}}}, {FNN_OP_CROSS_ENTROPY, "r45x27 i45 p27", {.v = {{.i = 3}, {.i = 0}, {.f = 0}}}}, {FNN_OP_EMBEDDING, "r27x33 i5x40", {.v = {{.i = -1}}}},
    {FNN_OP_SCALED_DOT_PRODUCT_ATTENTION, "r2x3x16x16 r2x3x16x16 r2x3x16x16 -", {.v = {{.f = 0}, {.i = 1}, {.f = NAN}}}}, {FNN_OP_SCALED_DOT_PRODUCT_ATTENTION, "r2x45x24 r2x51x24 r2x51x19 r45x51", {.v = {{.f = 0}, {.i = 0}, {.f = 0.2}}}},
    {FNN_OP_SCALED_DOT_PRODUCT_ATTENTION, "r1x2x300x32 r1x2x300x32 r1x2x300x32 -", {.v = {{.f = 0}, {.i = 1}, {.f = NAN}}}},
    RECURRENT(RNN, "13", "", 0), RECURRENT(RNN, "13", "", 1), RECURRENT(LSTM, "52", " r5x13", 1), RECURRENT(GRU, "39", "", 0),
    {FNN_OP_GRU, "r5x7x9 r5x13 r39x22 - r39 -", {.v = {{.i = 1}, {.i = 1}, {.i = 1}}}},
    {FNN_OP_GATHER, "r7x33 i7x20", {.v[0].i = 1}}, {FNN_OP_SCATTER_ADD, "r7x33 i7x20 r7x20", {.v[0].i = 1}}, {FNN_OP_INDEX_SELECT, "r33x9 i50", {.v[0].i = 0}}, {FNN_OP_INDEX_ADD, "r33x9 i50 r50x9", {.v = {{.i = 0}, {.f = 0.5}}}},
    {FNN_OP_INDEX, "r33x9 i50", {.list[0] = {1, {}}}}, {FNN_OP_CAT, "r5x7 r3x7 r9x7", {.v[0].i = 0}}, {FNN_OP_FLIP, "r5x33", {.list[0] = {1, {1}}}}, {FNN_OP_TRIL, "r33x29", {.v[0].i = 1}}, {FNN_OP_MASKED_SELECT, "r33x29 b33x29", {}},
    {FNN_OP_DROPOUT, "r33x290", {.v = {{.f = 0.3}, {.i = 1}}}},
};

static void check(fnn_status status, const char *what) {
    if (status == FNN_OK) return;
    fprintf(stderr, "%s: %s\n", what, fnn_error_message());
    exit(1);
}

static uint64_t state;
static uint32_t draw(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 40); /* 24 bits */
}

static double number(char kind) {
    double unit = draw() / 16777216.0;
    return kind == 'p' ? 0.01 + 2 * unit : 8 * unit - 4;
}

static void put(const fnn_tensor *t, int64_t i, char kind) {
    switch (t->dtype) {
    case FNN_F32: ((float *)t->data)[i] = (float)number(kind); break;
    case FNN_F64: ((double *)t->data)[i] = number(kind); break;
    case FNN_I64: ((int64_t *)t->data)[i] = draw() % 7; break;
    default: t->data[i] = (char)(draw() & 1);
    }
}

/* The next word of the inputs as a tensor; gives what follows it. */
static const char *read_input(const char *text, fnn_dtype real, fnn_tensor *t) {
    int64_t shape[FNN_MAX_DIMS];
    int ndim = 0;
    char kind = *text++;
    while (*text >= '0' && *text <= '9') {
        shape[ndim++] = strtoll(text, (char **)&text, 10);
        if (*text == 'x') text++;
    }
    fnn_tensor_clear(t);
    if (kind != '-') {
        check(fnn_empty(t, kind == 'i' ? FNN_I64 : kind == 'b' ? FNN_BOOL : real, ndim, shape), "input");
        for (int64_t i = 0; i < t->numel; i++) put(t, i, kind);
        if (*text == 't') {
            int64_t flipped[2] = {shape[ndim - 1], shape[ndim - 2]}, stride[FNN_MAX_DIMS];
            memcpy(stride, t->stride, sizeof stride);
            memcpy(shape + ndim - 2, flipped, sizeof flipped);
            stride[ndim - 2] = 1;
            stride[ndim - 1] = flipped[0];
            fnn_tensor_set_geometry(t, ndim, shape, stride);
        }
        if (t->dtype == real) check(fnn_set_requires_grad(t, true), "requires_grad");
    }
    return text + strspn(text, "t ");
}

static uint64_t hash; /* FNV-1a over the words of what is hashed */
static void add_word(uint64_t word) { hash = (hash ^ word) * 1099511628211u; }

static void add_tensor(const fnn_tensor *t) {
    fnn_tensor flat;
    check(fnn_contiguous(&flat, t), "contiguous");
    for (int64_t i = 0; i < flat.numel; i++) {
        float single = flat.dtype == FNN_F32 ? ((float *)flat.data)[i] : 0;
        double twice = flat.dtype == FNN_F64 ? ((double *)flat.data)[i] : single;
        uint64_t word = 0;
        memcpy(&word, flat.data + i * fnn_itemsize[flat.dtype], fnn_itemsize[flat.dtype]);
        add_word(twice != twice ? 1 : word);
    }
    add_word((uint64_t)flat.numel);
    fnn_tensor_unref(&flat);
}

static void run(const op_case *c, int nr, fnn_dtype real) {
    fnn_tensor in[FNN_MAX_IN], out[FNN_MAX_OUT] = {{0}}, seed;
    const fnn_tensor *list[FNN_MAX_IN];
    int n_in = 0;
    state = 20 + (uint64_t)nr;
    hash = 14695981039346656037u;
    fnn_generator_manual_seed(fnn_default_generator(), 7);
    for (const char *text = c->inputs; *text; n_in++) {
        text = read_input(text, real, &in[n_in]);
        list[n_in] = in[n_in].data ? &in[n_in] : NULL;
    }
    check(fnn_apply(c->id, out, list, n_in, &c->attrs), fnn_op_name(c->id));
    for (int i = 0; i < fnn_op_get(c->id)->n_out; i++) add_tensor(&out[i]);
    uint64_t forward = hash;
    if (fnn_requires_grad(&out[0])) {
        check(fnn_empty(&seed, out[0].dtype, out[0].ndim, out[0].shape), "seed");
        for (int64_t i = 0; i < seed.numel; i++) put(&seed, i, 'r');
        check(fnn_backward(&out[0], &seed, false), fnn_op_name(c->id));
        fnn_tensor_unref(&seed);
        for (int i = 0; i < n_in; i++)
            if (fnn_grad(&in[i])) add_tensor(fnn_grad(&in[i]));
    }
    printf("%s %s %s %016llx %016llx\n", fnn_op_name(c->id), c->inputs, fnn_dtype_name(real), (unsigned long long)forward, (unsigned long long)hash);
    for (int i = 0; i < n_in; i++) fnn_tensor_unref(&in[i]);
    for (int i = 0; i < FNN_MAX_OUT; i++) fnn_tensor_unref(&out[i]);
}

/* The random streams, and one step of each optimizer. */
static void run_streams(void) {
    static float single[5000];
    static double twice[5000];
    fnn_generator *g = fnn_default_generator();
    fnn_tensor t;
#define STREAM(name, T, DT, out, call)                                              \
    fnn_generator_manual_seed(g, 42);                                               \
    call;                                                                           \
    check(fnn_from_data(&t, DT, 1, &(int64_t){5000}, out), name);                   \
    hash = 14695981039346656037u;                                                   \
    add_tensor(&t);                                                                 \
    fnn_tensor_unref(&t);                                                           \
    printf("%s 5000 %s %016llx %016llx\n", name, #T, (unsigned long long)hash, (unsigned long long)hash);
    STREAM("uniform", float32, FNN_F32, single, fnn_rng_uniform_f32(g, single, 5000, 1, -1, 1))
    STREAM("uniform", float64, FNN_F64, twice, fnn_rng_uniform_f64(g, twice, 5000, 1, -1, 1))
    STREAM("normal", float32, FNN_F32, single, fnn_rng_normal_block_f32(g, single, 5000, 0, 1))
    STREAM("normal", float64, FNN_F64, twice, fnn_rng_normal_block_f64(g, twice, 5000, 0, 1))
    STREAM("exponential", float32, FNN_F32, single, fnn_rng_exponential_f32(g, single, 5000, 1, 1))
    STREAM("exponential", float64, FNN_F64, twice, fnn_rng_exponential_f64(g, twice, 5000, 1, 1))
}

static void run_optimizers(fnn_dtype real) {
    fnn_tensor t[4], step;
    state = 3;
    for (int i = 0; i < 4; i++) read_input(i == 3 ? "p1003" : "r1003", real, &t[i]);
    int64_t none = 0;
    check(fnn_empty(&step, FNN_F32, 0, &none), "step");
    memset(step.data, 0, sizeof(float));
    const fnn_tensor *p = &t[0], *g = &t[1], *m = &t[2], *v = &t[3], *s = &step;
    check(fnn_adam_step(1, &p, &g, &m, &v, NULL, &s, &(fnn_adam_options){.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.01, .decoupled = true}), "adam");
    check(fnn_sgd_step(1, &p, &g, &m, NULL, &(fnn_sgd_options){.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01}), "sgd");
    hash = 14695981039346656037u;
    for (int i = 0; i < 4; i++) add_tensor(&t[i]);
    printf("optimizers 1003 %s %016llx %016llx\n", fnn_dtype_name(real), (unsigned long long)hash, (unsigned long long)hash);
    for (int i = 0; i < 4; i++) fnn_tensor_unref(&t[i]);
    fnn_tensor_unref(&step);
}

int main(void) {
    check(fnn_kernels_init(), "init");
    printf("isa %s\n", fnn_isa_name());
    for (int nr = 0; nr < (int)(sizeof cases / sizeof *cases); nr++) {
        run(&cases[nr], nr, FNN_F32);
        run(&cases[nr], nr, FNN_F64);
    }
    run_streams();
    run_optimizers(FNN_F32);
    run_optimizers(FNN_F64);
    return 0;
}
