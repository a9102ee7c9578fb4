/* What every instruction-set unit includes before its target pragma: libc and the table's type. */
#ifndef FNN_ISA_PRELUDE_H
#define FNN_ISA_PRELUDE_H
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#endif
