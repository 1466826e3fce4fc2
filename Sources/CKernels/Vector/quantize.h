/// Bodies of `quantize`, `quantize_weights` and `round_to_bfloat16` (see CKernels.h) in the words of vector.h.

#include "../quantization.h"

TARGET static void quantize(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element,
                            void *out, size_t out_stride, float *scales, int32_t *zero_points) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  char *target = out;
  for (size_t r = 0; r < rows; r++, x += stride, target += out_stride) {
    // Zero times a NaN or an infinity is NaN, and stays it in a sum.
    vfloat low = v_set(0), high = v_set(0), zeros = v_set(0);
    for (size_t i = 0; i < whole; i += LANES) {
      const vfloat v = v_load(x + i);
      low = v_min(low, v);
      high = v_max(high, v);
      zeros = v_fma(v, v_set(0), zeros);
    }
    if (rest) {
      const vfloat v = v_load_tail(x + whole, rest, 0);
      low = v_min(low, v);
      high = v_max(high, v);
      zeros = v_fma(v, v_set(0), zeros);
    }
    const float least = -v_largest(v_sub(v_set(0), low));
    const quantization q = quantization_of(least, v_largest(high), isnan(v_sum(zeros)));
    scales[r] = q.scale;
    zero_points[r] = q.zero_point;
    const vfloat inverse = v_set(q.inverse), zero = v_set((float)q.zero_point);
    const vfloat least_level = v_set(0), largest_level = v_set(255);
    uint8_t *bytes = (uint8_t *)target;
    uint16_t *words = (uint16_t *)target;
    for (size_t i = 0; i < columns; i += LANES) {
      const size_t n = columns - i < LANES ? columns - i : LANES;
      const vfloat v = n == LANES ? v_load(x + i) : v_load_tail(x + i, n, 0);
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
