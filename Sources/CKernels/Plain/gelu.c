#include <math.h>

#include "plain.h"

static const double sqrt_half = 0.70710678118654752440;

// Phi(x) = erfc(-x / sqrt(2)) / 2 keeps its relative accuracy where 1 + erf(x / sqrt(2)) cancels.
static float gelu(float x) {
  if (x == -INFINITY) return 0;  // the limit; -inf * 0 would be NaN
  return (float)(0.5 * x * erfc(-x * sqrt_half));
}

void ckernels_plain_gelu(float *x, size_t stride, size_t rows, size_t columns, const float *bias) {
  for (size_t r = 0; r < rows; r++, x += stride)
    for (size_t i = 0; i < columns; i++) x[i] = gelu(bias ? x[i] + bias[i] : x[i]);
}
