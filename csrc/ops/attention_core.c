/* Heads, batches and blocks of queries around the kernels of attention. See attention_core.h.
 *
 * Work items (forward: blocks of queries of all heads; backward: groups of heads, or parts of a group's blocks) are dealt out to
 * at most GROUPS chunks of neighbours; a chunk owns one slot of scratch and walks its items in order, so scratch does not grow
 * with the batch.
 * Invariant: items, parts and the order in which a gradient adds up follow from the shape.
 * Read next: kernels/attention.h. */
#include "ops/attention_core.h"

#include "core/threads.h"
#include "kernels/kernels.h"

enum {
    GROUPS = 32,              /* chunks, and slots of scratch */
    KEEP_MAX = 128 * 128,     /* scores of a head that are kept: 64 KB in float32; beyond, memory counts more than time */
    FEW = 8, ENOUGH = 16      /* fewer groups than FEW are split into parts, about ENOUGH in all */
};

typedef struct job {
    const fnn_attention *a;
    char *scratch;
    size_t slot;              /* bytes of scratch per chunk */
    int64_t size;             /* bytes of an element */
    int64_t block;            /* queries of a block */
    int64_t items, per_chunk;
    int64_t parts;            /* of a group, in backward */
    char *partial;            /* dk and dv of all parts but the first: (groups, parts-1, S, D) then (groups, parts-1, S, E) */
    void (*forward)(const fnn_attention_task *, int64_t);
    void (*backward)(const fnn_attention_task *);
    void (*merge)(void *, int64_t, const void *, int64_t, int64_t, int64_t, int64_t, const void *, int64_t);
} job;

bool fnn_attention_keeps(int64_t T, int64_t S) { return T * S <= KEEP_MAX; }

int64_t fnn_attention_p_row(int64_t T) { return (T + 15) / 16 * 16; }

static int64_t blocks_of(const fnn_attention *a, int64_t size) {
    const int64_t block = FNN_ATTENTION_ROW_BYTES / size;
    return (a->T + block - 1) / block;
}
static int64_t parts_of(const fnn_attention *a, int64_t size) {
    const int64_t groups = a->B * a->H, blocks = blocks_of(a, size);
    if (groups == 0 || groups >= FEW || blocks < 2) return 1;
    const int64_t wanted = (ENOUGH + groups - 1) / groups;
    return wanted < blocks ? wanted : blocks;
}
static size_t slot_bytes(const fnn_attention *a) {
    return (size_t)(2 * (a->S > 16 ? a->S : 16)) * FNN_ATTENTION_ROW_BYTES;
}
size_t fnn_attention_forward_scratch(const fnn_attention *a) { return GROUPS * slot_bytes(a); }
size_t fnn_attention_backward_scratch(const fnn_attention *a, int size) {
    return GROUPS * slot_bytes(a) + (size_t)(a->B * a->H * (parts_of(a, size) - 1) * a->S * (a->D + a->E) * size);
}

static void *at(const job *j, const void *base, int64_t elements) {
    return base ? (char *)base + elements * j->size : NULL;
}

static fnn_attention_task head_task(const job *j, int64_t head, int64_t chunk) {
    const fnn_attention *a = j->a;
    const int64_t g = head % a->G, h = head / a->G % a->H, b = head / a->G / a->H, p_row = fnn_attention_p_row(a->T);
    const int64_t mask = b * a->mask_b + h * a->mask_h + g * a->mask_g;
#define HEAD(x) at(j, a->x.data, b * a->x.b + h * a->x.h + g * a->x.g)
    return (fnn_attention_task){
        .T = a->T, .S = a->S, .D = a->D, .E = a->E, .scale = a->scale, .causal = a->causal,
        .q = HEAD(q), .q_t = a->q.t, .k = HEAD(k), .k_t = a->k.t, .v = HEAD(v), .v_t = a->v.t, .o = HEAD(o), .o_t = a->o.t,
        .mask = at(j, a->mask, mask), .allowed = a->allowed ? a->allowed + mask : NULL,
        .mask_t = a->mask_t, .mask_s = a->mask_s,
        .keep = a->keep ? a->keep + head * a->T * a->S : NULL, .keep_t = a->S, .keep_s = 1, .keep_scale = a->keep_scale,
        .p = at(j, a->p, head * a->S * p_row), .p_row = p_row, .lse = at(j, a->lse, head * a->T),
        .scratch = j->scratch + (size_t)chunk * j->slot,
        .d_o = HEAD(d_o), .d_o_t = a->d_o.t, .dq = HEAD(dq), .dq_t = a->dq.t, .dk = HEAD(dk), .dk_t = a->dk.t,
        .dv = HEAD(dv), .dv_t = a->dv.t,
        .dmask = at(j, a->dmask, head * a->T * a->S), .add = g > 0, .parts = 1,
    };
#undef HEAD
}

static void forward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const int64_t blocks = blocks_of(j->a, j->size);
    for (int64_t i = chunk * j->per_chunk; i < (chunk + 1) * j->per_chunk && i < j->items; i++) {
        const fnn_attention_task task = head_task(j, i / blocks, chunk);
        j->forward(&task, i % blocks * j->block);
    }
}

/* Where the gradient of k (size D) or v (size E) of part 1 of a group waits; the group's further parts follow. */
static void *partial_k(const job *j, int64_t group) { return at(j, j->partial, group * (j->parts - 1) * j->a->S * j->a->D); }
static void *partial_v(const job *j, int64_t group) {
    const fnn_attention *a = j->a;
    return at(j, j->partial, (a->B * a->H * a->D + group * a->E) * (j->parts - 1) * a->S);
}

/* Item i: part i % parts of group i / parts, the heads of the group in order. */
static void backward_chunk(void *ctx, int64_t chunk) {
    const job *j = ctx;
    const fnn_attention *a = j->a;
    for (int64_t i = chunk * j->per_chunk; i < (chunk + 1) * j->per_chunk && i < j->items; i++) {
        const int64_t group = i / j->parts, part = i % j->parts;
        for (int64_t g = 0; g < a->G; g++) {
            fnn_attention_task task = head_task(j, group * a->G + g, chunk);
            task.part = part;
            task.parts = j->parts;
            if (part && task.dk) {
                task.dk = at(j, partial_k(j, group), (part - 1) * a->S * a->D);
                task.dk_t = a->D;
            }
            if (part && task.dv) {
                task.dv = at(j, partial_v(j, group), (part - 1) * a->S * a->E);
                task.dv_t = a->E;
            }
            j->backward(&task);
        }
    }
}

/* Adds the parts of group i up, in order. */
static void merge_chunk(void *ctx, int64_t i) {
    const job *j = ctx;
    const fnn_attention *a = j->a;
    const fnn_attention_task t = head_task(j, i * a->G, 0);
    if (t.dk) j->merge(t.dk, t.dk_t, partial_k(j, i), a->S * a->D, j->parts - 1, a->S, a->D, t.dk, t.dk_t);
    if (t.dv) j->merge(t.dv, t.dv_t, partial_v(j, i), a->S * a->E, j->parts - 1, a->S, a->E, t.dv, t.dv_t);
}

/* `cost`: products of T x S x size that the pass does; an element of the softmax counts like 20 of their steps. */
static void run(job *j, double cost, fnn_chunk_fn fn) {
    const fnn_attention *a = j->a;
    if (j->items == 0) return;
    j->per_chunk = (j->items + GROUPS - 1) / GROUPS;
    j->slot = slot_bytes(a);
    const double scores = (double)(a->B * a->H * a->G) * (double)a->T * (double)a->S * (a->causal ? 0.6 : 1.0);
    const double ns = scores * ((double)(a->D + a->E) * cost + 20.0) * (j->size == 4 ? 0.013 : 0.026);
    fnn_parallel((j->items + j->per_chunk - 1) / j->per_chunk, ns, fn, j);
}

static void forward(job j) {
    j.block = FNN_ATTENTION_ROW_BYTES / j.size;
    j.items = j.a->B * j.a->H * j.a->G * blocks_of(j.a, j.size);
    run(&j, 1.0, forward_chunk);
}
static void backward(job j) {
    const int64_t groups = j.a->B * j.a->H;
    j.parts = parts_of(j.a, j.size);
    j.partial = j.scratch + GROUPS * slot_bytes(j.a);
    j.items = groups * j.parts;
    run(&j, 2.5, backward_chunk);
    if (j.parts > 1) fnn_parallel(groups, (double)(j.items * j.a->S * (j.a->D + j.a->E)) * 0.3, merge_chunk, &j);
}

void fnn_attention_forward_f32(const fnn_attention *a, void *scratch) {
    forward((job){.a = a, .scratch = scratch, .size = sizeof(float), .forward = fnn_k.f32.attention_forward});
}
void fnn_attention_forward_f64(const fnn_attention *a, void *scratch) {
    forward((job){.a = a, .scratch = scratch, .size = sizeof(double), .forward = fnn_k.f64.attention_forward});
}
void fnn_attention_backward_f32(const fnn_attention *a, void *scratch) {
    backward((job){.a = a, .scratch = scratch, .size = sizeof(float), .backward = fnn_k.f32.attention_backward,
                   .merge = fnn_k.f32.gemm_merge});
}
void fnn_attention_backward_f64(const fnn_attention *a, void *scratch) {
    backward((job){.a = a, .scratch = scratch, .size = sizeof(double), .backward = fnn_k.f64.attention_backward,
                   .merge = fnn_k.f64.gemm_merge});
}
