/* Storage, version counter and the geometry of views.
 *
 * Invariants: a storage's memory lives until its last tensor is gone; a tensor's `contiguous` and `numel` always match its
 * shape and strides (set them through fnn_tensor_set_geometry). Knows no op and no autograd: what happens to a meta when
 * its last tensor goes is a hook that graph/ fills.
 *
 * Read next: pool.h for where memory comes from, ops/op.h for what works on tensors. */
#ifndef FNN_CORE_TENSOR_H
#define FNN_CORE_TENSOR_H

#include <stdatomic.h>

#include "../fastnn.h"

/* Drops a reference; true if it was the last. The last owner needs no locked instruction: nobody is there to race with. */
static inline bool fnn_drop_ref(atomic_int *refs) {
    return atomic_load_explicit(refs, memory_order_acquire) == 1 || atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

struct fnn_version {
    atomic_int refs;   /* FNN_VERSION_EMBEDDED: part of a storage, lives as long as it does */
    atomic_uint value; /* in-place writes so far */
};
#define FNN_VERSION_EMBEDDED (-1)

struct fnn_storage {
    atomic_int refs;
    bool readonly;      /* foreign memory that must not be written (a read-only NumPy array) */
    char *data;
    size_t nbytes;
    fnn_version version;
    void (*release)(void *owner); /* foreign memory: called once at the end; NULL: data belongs to the pool */
    void *owner;
};

/* Pool memory of nbytes; NULL and an error message when there is none. */
fnn_storage *fnn_storage_new(size_t nbytes);
/* Somebody else's memory, kept alive through `owner` until release(owner). */
fnn_storage *fnn_storage_wrap(void *data, size_t nbytes, bool readonly, void (*release)(void *), void *owner);
void fnn_storage_unref(fnn_storage *s);
static inline void fnn_storage_ref(fnn_storage *s) { atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed); }

fnn_version *fnn_version_new(void);
void fnn_version_unref(fnn_version *v);
static inline void fnn_version_ref(fnn_version *v) {
    if (atomic_load_explicit(&v->refs, memory_order_relaxed) != FNN_VERSION_EMBEDDED)
        atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
}
static inline uint32_t fnn_tensor_version(const fnn_tensor *t) {
    return t->version ? atomic_load_explicit(&t->version->value, memory_order_relaxed) : 0;
}
static inline void fnn_tensor_bump(const fnn_tensor *t) {
    if (t->version) atomic_fetch_add_explicit(&t->version->value, 1, memory_order_relaxed);
}

/* Filled by graph/: counts of the autograd record. */
extern void (*fnn_meta_ref_hook)(fnn_meta *);
extern void (*fnn_meta_unref_hook)(fnn_meta *);

/* No tensor, as `= {0}` says it, but without touching shape and strides: those say nothing where ndim is 0. */
static inline void fnn_tensor_clear(fnn_tensor *t) {
    t->data = NULL;
    t->storage = NULL;
    t->version = NULL;
    t->meta = NULL;
    t->numel = 0;
    t->dtype = t->ndim = t->contiguous = t->flags = 0;
}

/* A view of the same memory that knows nothing of autograd (owned: storage and version are counted). */
void fnn_tensor_ref_data(fnn_tensor *dst, const fnn_tensor *src);

/* ---- geometry ---- */
/* Sets shape and strides (NULL: row-major) and derives numel and contiguous. */
void fnn_tensor_set_geometry(fnn_tensor *t, int ndim, const int64_t *shape, const int64_t *stride);
void fnn_tensor_derive(fnn_tensor *t); /* recomputes numel and contiguous from shape and stride */
bool fnn_same_shape(const fnn_tensor *a, const fnn_tensor *b);
/* Every element has its own place and the elements fill a block without gaps (a permuted contiguous tensor). */
bool fnn_is_dense(const fnn_tensor *t);
/* Two indices may hit the same element (an expanded dimension). */
bool fnn_has_overlap(const fnn_tensor *t);
bool fnn_repeats(const fnn_tensor *t); /* a dimension has stride 0: the same memory stands for several elements */
/* Bytes [lo, hi) that the view can touch. */
void fnn_tensor_extent(const fnn_tensor *t, const char **lo, const char **hi);
/* Allocates memory for t's geometry, which must be dense: data, storage and version are filled in. */
fnn_status fnn_tensor_alloc(fnn_tensor *t);
/* "(4, 128)" into buf; gives buf. */
#define FNN_SHAPE_TEXT FNN_SCRATCH_TEXT
const char *fnn_shape_text(char *buf, int ndim, const int64_t *shape);
/* The message-friendly shape of a tensor; valid until the same thread has asked four more times. */
const char *fnn_shape_of(const fnn_tensor *t);

static inline bool fnn_dtype_is_float(int d) { return d == FNN_F32 || d == FNN_F64; }
static inline bool fnn_dtype_is_int(int d) { return d == FNN_I64 || d == FNN_I32 || d == FNN_U8; }
extern const uint8_t fnn_itemsize[FNN_NDTYPES];

#endif
