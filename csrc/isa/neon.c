/* All kernels compiled for NEON on aarch64. Exports fnn_kernels_neon and nothing else.
 * Read next: isa/unit.inc. */
#if defined(__aarch64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O1") /* words of four registers: gcc 12 takes over ten minutes for this unit at -O2, one at -O1 */
#endif
#include "isa/prelude.h"
#include <arm_neon.h>

#define FNN_ISA neon
#include "simd/neon.h"
#include "simd/vec_math.h"
#include "isa/unit.inc"
#else
typedef int fnn_no_neon; /* an empty unit is not C */
#endif
