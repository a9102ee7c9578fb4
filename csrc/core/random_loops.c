/* The loops of random_loops.inc compiled for any processor, and on x86-64 once more for AVX2 with FMA.
 *
 * Why not among the kernels of csrc/kernels: a stream must be the same without FMA in hardware, where libm's exact fma
 * stands in, so there is one source and no instruction-set word in it. Invariant: both builds give the same bits. */
#include <math.h>
#include <string.h>

#include "core/random_internal.h"

#define LOOP(name) plain_##name
#include "core/random_loops.inc"
#undef LOOP

#if defined(__x86_64__) && !defined(__FMA__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LOOP(name) avx2_##name
#define HAVE_AVX2 1
#include "core/random_loops.inc"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

const rng_loops *rng_loops_get(void) {
#ifdef HAVE_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return &avx2_table;
    }
#endif
    return &plain_table;
}
