/* Inner products of vectors (kernels over `real`; see isa/unit.inc).
 *
 * Invariant: element k belongs to lane k mod VR of accumulator (k / VR) mod 4 whatever the strides, so strided and contiguous
 * vectors give the same bits. Does not: serve matrices (kernels/gemm.h has one chain per element).
 * Why not that chain here: a single one waits 4 cycles for each fma, 64 chains run 30 times as fast. */

/* lanes k..k+VR-1 of a strided vector; those at or after the end are 0 */
static inline vr K(dot_word)(const real *x, int64_t k, int64_t length, int64_t stride) {
    const int64_t n = length - k < VR ? length - k : VR;
    if (stride == 1) return n == VR ? vr_load(x + k) : vr_load_n(x + k, n);
    real lanes[VR] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = x[(k + i) * stride];
    return vr_load(lanes);
}

static real K(dot)(const real *a, const real *b, int64_t length, int64_t a_stride, int64_t b_stride) {
    vr s[4] = {vr_set1(0), vr_set1(0), vr_set1(0), vr_set1(0)};
    int64_t k = 0;
    for (; k + 4 * VR <= length; k += 4 * VR)
        for (int i = 0; i < 4; i++)
            s[i] = vr_fma(K(dot_word)(a, k + i * VR, length, a_stride), K(dot_word)(b, k + i * VR, length, b_stride), s[i]);
    for (int i = 0; k < length; k += VR, i++)
        s[i] = vr_fma(K(dot_word)(a, k, length, a_stride), K(dot_word)(b, k, length, b_stride), s[i]);
    return vr_reduce_add(vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3])));
}
