/* All kernels compiled for plain C: the reference, and what runs where nothing better is there. Exports fnn_kernels_scalar and nothing else.
 * Read next: isa/unit.inc. */
#include "isa/prelude.h"

#define FNN_ISA scalar
#include "simd/scalar.h"
#include "simd/vec_math.h"
#include "isa/unit.inc"
