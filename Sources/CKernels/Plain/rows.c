#include <math.h>

#include "plain.h"

void ckernels_plain_add_residual(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                                 size_t columns, const float *gamma, const float *bias) {
  for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride)
    for (size_t i = 0; i < columns; i++) {
      const float value = bias ? y[i] + bias[i] : y[i];
      x[i] += gamma ? gamma[i] * value : value;
    }
}

void ckernels_plain_multiply(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                             size_t columns) {
  for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride)
    for (size_t i = 0; i < columns; i++) x[i] *= y[i];
}

void ckernels_plain_maximum(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                            size_t columns) {
  for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride)
    for (size_t i = 0; i < columns; i++)
      if (y[i] > x[i] || isnan(y[i])) x[i] = y[i];
}
