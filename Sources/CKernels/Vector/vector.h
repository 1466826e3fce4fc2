/// The words that the bodies in this folder are written in: one body per operation, compiled once per
/// instruction set.
///
/// vector_avx2.h and vector_avx512.h define, for LANES floats at a time:
///   TARGET                      the attribute of functions that use the instruction set
///   INLINE                      the same for the words themselves
///   vfloat                      a vector of LANES floats
///   v_load, v_store             whole vectors, alignment of a float
///   v_load_tail(p, n, fill)     the first n < LANES floats at p, `fill` in the other lanes; reads no more
///   v_store_tail(p, v, n)       the first n < LANES lanes
///   v_keep(v, n)                the first n < LANES lanes, 0 in the others
///   v_add ... v_fma(a, b, c)    a * b + c;  v_fnma(a, b, c) = c - a * b
///   v_max(a, b), v_min(a, b)    b if one of them is NaN: put the bound first, the value second
///   v_scale(v, n)               v * 2^n for integral n in -252...0, with gradual underflow
///   v_sum, v_largest            over the lanes
///   v_nonfinite(seen, v)        `seen`, changed to nonzero if v holds a NaN or an infinity

#ifndef CKERNELS_VECTOR_H
#define CKERNELS_VECTOR_H

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "../include/CKernels.h"

/// The table of a translation unit that has included all bodies.
#define CKERNELS_VECTOR_OPERATIONS                \
  {                                               \
      .layer_norm = layer_norm,                   \
      .gelu = gelu,                               \
      .softmax = softmax,                         \
      .add_bias = add_bias,                       \
      .add_residual = add_residual,               \
      .float16_to_float32 = float16_to_float32,   \
      .bfloat16_to_float32 = bfloat16_to_float32, \
      .all_finite = all_finite,                   \
  }

#endif
