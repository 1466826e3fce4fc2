/// Bodies of `layer_norm_backward` and `rms_norm_backward` (see CKernelsTraining.h) in the words of vector.h.

#include "lanes.h"

/// One row of either norm: `mean` is 0 and `centered` false in an RMS norm.
INLINE void norm_backward_row(const float *x, const float *dy, float *dx, size_t columns, const float *gamma,
                              float mean, float scale, bool centered, bool accumulates, float *dgamma,
                              float *dbeta) {
  const vfloat center = v_set(mean), factor = v_set(scale);
  vfloat g_sum = v_set(0), gh_sum = v_set(0);
  for (size_t i = 0; i < columns; i += LANES) {
    const size_t rest = columns - i;
    const vfloat d = load_lanes(dy + i, rest);
    const vfloat g = gamma ? v_mul(d, load_lanes(gamma + i, rest)) : d;
    const vfloat h = v_mul(v_sub(load_lanes(x + i, rest), center), factor);
    g_sum = v_add(g_sum, g);
    gh_sum = v_fma(g, h, gh_sum);
    if (dgamma) store_lanes(dgamma + i, v_fma(d, h, load_lanes(dgamma + i, rest)), rest);
    if (dbeta) store_lanes(dbeta + i, v_add(d, load_lanes(dbeta + i, rest)), rest);
  }
  const vfloat g_mean = v_set(centered ? v_sum(g_sum) / (float)columns : 0);
  const vfloat gh_mean = v_set(v_sum(gh_sum) / (float)columns);
  for (size_t i = 0; i < columns; i += LANES) {
    const size_t rest = columns - i;
    const vfloat d = load_lanes(dy + i, rest);
    const vfloat g = gamma ? v_mul(d, load_lanes(gamma + i, rest)) : d;
    const vfloat h = v_mul(v_sub(load_lanes(x + i, rest), center), factor);
    const vfloat inner = v_fnma(h, gh_mean, v_sub(g, g_mean));
    const vfloat sum = accumulates ? v_fma(inner, factor, load_lanes(dx + i, rest)) : v_mul(inner, factor);
    store_lanes(dx + i, sum, rest);
  }
}

TARGET static void layer_norm_backward(const float *x, size_t x_stride, const float *dy, size_t dy_stride,
                                       float *dx, size_t dx_stride, size_t rows, size_t columns,
                                       const float *gamma, float epsilon, bool accumulates, float *dgamma,
                                       float *dbeta) {
  const float count = (float)columns;
  const size_t last = columns % LANES;
  for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride, dx += dx_stride) {
    vfloat sum = v_set(0);
    for (size_t i = 0; i < columns; i += LANES) sum = v_add(sum, load_lanes(x + i, columns - i));
    const float rounded = v_sum(sum) / count;
    // As in layer_norm.h: the variance about the rounded mean, and how far that mean is off.
    vfloat differences = v_set(0), squares = v_set(0);
    for (size_t i = 0; i < columns; i += LANES) {
      vfloat d = v_sub(load_lanes(x + i, columns - i), v_set(rounded));
      if (last && columns - i < LANES) d = v_keep(d, last);
      differences = v_add(differences, d);
      squares = v_fma(d, d, squares);
    }
    const float off = v_sum(differences) / count;
    const float variance = fmaxf(v_sum(squares) / count - off * off, 0);
    norm_backward_row(x, dy, dx, columns, gamma, rounded + off, 1 / sqrtf(variance + epsilon), true, accumulates,
                      dgamma, dbeta);
  }
}

TARGET static void rms_norm_backward(const float *x, size_t x_stride, const float *dy, size_t dy_stride,
                                     float *dx, size_t dx_stride, size_t rows, size_t columns,
                                     const float *gamma, float epsilon, bool accumulates, float *dgamma) {
  for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride, dx += dx_stride) {
    vfloat squares = v_set(0);
    for (size_t i = 0; i < columns; i += LANES) {
      const vfloat v = load_lanes(x + i, columns - i);
      squares = v_fma(v, v, squares);
    }
    const float scale = 1 / sqrtf(v_sum(squares) / (float)columns + epsilon);
    norm_backward_row(x, dy, dx, columns, gamma, 0, scale, false, accumulates, dgamma, NULL);
  }
}
