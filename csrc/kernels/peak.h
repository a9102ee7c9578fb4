/* The processor's own limit (a kernel over `real`; see isa/unit.inc): what benchmarks divide by.
 *
 * Invariant: nothing but fma in registers, in more independent chains than one fma takes cycles. Reads no memory. */
#define PEAK_CHAINS (FNN_WORD_REGISTERS >= 32 ? 16 : FNN_WORD_REGISTERS >= 8 ? 5 : 1)

static int64_t K(peak_fma)(real *y, int64_t rounds) {
    const vr a = vr_set1((real)0.5), b = vr_set1((real)0.25);
    vr s[PEAK_CHAINS];
    real start[PEAK_CHAINS * VR]; /* all different: the compiler computes equal registers of a word once */
    for (int i = 0; i < PEAK_CHAINS * VR; i++) start[i] = (real)i;
    for (int i = 0; i < PEAK_CHAINS; i++) s[i] = vr_load(start + i * VR);
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < PEAK_CHAINS; i++) s[i] = vr_fma(s[i], a, b);
    for (int i = 1; i < PEAK_CHAINS; i++) s[0] = vr_add(s[0], s[i]);
    *y = vr_reduce_add(s[0]);
    return rounds * PEAK_CHAINS * VR * 2;
}
