/* Storage, version counter and view geometry; see tensor.h. */
#include "tensor.h"

#include <stdio.h>
#include <string.h>

#include "asan.h"
#include "pool.h"

const uint8_t fnn_itemsize[FNN_NDTYPES] = {4, 8, 8, 4, 1, 1};

void (*fnn_meta_ref_hook)(fnn_meta *);
void (*fnn_meta_unref_hook)(fnn_meta *);

size_t fnn_dtype_size(fnn_dtype dtype) { return fnn_itemsize[dtype]; }

const char *fnn_dtype_name(fnn_dtype dtype) {
    static const char *const names[FNN_NDTYPES] = {"float32", "float64", "int64", "int32", "uint8", "bool"};
    return names[dtype];
}

/* ---- storage and version ---- */

/* Small memory lies behind its storage in one block: a call on a small tensor asks the pool once, not twice. */
enum { HEAD = 64, TOGETHER = 4096 };
_Static_assert(sizeof(fnn_storage) <= HEAD, "the memory behind a storage starts on a cache line");

static fnn_storage *storage_blank(size_t behind) {
    fnn_storage *s = fnn_pool_alloc(HEAD + behind);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    atomic_init(&s->refs, 1);
    atomic_init(&s->version.refs, FNN_VERSION_EMBEDDED);
    return s;
}

fnn_storage *fnn_storage_new(size_t nbytes) {
    bool together = nbytes <= TOGETHER;
    fnn_storage *s = storage_blank(together ? nbytes : 0);
    if (s) {
        s->data = together ? (char *)s + HEAD : fnn_pool_alloc(nbytes);
        s->nbytes = nbytes;
        if (together) FNN_CLOSE_MEMORY(s + 1, HEAD - sizeof *s); /* what reads in front of the data is found */
        if (!s->data) {
            fnn_pool_free(s, HEAD);
            s = NULL;
        }
    }
    if (!s) fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to allocate %zu bytes", nbytes);
    return s;
}

fnn_storage *fnn_storage_wrap(void *data, size_t nbytes, bool readonly, void (*release)(void *), void *owner) {
    fnn_storage *s = storage_blank(0);
    if (!s) {
        fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to allocate a storage");
        return NULL;
    }
    s->data = data;
    s->nbytes = nbytes;
    s->readonly = readonly;
    s->release = release;
    s->owner = owner;
    return s;
}

void fnn_storage_unref(fnn_storage *s) {
    if (!s || !fnn_drop_ref(&s->refs)) return;
    size_t behind = 0;
    if (s->release)
        s->release(s->owner);
    else if (s->nbytes <= TOGETHER)
        behind = s->nbytes;
    else
        fnn_pool_free(s->data, s->nbytes);
    fnn_pool_free(s, HEAD + behind);
}

fnn_version *fnn_version_new(void) {
    fnn_version *v = fnn_pool_alloc(sizeof *v);
    if (!v) {
        fnn_fail(FNN_ERR_MEMORY, "out of memory: tried to allocate a version counter");
        return NULL;
    }
    atomic_init(&v->refs, 1);
    atomic_init(&v->value, 0);
    return v;
}

void fnn_version_unref(fnn_version *v) {
    if (!v || atomic_load_explicit(&v->refs, memory_order_relaxed) == FNN_VERSION_EMBEDDED) return;
    if (fnn_drop_ref(&v->refs)) fnn_pool_free(v, sizeof *v);
}

void fnn_tensor_ref_data(fnn_tensor *dst, const fnn_tensor *src) {
    *dst = *src;
    dst->meta = NULL;
    if (dst->storage) fnn_storage_ref(dst->storage);
    if (dst->version) fnn_version_ref(dst->version);
}

void fnn_tensor_ref(fnn_tensor *dst, const fnn_tensor *src) {
    fnn_tensor_ref_data(dst, src);
    dst->meta = src->meta;
    if (dst->meta) fnn_meta_ref_hook(dst->meta);
}

void fnn_tensor_unref(fnn_tensor *t) {
    fnn_meta *meta = t->meta;
    fnn_version *version = t->version;
    fnn_storage *storage = t->storage;
    t->meta = NULL;
    t->version = NULL;
    t->storage = NULL;
    t->data = NULL;
    if (meta) fnn_meta_unref_hook(meta);
    if (version) fnn_version_unref(version); /* before the storage: an embedded one lies inside it */
    if (storage) fnn_storage_unref(storage);
}

/* ---- geometry ---- */

/* A product of sizes, or -1 if it cannot be counted; whoever makes a tensor of given sizes looks at numel and refuses. */
static int64_t times(int64_t numel, int64_t size) {
    int64_t product;
    return numel < 0 || __builtin_mul_overflow(numel, size, &product) ? -1 : product;
}

void fnn_tensor_derive(fnn_tensor *t) {
    int64_t numel = 1;
    for (int d = 0; d < t->ndim; d++) numel = times(numel, t->shape[d]);
    t->numel = numel;
    int64_t expected = 1;
    bool contiguous = true;
    if (numel > 0)
        for (int d = t->ndim - 1; d >= 0; d--) {
            if (t->shape[d] == 1) continue; /* the stride of a dimension of one element says nothing */
            if (t->stride[d] != expected) {
                contiguous = false;
                break;
            }
            expected *= t->shape[d];
        }
    t->contiguous = contiguous;
}

void fnn_tensor_set_geometry(fnn_tensor *t, int ndim, const int64_t *shape, const int64_t *stride) {
    t->ndim = (uint8_t)ndim;
    for (int d = 0; d < ndim; d++) t->shape[d] = shape[d];
    if (stride) {
        for (int d = 0; d < ndim; d++) t->stride[d] = stride[d];
        fnn_tensor_derive(t);
        return;
    }
    int64_t step = 1, numel = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        t->stride[d] = step;
        step = times(step, shape[d] > 1 ? shape[d] : 1); /* as torch: empty dimensions do not zero the strides */
        numel = times(numel, shape[d]);
    }
    t->numel = step < 0 ? -1 : numel;
    t->contiguous = 1;
}

bool fnn_same_shape(const fnn_tensor *a, const fnn_tensor *b) {
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return true;
}

/* Dimensions with more than one element, sorted by falling stride; gives their number. */
static int sorted_dims(const fnn_tensor *t, int *order) {
    int n = 0;
    for (int d = 0; d < t->ndim; d++) {
        if (t->shape[d] == 1) continue;
        int at = n++;
        while (at > 0 && t->stride[order[at - 1]] < t->stride[d]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = d;
    }
    return n;
}

bool fnn_is_dense(const fnn_tensor *t) {
    if (t->contiguous) return true;
    int order[FNN_MAX_DIMS];
    int n = sorted_dims(t, order);
    int64_t expected = 1;
    for (int k = n - 1; k >= 0; k--) {
        if (t->stride[order[k]] != expected) return false;
        expected *= t->shape[order[k]];
    }
    return true;
}

bool fnn_repeats(const fnn_tensor *t) {
    bool found = false;
    for (int d = 0; d < t->ndim; d++) found |= t->shape[d] > 1 && !t->stride[d];
    return found && t->numel;
}

bool fnn_has_overlap(const fnn_tensor *t) {
    if (t->contiguous) return false;
    int order[FNN_MAX_DIMS];
    int n = sorted_dims(t, order);
    int64_t reach = 0; /* furthest element of the faster dimensions */
    for (int k = n - 1; k >= 0; k--) {
        if (t->stride[order[k]] <= reach) return true;
        reach += t->stride[order[k]] * (t->shape[order[k]] - 1);
    }
    return false;
}

void fnn_tensor_extent(const fnn_tensor *t, const char **lo, const char **hi) {
    *lo = *hi = t->data;
    if (!t->numel) return;
    int64_t last = 0;
    for (int d = 0; d < t->ndim; d++) last += t->stride[d] * (t->shape[d] - 1);
    *hi = t->data + (last + 1) * fnn_itemsize[t->dtype];
}

fnn_status fnn_tensor_alloc(fnn_tensor *t) {
    if (t->numel < 0 || t->numel > INT64_MAX / 8) {
        char text[FNN_SHAPE_TEXT];
        return fnn_fail(FNN_ERR_RUNTIME, "a tensor of shape %s has more bytes than an address can count", fnn_shape_text(text, t->ndim, t->shape));
    }
    fnn_storage *s = fnn_storage_new((size_t)t->numel * fnn_itemsize[t->dtype]);
    if (!s) return FNN_ERR_MEMORY;
    t->storage = s;
    t->version = &s->version;
    t->data = s->data;
    t->meta = NULL;
    return FNN_OK;
}

static fnn_status check_sizes(int ndim, const int64_t *shape) {
    if (ndim < 0 || ndim > FNN_MAX_DIMS)
        return fnn_fail(FNN_ERR_RUNTIME, "empty: found %d dimensions, wanted at most %d", ndim, FNN_MAX_DIMS);
    for (int d = 0; d < ndim; d++)
        if (shape[d] < 0)
            return fnn_fail(FNN_ERR_RUNTIME, "empty: dimension %d has negative size %lld", d, (long long)shape[d]);
    return FNN_OK;
}

fnn_status fnn_empty(fnn_tensor *out, fnn_dtype dtype, int ndim, const int64_t *shape) {
    fnn_status status = check_sizes(ndim, shape);
    if (status) return status;
    fnn_tensor t;
    fnn_tensor_clear(&t);
    t.dtype = (uint8_t)dtype;
    fnn_tensor_set_geometry(&t, ndim, shape, NULL);
    status = fnn_tensor_alloc(&t);
    if (!status) *out = t;
    return status;
}

fnn_status fnn_from_data(fnn_tensor *out, fnn_dtype dtype, int ndim, const int64_t *shape, const void *data) {
    fnn_status status = fnn_empty(out, dtype, ndim, shape);
    if (!status && out->numel) memcpy(out->data, data, (size_t)out->numel * fnn_itemsize[dtype]);
    return status;
}

static fnn_tensor number(void *slot, fnn_dtype dtype) {
    return (fnn_tensor){.data = slot, .numel = 1, .dtype = (uint8_t)dtype, .contiguous = 1, .flags = FNN_T_NUMBER};
}
fnn_tensor fnn_number_f64(double *slot) { return number(slot, FNN_F64); }
fnn_tensor fnn_number_i64(int64_t *slot) { return number(slot, FNN_I64); }

const char *fnn_shape_text(char *buf, int ndim, const int64_t *shape) {
    size_t at = 0;
    buf[at++] = '(';
    for (int d = 0; d < ndim; d++) {
        int wrote = snprintf(buf + at, FNN_SHAPE_TEXT - at, "%s%lld", d ? ", " : "", (long long)shape[d]);
        at += (size_t)wrote;
    }
    snprintf(buf + at, FNN_SHAPE_TEXT - at, ndim == 1 ? ",)" : ")");
    return buf;
}

const char *fnn_shape_of(const fnn_tensor *t) {
    return fnn_shape_text(fnn_scratch_text(), t->ndim, t->shape);
}
