/* How a row is walked: whole words, then one masked tail (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: nothing beyond `left` elements is read or written; missing lanes are zero. */
FNN_WORD vr K(get)(const real *p, int64_t left) { return left >= VR ? vr_load(p) : vr_load_n(p, left); }
FNN_WORD void K(put)(real *p, int64_t left, vr v) {
    if (left >= VR) vr_store(p, v);
    else vr_store_n(p, left, v);
}
/* v with the lanes from `left` on set to zero: before adding up something that is not zero for a missing element */
FNN_WORD vr K(only)(vr v, int64_t left) {
    return left >= VR ? v : vr_select(vr_mask_first(left), v, vr_set1(0));
}
/* y += x */
static inline void K(add_row)(real *y, const real *x, int64_t n) {
    for (int64_t i = 0; i < n; i += VR) K(put)(y + i, n - i, vr_add(K(get)(y + i, n - i), K(get)(x + i, n - i)));
}
