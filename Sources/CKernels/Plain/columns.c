#include "plain.h"

void ckernels_plain_column_moments(const float *x, size_t stride, size_t rows, size_t columns,
                                   const float *center, double *sums, double *squares) {
  for (size_t r = 0; r < rows; r++, x += stride)
    for (size_t i = 0; i < columns; i++) {
      const double d = (double)x[i] - center[i];
      sums[i] += d;
      squares[i] += d * d;
    }
}

void ckernels_plain_normalize_columns(const float *x, size_t x_stride, float *out, size_t out_stride,
                                      size_t rows, size_t columns, const float *center, const float *scale,
                                      const float *shift) {
  for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride)
    for (size_t i = 0; i < columns; i++) out[i] = (x[i] - center[i]) * scale[i] + shift[i];
}
