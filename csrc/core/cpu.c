/* Reads the processor's feature bits and chooses the table of kernels. What it keeps: see core/cpu.h.
 *
 * Only this file in core/ sees the kernels' table type, and only to copy it. Read next: isa/unit.inc. */
#include "core/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

fnn_kernels fnn_k;

extern const fnn_kernels fnn_kernels_scalar;

#if defined(__x86_64__)
#include <cpuid.h>

extern const fnn_kernels fnn_kernels_avx2, fnn_kernels_avx512;

/* XCR0: which registers the operating system saves. Bits 1-2: xmm, ymm; bits 5-7: masks and zmm. */
static uint64_t saved_registers(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* 0: neither, 1: AVX2 and FMA, 2: AVX-512 F, BW, DQ, VL as well. What isa/avx2.c and isa/avx512.c may use. */
static int x86_level(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    /* leaf 1, ecx: fma 12, movbe unused, popcnt 23, osxsave 27, avx 28, f16c 29 */
    const unsigned need1 = 1u << 12 | 1u << 23 | 1u << 27 | 1u << 28 | 1u << 29;
    if ((c & need1) != need1) return 0;
    uint64_t saved = saved_registers();
    if ((saved & 0x6) != 0x6) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    /* leaf 7, ebx: bmi1 3, avx2 5, bmi2 8; avx512 f 16, dq 17, bw 30, vl 31 */
    const unsigned need2 = 1u << 3 | 1u << 5 | 1u << 8;
    const unsigned need3 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((b & need2) != need2) return 0;
    return (b & need3) == need3 && (saved & 0xe0) == 0xe0 ? 2 : 1;
}
#elif defined(__aarch64__)
extern const fnn_kernels fnn_kernels_neon;
#endif

/* The available tables, best first, ended by NULL. */
static const fnn_kernels *const *available(void) {
    static const fnn_kernels *tables[4]; /* filled with the same values by whoever comes first: no lock needed */
    int n = 0;
#if defined(__x86_64__)
    int level = x86_level();
    if (level >= 2) tables[n++] = &fnn_kernels_avx512;
    if (level >= 1) tables[n++] = &fnn_kernels_avx2;
#elif defined(__aarch64__)
    tables[n++] = &fnn_kernels_neon;
#endif
    tables[n] = &fnn_kernels_scalar;
    return tables;
}

const char *fnn_isa_available(int i) {
    const fnn_kernels *const *t = available();
    for (; i > 0 && *t; i--) t++;
    return i == 0 && *t ? (*t)->isa : NULL;
}

const char *fnn_isa_name(void) { return fnn_k.isa; }

fnn_status fnn_kernels_select(const char *name) {
    const fnn_kernels *const *tables = available();
    char have[64] = "";
    for (const fnn_kernels *const *t = tables; *t; t++) {
        if (t == tables && strcmp(name, "auto") == 0) name = (*t)->isa;
        if (strcmp(name, (*t)->isa) == 0) {
            fnn_k = **t;
            return FNN_OK;
        }
        size_t used = strlen(have);
        snprintf(have + used, sizeof have - used, "%s ", (*t)->isa);
    }
    return fnn_fail(FNN_ERR_VALUE, "FASTNN_ISA: '%s' is not an instruction set of this machine; it has: %sauto", name, have);
}

fnn_status fnn_kernels_init(void) {
    const char *name = getenv("FASTNN_ISA");
    return fnn_kernels_select(name && *name ? name : "auto");
}
