/// Body of `layer_norm` (see CKernels.h) in the words of vector.h.

#include "lanes.h"

INLINE float row_mean(const float *x, size_t whole, size_t rest) {
  vfloat even = v_set(0), odd = v_set(0);  // two chains, as an addition takes several cycles
  size_t i = 0;
  for (; i + 2 * LANES <= whole; i += 2 * LANES) {
    even = v_add(even, v_load(x + i));
    odd = v_add(odd, v_load(x + i + LANES));
  }
  if (i < whole) even = v_add(even, v_load(x + i));
  if (rest) odd = v_add(odd, v_load_tail(x + whole, rest, 0));
  return v_sum(v_add(even, odd)) / (float)(whole + rest);
}

/// Sums of differences, and of their squares.
typedef struct {
  vfloat sum, squares;
} deviations;

INLINE void deviate(deviations *sums, vfloat difference) {
  sums->sum = v_add(sums->sum, difference);
  sums->squares = v_fma(difference, difference, sums->squares);
}

/// (x - mean - correction) * scale * gamma + beta, in as few roundings as it takes; NULL for a gamma of 1, a beta of 0.
INLINE vfloat normalized(vfloat x, vfloat mean, vfloat correction, vfloat scale, const vfloat *gamma,
                         const vfloat *beta) {
  const vfloat difference = v_sub(v_sub(x, mean), correction);
  const vfloat factor = gamma ? v_mul(scale, *gamma) : scale;
  return beta ? v_fma(difference, factor, *beta) : v_mul(difference, factor);
}

/// What a row is shifted and scaled by after its mean was subtracted.
typedef struct {
  float correction, scale;
} row_moments;

/// Second pass: the variance about the rounded mean, and how far that mean is off (the corrected two-pass algorithm of Chan, Golub,
/// LeVeque, "Algorithms for computing the sample variance", 1983, eq. 1.7).
INLINE row_moments moments_about(const float *x, size_t whole, size_t rest, vfloat mean, float epsilon) {
  deviations even = {v_set(0), v_set(0)}, odd = even;
  size_t i = 0;
  for (; i + 2 * LANES <= whole; i += 2 * LANES) {
    deviate(&even, v_sub(v_load(x + i), mean));
    deviate(&odd, v_sub(v_load(x + i + LANES), mean));
  }
  if (i < whole) deviate(&even, v_sub(v_load(x + i), mean));
  if (rest) deviate(&odd, v_keep(v_sub(v_load_tail(x + whole, rest, 0), mean), rest));
  const float count = (float)(whole + rest);
  const float off = v_sum(v_add(even.sum, odd.sum)) / count;
  const float variance = v_sum(v_add(even.squares, odd.squares)) / count - off * off;
  return (row_moments){off, 1 / sqrtf(fmaxf(variance, 0) + epsilon)};
}

INLINE void normalize_row(const float *x, float *out, size_t whole, size_t rest, vfloat mean, row_moments moments,
                          const float *gamma, const float *beta) {
  const vfloat correction = v_set(moments.correction), scale = v_set(moments.scale);
  for (size_t i = 0; i < whole; i += LANES) {
    const vfloat g = gamma ? v_load(gamma + i) : scale, b = beta ? v_load(beta + i) : scale;
    v_store(out + i, normalized(v_load(x + i), mean, correction, scale, gamma ? &g : NULL, beta ? &b : NULL));
  }
  if (rest) {
    const vfloat g = gamma ? v_load_tail(gamma + whole, rest, 0) : scale;
    const vfloat b = beta ? v_load_tail(beta + whole, rest, 0) : scale;
    const vfloat v = normalized(v_load_tail(x + whole, rest, 0), mean, correction, scale, gamma ? &g : NULL,
                                beta ? &b : NULL);
    v_store_tail(out + whole, v, rest);
  }
}

TARGET static void layer_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                              size_t columns, const float *gamma, const float *beta, float epsilon) {
  const size_t rest = columns % LANES, whole = columns - rest;
  for (size_t first = 0; first < rows; first += ROWS_TOGETHER) {
    const size_t count = rows_from(first, rows);
    const float *from = x + first * x_stride;
    float *to = out + first * out_stride;
    float means[ROWS_TOGETHER];
    row_moments moments[ROWS_TOGETHER];
    for (size_t r = 0; r < count; r++) means[r] = row_mean(from + r * x_stride, whole, rest);
    for (size_t r = 0; r < count; r++) moments[r] = moments_about(from + r * x_stride, whole, rest, v_set(means[r]), epsilon);
    for (size_t r = 0; r < count; r++)
      normalize_row(from + r * x_stride, to + r * out_stride, whole, rest, v_set(means[r]), moments[r], gamma, beta);
  }
}
