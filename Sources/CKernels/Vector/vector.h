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
///   v_where_below(v, bound, a, b)   a where v < bound, b elsewhere and where v is NaN
///   v_scale(v, n)               v * 2^n for integral n in -252...0, with gradual underflow
///   v_fraction(v)               v - floor(v)
///   v_scale_by_floor(v, n)      v * 2^floor(n) for n in -252...0, with gradual underflow
///   v_maximum(a, b)             NaN if one of them is
///   v_copy_sign(v, sign)        the magnitude of v >= 0 with the sign of the other
///   V_HAS_TABLES                where it is defined: v_look_up(table, places), elements of a table of 32 floats, by the lowest 5 bits of each place
///   v_sum, v_largest            over the lanes
///   v_transpose(rows)           LANES vectors of LANES floats, rows and columns exchanged
///   v_nonfinite(seen, v)        `seen`, changed to nonzero if v holds a NaN or an infinity
///   v_between(seen, v, a, b)    `seen`, changed to nonzero if v holds a magnitude of at least a and below b
///   v_round_to_bfloat16         v_to_bfloat16, but that subnormal numbers may become 0;  v_round_to_bfloat16_of_2: of two vectors
///   v_pair_halves(a, b)         floats that are bfloat16 by value as words of two: a in the lower halves, b in the upper ones
///   vint                        a vector of LANES int32;  i_load, i_set, i_sub, i_and, i_or, shifts, v_from_int
///   i_from_bits(v)              what the floats of v are in memory
///   i_add_products_of_16(s, a, b)   s + the products of the lower halves + those of the upper ones, int16 each
///   v_to_bytes, v_to_words      floats of 0...255, rounded, as 8 or 16 bits;  v_to_signed_bytes: of -128...127
///   v_to_bytes_of_4             4 vectors of floats up to 255, those below 0 and NaN as 0
///   vdouble                     a vector of LANES / 2 doubles;  v_low, v_high: half a vector as doubles

#ifndef CKERNELS_VECTOR_H
#define CKERNELS_VECTOR_H

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "../include/CKernels.h"

/// The table of a translation unit that has included all bodies; its products in the three precisions.
#define CKERNELS_VECTOR_OPERATIONS(fp32, bf16, int8) \
  {                                               \
      .layer_norm = layer_norm,                   \
      .rms_norm = rms_norm,                       \
      .gelu = gelu,                               \
      .gelu_tanh = gelu_tanh,                     \
      .quick_gelu = quick_gelu,                   \
      .silu = silu,                               \
      .relu = relu,                               \
      .hyperbolic_tangent = hyperbolic_tangent,   \
      .softmax = softmax,                         \
      .add_residual = add_residual,               \
      .multiply = multiply,                       \
      .maximum = maximum,                         \
      .column_moments = column_moments,           \
      .normalize_columns = normalize_columns,     \
      .float16_to_float32 = float16_to_float32,   \
      .bfloat16_to_float32 = bfloat16_to_float32, \
      .float32_to_float16 = float32_to_float16,   \
      .float32_to_bfloat16 = float32_to_bfloat16, \
      .all_finite = all_finite,                   \
      .quantize = quantize,                       \
      .quantize_weights = quantize_weights,       \
      .round_to_bfloat16 = round_to_bfloat16,     \
      .transpose = transpose,                     \
      .exponentials = exponentials,               \
      .products = {fp32, bf16, int8},             \
  }

#endif
