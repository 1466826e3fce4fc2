#include <math.h>

#include "plain.h"

// Where a factor is 0 at x = -inf, the result is its limit, 0: the product would be NaN.

static const double sqrt_half = 0.70710678118654752440;
static const double sqrt_2_over_pi = 0.79788456080286535588;

// Phi(x) = erfc(-x / sqrt(2)) / 2 keeps its relative accuracy where 1 + erf(x / sqrt(2)) cancels.
static float gelu(float x) { return x == -INFINITY ? 0 : (float)(0.5 * x * erfc(-x * sqrt_half)); }

static double times_sigmoid(double x, double v) { return x == -INFINITY ? 0 : x / (1 + exp(-v)); }

// (1 + tanh(u)) / 2 = sigmoid(2 u), which does not cancel.
static float gelu_tanh(float x) {
  const double cube = (double)x * x * x;
  return (float)times_sigmoid(x, 2 * sqrt_2_over_pi * (x + 0.044715 * cube));
}

static float quick_gelu(float x) { return (float)times_sigmoid(x, 1.702 * x); }

static float silu(float x) { return (float)times_sigmoid(x, x); }

static float relu(float x) { return x < 0 ? 0 : x; }

static float hyperbolic_tangent(float x) { return (float)tanh(x); }

#define ACTIVATION_ROWS(name)                                                                               \
  void ckernels_plain_##name(float *x, size_t stride, size_t rows, size_t columns, const float *bias) {     \
    for (size_t r = 0; r < rows; r++, x += stride)                                                          \
      for (size_t i = 0; i < columns; i++) x[i] = name(bias ? x[i] + bias[i] : x[i]);                       \
  }

ACTIVATION_ROWS(gelu)
ACTIVATION_ROWS(gelu_tanh)
ACTIVATION_ROWS(quick_gelu)
ACTIVATION_ROWS(silu)
ACTIVATION_ROWS(relu)
ACTIVATION_ROWS(hyperbolic_tangent)
