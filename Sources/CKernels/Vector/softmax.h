/// Bodies of `softmax` and `exponentials` (see CKernels.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_SOFTMAX_H
#define CKERNELS_VECTOR_SOFTMAX_H

#include "exp.h"
#include "lanes.h"

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
  return exp_nonpositive(v_max(v_set(LOWEST_EXPONENT), exponent), v_set(-0.0f));
}

INLINE vfloat exponentials_as_floats(float *x, size_t whole, size_t rest, vfloat maximum, vfloat scale) {
  vfloat sums = v_set(0);
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat e = shifted_exp(v_load(x + i), maximum, scale);
    sums = v_add(sums, e);
    v_store(x + i, e);
  }
  if (rest) {
    const vfloat e = v_keep(shifted_exp(v_load_tail(x + whole, rest, 0), maximum, scale), rest);
    sums = v_add(sums, e);
    v_store_tail(x + whole, e, rest);
  }
  return sums;
}

// Halves overtake no float that is still to be read.
INLINE vfloat exponentials_as_halves(float *x, size_t whole, size_t rest, vfloat maximum, float scale) {
  vfloat sums = v_set(0);
  uint16_t *halves = (uint16_t *)x;
  const vfloat slope = v_set(1.44269504f * scale);
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat e = rough_exp2(v_mul(v_sub(v_load(x + i), maximum), slope));
    sums = v_add(sums, e);
    v_round_to_bfloat16(halves + i, e);
  }
  if (rest) {
    const vfloat e = v_keep(rough_exp2(v_mul(v_sub(v_load_tail(x + whole, rest, 0), maximum), slope)), rest);
    sums = v_add(sums, e);
    uint16_t last[LANES];
    v_round_to_bfloat16(last, e);
    memcpy(halves + whole, last, 2 * (rest + rest % 2));
  }
  return sums;
}

/// The exponentials of `count` rows, ROWS_TOGETHER at most, and the sums that they have in each lane.
INLINE void exponentials_of_rows(float *x, size_t stride, size_t count, size_t columns, float scale, bool as_halves,
                                 vfloat sums[ROWS_TOGETHER]) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  float maxima[ROWS_TOGETHER];
  for (size_t r = 0; r < count; r++) maxima[r] = row_maximum(x + r * stride, whole, rest);
  for (size_t r = 0; r < count; r++)
    sums[r] = as_halves ? exponentials_as_halves(x + r * stride, whole, rest, v_set(maxima[r]), scale)
                        : exponentials_as_floats(x + r * stride, whole, rest, v_set(maxima[r]), v_set(scale));
}

TARGET static void softmax(float *x, size_t stride, size_t rows, size_t columns, float scale) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  for (size_t first = 0; first < rows; first += ROWS_TOGETHER) {
    const size_t count = rows_from(first, rows);
    vfloat sums[ROWS_TOGETHER];
    exponentials_of_rows(x + first * stride, stride, count, columns, scale, false, sums);
    for (size_t r = 0; r < count; r++) {
      float *row = x + (first + r) * stride;
      const vfloat factor = v_set(1 / v_sum(sums[r]));
      for (size_t i = 0; i < whole; i += LANES) v_store(row + i, v_mul(v_load(row + i), factor));
      if (rest) v_store_tail(row + whole, v_mul(v_load_tail(row + whole, rest, 0), factor), rest);
    }
  }
}

TARGET static void exponentials(float *x, size_t stride, size_t rows, size_t columns, float scale,
                                ckernels_element element, float *reciprocals) {
  for (size_t first = 0; first < rows; first += ROWS_TOGETHER) {
    const size_t count = rows_from(first, rows);
    vfloat sums[ROWS_TOGETHER];
    exponentials_of_rows(x + first * stride, stride, count, columns, scale, element == CKERNELS_BFLOAT16, sums);
    for (size_t r = 0; r < count; r++) reciprocals[first + r] = columns ? 1 / v_sum(sums[r]) : 0;
  }
}

#endif
