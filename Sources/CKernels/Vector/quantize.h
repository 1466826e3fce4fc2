/// Bodies of `quantize`, `quantize_weights` and `round_to_bfloat16` (see CKernels.h) in the words of vector.h.

#include "../quantization.h"
#include "lanes.h"

/// `count` <= LANES elements from x on, times their multipliers where there are some; 0 behind them.
INLINE vfloat multiplied(const float *x, const float *multipliers, size_t count) {
  const vfloat v = count == LANES ? v_load(x) : v_load_tail(x, count, 0);
  if (!multipliers) return v;
  return v_mul(v, count == LANES ? v_load(multipliers) : v_load_tail(multipliers, count, 0));
}

/// What has been seen of a row: the range of it and 0, and a sum of zeros. Zero times a NaN or an infinity is NaN, and stays it in a sum.
typedef struct {
  vfloat low, high, zeros;
} row_range;

INLINE void see(row_range *range, vfloat v) {
  range->low = v_min(range->low, v);
  range->high = v_max(range->high, v);
  range->zeros = v_fma(v, v_set(0), range->zeros);
}

/// Levels, not yet rounded, and perhaps below 0.
INLINE vfloat levels_of(vfloat v, vfloat inverse, vfloat zero) { return v_min(v_set(255), v_fma(v, inverse, zero)); }

/// The scale and zero point of a row: by its range, or those of `levels`; NaN where the row is not finite.
INLINE quantization quantization_of_row(const float *x, size_t columns, const float *multipliers, const ckernels_levels *levels) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  // Two chains, as each operation takes several cycles.
  row_range even = {v_set(0), v_set(0), v_set(0)}, odd = even;
  size_t seen = 0;
  for (; seen + 2 * LANES <= whole; seen += 2 * LANES) {
    see(&even, multiplied(x + seen, multipliers ? multipliers + seen : NULL, LANES));
    see(&odd, multiplied(x + seen + LANES, multipliers ? multipliers + seen + LANES : NULL, LANES));
  }
  if (seen < whole) see(&even, multiplied(x + seen, multipliers ? multipliers + seen : NULL, LANES));
  if (rest) see(&odd, multiplied(x + whole, multipliers ? multipliers + whole : NULL, rest));
  const vfloat low = v_min(even.low, odd.low), high = v_max(even.high, odd.high);
  const bool has_nonfinite = isnan(v_sum(v_add(even.zeros, odd.zeros)));
  return levels->scale ? fixed_quantization(levels->scale, levels->zero_point, has_nonfinite)
                       : quantization_of(-v_largest(v_sub(v_set(0), low)), v_largest(high), has_nonfinite);
}

/// One row of levels.
INLINE void quantize_row(const float *x, size_t columns, const float *multipliers, quantization q, ckernels_element element,
                         void *target) {
  const vfloat inverse = v_set(q.inverse), zero = v_set((float)q.zero_point);
  uint8_t *bytes = (uint8_t *)target;
  uint16_t *words = (uint16_t *)target;
  size_t i = 0;
  if (element == CKERNELS_UINT8) {
    for (; i + 4 * LANES <= columns; i += 4 * LANES) {
      vfloat v[4];
#pragma clang loop unroll(full)
      for (size_t j = 0; j < 4; j++) {
        const size_t place = i + j * LANES;
        v[j] = levels_of(multiplied(x + place, multipliers ? multipliers + place : NULL, LANES), inverse, zero);
      }
      v_to_bytes_of_4(bytes + i, v);
    }
  }
  for (; i < columns; i += LANES) {
    const size_t n = columns - i < LANES ? columns - i : LANES;
    const vfloat v = multiplied(x + i, multipliers ? multipliers + i : NULL, n);
    // Storing rounds.
    const vfloat bounded = v_max(v_set(0), levels_of(v, inverse, zero));
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
    for (size_t end = columns; end % 4; end++) bytes[end] = 0;
  else
    for (size_t end = columns; end % 2; end++) words[end] = 0;
}

/// `multipliers` is NULL in one of the two copies that the compiler makes.
INLINE void quantize_rows(const float *x, size_t stride, size_t rows, size_t columns, const float *multipliers,
                          const ckernels_levels *levels, ckernels_element element, void *out, size_t out_stride, float *scales,
                          int32_t *zero_points) {
  char *target = out;
  for (size_t first = 0; first < rows; first += ROWS_TOGETHER) {
    const size_t count = rows_from(first, rows);
    const float *from = x + first * stride;
    quantization q[ROWS_TOGETHER];
    for (size_t r = 0; r < count; r++) q[r] = quantization_of_row(from + r * stride, columns, multipliers, levels);
    for (size_t r = 0; r < count; r++, target += out_stride) {
      quantize_row(from + r * stride, columns, multipliers, q[r], element, target);
      scales[first + r] = q[r].scale;
      zero_points[first + r] = ckernels_zero_point(q[r].zero_point);
    }
  }
}

TARGET static void quantize(const float *x, size_t stride, size_t rows, size_t columns, const ckernels_levels *levels,
                            ckernels_element element, void *out, size_t out_stride, float *scales,
                            int32_t *zero_points) {
  if (levels->multipliers)
    quantize_rows(x, stride, rows, columns, levels->multipliers, levels, element, out, out_stride, scales, zero_points);
  else
    quantize_rows(x, stride, rows, columns, NULL, levels, element, out, out_stride, scales, zero_points);
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
