/// Body of `rms_norm` (see CKernels.h) in the words of vector.h.

#include "lanes.h"

INLINE float mean_of_squares(const float *x, size_t whole, size_t rest) {
  vfloat even = v_set(0), odd = v_set(0);  // two chains, as an addition takes several cycles
  size_t i = 0;
  for (; i + 2 * LANES <= whole; i += 2 * LANES) {
    const vfloat a = v_load(x + i), b = v_load(x + i + LANES);
    even = v_fma(a, a, even);
    odd = v_fma(b, b, odd);
  }
  if (i < whole) even = v_fma(v_load(x + i), v_load(x + i), even);
  if (rest) {
    const vfloat last = v_load_tail(x + whole, rest, 0);
    odd = v_fma(last, last, odd);
  }
  return v_sum(v_add(even, odd)) / (float)(whole + rest);
}

TARGET static void rms_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                            size_t columns, const float *gamma, float epsilon) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  for (size_t first = 0; first < rows; first += ROWS_TOGETHER) {
    const size_t count = rows_from(first, rows);
    const float *from = x + first * x_stride;
    float *to = out + first * out_stride;
    float scales[ROWS_TOGETHER];
    for (size_t r = 0; r < count; r++) scales[r] = 1 / sqrtf(mean_of_squares(from + r * x_stride, whole, rest) + epsilon);
    for (size_t r = 0; r < count; r++, from += x_stride, to += out_stride) {
      const vfloat scale = v_set(scales[r]);
      for (size_t i = 0; i < whole; i += LANES) {
        const vfloat v = v_mul(v_load(from + i), scale);
        v_store(to + i, gamma ? v_mul(v, v_load(gamma + i)) : v);
      }
      if (rest) {
        const vfloat v = v_mul(v_load_tail(from + whole, rest, 0), scale);
        v_store_tail(to + whole, gamma ? v_mul(v, v_load_tail(gamma + whole, rest, 0)) : v, rest);
      }
    }
  }
}
