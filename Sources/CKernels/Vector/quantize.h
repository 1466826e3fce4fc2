/// Bodies of `quantize`, `quantize_weights` and `round_to_bfloat16` (see CKernels.h) in the words of vector.h.

#include "../quantization.h"

/// `count` <= LANES elements from x on, times their multipliers where there are some; 0 behind them.
INLINE vfloat multiplied(const float *x, const float *multipliers, size_t count) {
  const vfloat v = count == LANES ? v_load(x) : v_load_tail(x, count, 0);
  if (!multipliers) return v;
  return v_mul(v, count == LANES ? v_load(multipliers) : v_load_tail(multipliers, count, 0));
}

/// One row; `multipliers` is NULL in one of the two copies that the compiler makes.
INLINE quantization quantize_row(const float *x, size_t columns, const float *multipliers, const ckernels_levels *levels,
                                 ckernels_element element, void *target) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  // Zero times a NaN or an infinity is NaN, and stays it in a sum.
  vfloat low = v_set(0), high = v_set(0), zeros = v_set(0);
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat v = multiplied(x + i, multipliers ? multipliers + i : NULL, LANES);
    low = v_min(low, v);
    high = v_max(high, v);
    zeros = v_fma(v, v_set(0), zeros);
  }
  if (rest) {
    const vfloat v = multiplied(x + whole, multipliers ? multipliers + whole : NULL, rest);
    low = v_min(low, v);
    high = v_max(high, v);
    zeros = v_fma(v, v_set(0), zeros);
  }
  const bool has_nonfinite = isnan(v_sum(zeros));
  const quantization q =
      levels->scale ? fixed_quantization(levels->scale, levels->zero_point, has_nonfinite)
                    : quantization_of(-v_largest(v_sub(v_set(0), low)), v_largest(high), has_nonfinite);
  const vfloat inverse = v_set(q.inverse), zero = v_set((float)q.zero_point);
  const vfloat least_level = v_set(0), largest_level = v_set(255);
  uint8_t *bytes = (uint8_t *)target;
  uint16_t *words = (uint16_t *)target;
  for (size_t i = 0; i < columns; i += LANES) {
    const size_t n = columns - i < LANES ? columns - i : LANES;
    const vfloat v = multiplied(x + i, multipliers ? multipliers + i : NULL, n);
    // Storing rounds.
    const vfloat bounded = v_min(largest_level, v_max(least_level, v_fma(v, inverse, zero)));
    if (element == CKERNELS_UINT8) {
      if (n == LANES) {
        v_to_bytes(bytes + i, bounded);
      } else {
        uint8_t last[LANES];
        v_to_bytes(last, bounded);
        memcpy(bytes + i, last, n);
      }
    } else if (n == LANES) {
      v_to_words(words + i, bounded);
    } else {
      uint16_t last[LANES];
      v_to_words(last, bounded);
      memcpy(words + i, last, 2 * n);
    }
  }
  // Up to a whole group of 4 bytes.
  if (element == CKERNELS_UINT8)
    for (size_t i = columns; i % 4; i++) bytes[i] = 0;
  else
    for (size_t i = columns; i % 2; i++) words[i] = 0;
  return q;
}

TARGET static void quantize(const float *x, size_t stride, size_t rows, size_t columns, const ckernels_levels *levels,
                            ckernels_element element, void *out, size_t out_stride, float *scales,
                            int32_t *zero_points) {
  char *target = out;
  for (size_t r = 0; r < rows; r++, x += stride, target += out_stride) {
    const quantization q = levels->multipliers
                               ? quantize_row(x, columns, levels->multipliers, levels, element, target)
                               : quantize_row(x, columns, NULL, levels, element, target);
    scales[r] = q.scale;
    zero_points[r] = q.zero_point;
  }
}

TARGET static void quantize_weights(const float *w, size_t stride, size_t outputs, size_t inner, int8_t *out,
                                    size_t out_stride, float *scales) {
  const size_t whole = inner - inner % LANES, rest = inner % LANES;
  for (size_t o = 0; o < outputs; o++, w += stride, out += out_stride) {
    vfloat largest = v_set(0);
    for (size_t i = 0; i < whole; i += LANES) largest = v_max(largest, v_abs(v_load(w + i)));
    if (rest) largest = v_max(largest, v_abs(v_load_tail(w + whole, rest, 0)));
    scales[o] = weight_scale(v_largest(largest));
    const vfloat scale = v_set(scales[o]);
    // A scale below the normal floats may have been rounded to less than the row needs.
    const vfloat least = v_set(-127), most = v_set(127);
    for (size_t i = 0; i < inner; i += LANES) {
      const size_t n = inner - i < LANES ? inner - i : LANES;
      const vfloat v = n == LANES ? v_load(w + i) : v_load_tail(w + i, n, 0);
      int8_t levels[LANES];
      v_to_signed_bytes(levels, v_min(most, v_max(least, v_round(v_div(v, scale)))));
      memcpy(out + i, levels, n);
    }
  }
}

TARGET static void round_to_bfloat16(const float *x, size_t stride, size_t rows, size_t columns,
                                     ckernels_element element, void *out, size_t out_stride) {
  char *target = out;
  for (size_t r = 0; r < rows; r++, x += stride, target += out_stride) {
    for (size_t i = 0; i < columns; i += LANES) {
      const size_t n = columns - i < LANES ? columns - i : LANES;
      uint16_t halves[LANES];
      if (n < LANES) {
        v_to_bfloat16(halves, v_load_tail(x + i, n, 0));
        if (element == CKERNELS_BFLOAT16)
          memcpy(target + 2 * i, halves, 2 * n);
        else
          v_store_tail((float *)target + i, v_from_bfloat16(halves), n);
      } else if (element == CKERNELS_BFLOAT16) {
        v_to_bfloat16(target + 2 * i, v_load(x + i));
      } else {
        v_to_bfloat16(halves, v_load(x + i));
        v_store((float *)target + i, v_from_bfloat16(halves));
      }
    }
    if (element == CKERNELS_BFLOAT16 && columns % 2) memset(target + 2 * columns, 0, 2);
  }
}
