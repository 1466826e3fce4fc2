#include <math.h>

#include "plain.h"

void ckernels_plain_layer_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                               size_t columns, const float *gamma, const float *beta, float epsilon) {
  for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride) {
    double sum = 0;
    for (size_t i = 0; i < columns; i++) sum += x[i];
    const double mean = sum / (double)columns;
    double squares = 0;
    for (size_t i = 0; i < columns; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / sqrt(squares / (double)columns + epsilon);
    for (size_t i = 0; i < columns; i++) {
      const double normalized = (x[i] - mean) * scale;
      out[i] = (float)(normalized * (gamma ? gamma[i] : 1) + (beta ? beta[i] : 0));
    }
  }
}
