/* Heads, batches and blocks of queries around the kernels of attention. See attention_core.h.
 *
 * Work items (forward: blocks of queries of all heads; backward: heads) are dealt out to at most GROUPS chunks of neighbours;
 * a chunk owns one slot of scratch and walks its items in order, so scratch does not grow with the batch.
 * Read next: kernels/attention.h. */
#include "ops/attention_core.h"

#include "core/threads.h"
#include "kernels/kernels.h"

enum {
    GROUPS = 32,              /* chunks, and slots of scratch */
    KEEP_MAX = 128 * 128      /* scores of a head that are kept: 64 KB in float32; beyond, memory counts more than time */
};

typedef struct job {
    const fnn_attention *a;
    char *scratch;
    size_t slot;              /* bytes of scratch per chunk */
    int64_t size;             /* bytes of an element */
    int64_t block;            /* queries of a block */
    int64_t items, per_chunk;
    void (*forward)(const fnn_attention_task *, int64_t);
    void (*backward)(const fnn_attention_task *);
} job;

bool fnn_attention_keeps(int64_t T, int64_t S) { return T * S <= KEEP_MAX; }

int64_t fnn_attention_p_row(int64_t T) { return (T + 15) / 16 * 16; }

static size_t slot_bytes(const fnn_attention *a) {
    return (size_t)(2 * (a->S > 16 ? a->S : 16)) * FNN_ATTENTION_ROW_BYTES;
}
size_t fnn_attention_scratch(const fnn_attention *a) { return GROUPS * slot_bytes(a); }

static void *at(const job *j, const void *base, int64_t elements) {
    return base ? (char *)base + elements * j->size : NULL;
}
static void *head_of(const job *j, const fnn_attention_array *x, int64_t b, int64_t h) {
    return at(j, x->data, b * x->b + h * x->h);
}

static fnn_attention_task head_task(const job *j, int64_t head, int64_t chunk) {
    const fnn_attention *a = j->a;
    const int64_t b = head / a->H, h = head % a->H, p_row = fnn_attention_p_row(a->T), mask = b * a->mask_b + h * a->mask_h;
    return (fnn_attention_task){
        .T = a->T, .S = a->S, .D = a->D, .E = a->E, .scale = a->scale, .causal = a->causal,
        .q = head_of(j, &a->q, b, h), .q_t = a->q.t,
        .k = head_of(j, &a->k, b, h), .k_t = a->k.t,
        .v = head_of(j, &a->v, b, h), .v_t = a->v.t,
        .o = head_of(j, &a->o, b, h), .o_t = a->o.t,
        .mask = at(j, a->mask, mask), .allowed = a->allowed ? a->allowed + mask : NULL,
        .mask_t = a->mask_t, .mask_s = a->mask_s,
        .keep = a->keep ? a->keep + head * a->T * a->S : NULL, .keep_t = a->S, .keep_s = 1, .keep_scale = a->keep_scale,
        .p = at(j, a->p, head * a->S * p_row), .p_row = p_row, .lse = at(j, a->lse, head * a->T),
        .scratch = j->scratch + (size_t)chunk * j->slot,
        .d_o = head_of(j, &a->d_o, b, h), .d_o_t = a->d_o.t,
        .dq = head_of(j, &a->dq, b, h), .dq_t = a->dq.t,
        .dk = head_of(j, &a->dk, b, h), .dk_t = a->dk.t,
        .dv = head_of(j, &a->dv, b, h), .dv_t = a->dv.t,
        .dmask = at(j, a->dmask, head * a->T * a->S),
    };
}

static void forward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const int64_t blocks = (j->a->T + j->block - 1) / j->block;
    for (int64_t i = chunk * j->per_chunk; i < (chunk + 1) * j->per_chunk && i < j->items; i++) {
        const fnn_attention_task task = head_task(j, i / blocks, chunk);
        j->forward(&task, i % blocks * j->block);
    }
}

static void backward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    for (int64_t i = chunk * j->per_chunk; i < (chunk + 1) * j->per_chunk && i < j->items; i++) {
        const fnn_attention_task task = head_task(j, i, chunk);
        j->backward(&task);
    }
}

/* `cost`: products of T x S x size that the pass does; an element of the softmax counts like 20 of their steps. */
static void run(job *j, double cost, fnn_chunk_fn fn) {
    const fnn_attention *a = j->a;
    if (j->items == 0) return;
    j->per_chunk = (j->items + GROUPS - 1) / GROUPS;
    j->slot = slot_bytes(a);
    const double scores = (double)(a->B * a->H) * (double)a->T * (double)a->S * (a->causal ? 0.6 : 1.0);
    const double ns = scores * ((double)(a->D + a->E) * cost + 20.0) * (j->size == 4 ? 0.013 : 0.026);
    fnn_parallel((j->items + j->per_chunk - 1) / j->per_chunk, ns, fn, j);
}

static void forward(job j) {
    const fnn_attention *a = j.a;
    j.block = FNN_ATTENTION_ROW_BYTES / j.size;
    j.items = a->B * a->H * ((a->T + j.block - 1) / j.block);
    run(&j, 1.0, forward_chunk);
}
static void backward(job j) {
    j.items = j.a->B * j.a->H;
    run(&j, 2.5, backward_chunk);
}

void fnn_attention_forward_f32(const fnn_attention *a, void *scratch) {
    forward((job){.a = a, .scratch = scratch, .size = sizeof(float), .forward = fnn_k.f32.attention_forward});
}
void fnn_attention_forward_f64(const fnn_attention *a, void *scratch) {
    forward((job){.a = a, .scratch = scratch, .size = sizeof(double), .forward = fnn_k.f64.attention_forward});
}
void fnn_attention_backward_f32(const fnn_attention *a, void *scratch) {
    backward((job){.a = a, .scratch = scratch, .size = sizeof(float), .backward = fnn_k.f32.attention_backward});
}
void fnn_attention_backward_f64(const fnn_attention *a, void *scratch) {
    backward((job){.a = a, .scratch = scratch, .size = sizeof(double), .backward = fnn_k.f64.attention_backward});
}
