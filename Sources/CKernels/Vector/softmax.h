/// Bodies of `softmax` and `exponentials` (see CKernels.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_SOFTMAX_H
#define CKERNELS_VECTOR_SOFTMAX_H

#include "exp.h"

INLINE float row_maximum(const float *x, size_t whole, size_t rest) {
  vfloat largest = v_set(-INFINITY);
  // A NaN may or may not win here; the exponential of its own difference is NaN either way.
  for (size_t i = 0; i < whole; i += LANES) largest = v_max(largest, v_load(x + i));
  if (rest) largest = v_max(largest, v_load_tail(x + whole, rest, -INFINITY));
  return v_largest(largest);
}

INLINE vfloat shifted_exp(vfloat x, vfloat maximum, vfloat scale) {
  // Subtracting before scaling: scale * x could overflow, the difference at worst becomes -inf.
  const vfloat exponent = v_mul(v_sub(x, maximum), scale);
  return exp_nonpositive(v_max(v_set(LOWEST_EXPONENT), exponent), v_set(0));
}

TARGET static void softmax(float *x, size_t stride, size_t rows, size_t columns, float scale) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  const vfloat scales = v_set(scale);
  for (size_t r = 0; r < rows; r++, x += stride) {
    const vfloat maximum = v_set(row_maximum(x, whole, rest));
    vfloat sums = v_set(0);
    for (size_t i = 0; i < whole; i += LANES) {
      const vfloat e = shifted_exp(v_load(x + i), maximum, scales);
      v_store(x + i, e);
      sums = v_add(sums, e);
    }
    if (rest) {
      const vfloat e = shifted_exp(v_load_tail(x + whole, rest, 0), maximum, scales);
      v_store_tail(x + whole, e, rest);
      sums = v_add(sums, v_keep(e, rest));
    }
    const vfloat factor = v_set(1 / v_sum(sums));
    for (size_t i = 0; i < whole; i += LANES) v_store(x + i, v_mul(v_load(x + i), factor));
    if (rest) v_store_tail(x + whole, v_mul(v_load_tail(x + whole, rest, 0), factor), rest);
  }
}

INLINE void exponentials_as_floats(float *x, size_t whole, size_t rest, vfloat maximum, vfloat scale, vfloat *sums) {
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat e = shifted_exp(v_load(x + i), maximum, scale);
    *sums = v_add(*sums, e);
    v_store(x + i, e);
  }
  if (rest) {
    const vfloat e = v_keep(shifted_exp(v_load_tail(x + whole, rest, 0), maximum, scale), rest);
    *sums = v_add(*sums, e);
    v_store_tail(x + whole, e, rest);
  }
}

// Halves overtake no float that is still to be read.
INLINE void exponentials_as_halves(float *x, size_t whole, size_t rest, vfloat maximum, float scale, vfloat *sums) {
  uint16_t *halves = (uint16_t *)x;
  const vfloat slope = v_set(1.44269504f * scale);
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat e = rough_exp2(v_mul(v_sub(v_load(x + i), maximum), slope));
    *sums = v_add(*sums, e);
    v_round_to_bfloat16(halves + i, e);
  }
  if (rest) {
    const vfloat e = v_keep(rough_exp2(v_mul(v_sub(v_load_tail(x + whole, rest, 0), maximum), slope)), rest);
    *sums = v_add(*sums, e);
    uint16_t last[LANES];
    v_round_to_bfloat16(last, e);
    memcpy(halves + whole, last, 2 * (rest + rest % 2));
  }
}

TARGET static void exponentials(float *x, size_t stride, size_t rows, size_t columns, float scale,
                                ckernels_element element, float *reciprocals) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  const vfloat scales = v_set(scale);
  for (size_t r = 0; r < rows; r++, x += stride) {
    const vfloat maximum = v_set(row_maximum(x, whole, rest));
    vfloat sums = v_set(0);
    if (element == CKERNELS_BFLOAT16)
      exponentials_as_halves(x, whole, rest, maximum, scale, &sums);
    else
      exponentials_as_floats(x, whole, rest, maximum, scales, &sums);
    reciprocals[r] = columns ? 1 / v_sum(sums) : 0;
  }
}

#endif
