/* The element types. A header of its own, so that kernels need not see the ops' list and are not rebuilt when it grows. */
#ifndef FNN_CORE_DTYPE_H
#define FNN_CORE_DTYPE_H

typedef enum fnn_dtype { FNN_F32, FNN_F64, FNN_I64, FNN_I32, FNN_U8, FNN_BOOL, FNN_NDTYPES } fnn_dtype;

#endif
