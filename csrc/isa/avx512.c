/* All kernels compiled for AVX-512 F, BW, DQ and VL. Exports fnn_kernels_avx512 and nothing else.
 *
 * The headers of libc and of the intrinsics come before the target pragma, so that none of their inline functions is built
 * for an instruction set the machine may lack. The build gives no -m flags. Read next: isa/unit.inc. */
#if defined(__x86_64__)
#include "isa/prelude.h"
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,f16c,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,f16c,popcnt,prefer-vector-width=512")
#endif

#define FNN_ISA avx512
#include "simd/avx512.h"
#include "simd/vec_math.h"
#include "isa/unit.inc"

#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fnn_no_avx512; /* an empty unit is not C */
#endif
