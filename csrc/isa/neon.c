/* All kernels compiled for NEON on aarch64. Exports fnn_kernels_neon and nothing else.
 * Read next: isa/unit.inc. */
#if defined(__aarch64__)
#include "isa/prelude.h"
#include <arm_neon.h>

#define FNN_ISA neon
#include "simd/neon.h"
#include "simd/vec_math.h"
#include "isa/unit.inc"
#else
typedef int fnn_no_neon; /* an empty unit is not C */
#endif
