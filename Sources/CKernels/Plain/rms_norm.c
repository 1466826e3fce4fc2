#include <math.h>

#include "plain.h"

void ckernels_plain_rms_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                             size_t columns, const float *gamma, float epsilon) {
  for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride) {
    double squares = 0;
    for (size_t i = 0; i < columns; i++) squares += (double)x[i] * x[i];
    const double scale = 1 / sqrt(squares / (double)columns + epsilon);
    for (size_t i = 0; i < columns; i++) out[i] = (float)(x[i] * scale * (gamma ? gamma[i] : 1));
  }
}
