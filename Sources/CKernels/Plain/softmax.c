#include <math.h>

#include "plain.h"

void ckernels_plain_softmax(float *x, size_t stride, size_t rows, size_t columns, float scale) {
  for (size_t r = 0; r < rows; r++, x += stride) {
    float maximum = -INFINITY;
    for (size_t i = 0; i < columns; i++)
      if (x[i] > maximum) maximum = x[i];  // passes over NaN, which exp brings back below
    double sum = 0;
    for (size_t i = 0; i < columns; i++) {
      // Subtracting before scaling: scale * x could overflow, the difference at worst becomes -inf.
      x[i] = expf((x[i] - maximum) * scale);
      sum += x[i];
    }
    for (size_t i = 0; i < columns; i++) x[i] = (float)(x[i] / sum);
  }
}
