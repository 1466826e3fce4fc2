// The plain twins of the training operations. See CKernelsTraining.h for shapes and meaning.

#include "../training.h"

#include <math.h>

static void layer_norm_backward(const float *x, size_t x_stride, const float *dy, size_t dy_stride, float *dx,
                                size_t dx_stride, size_t rows, size_t columns, const float *gamma,
                                float epsilon, bool accumulates, float *dgamma, float *dbeta) {
  const double count = (double)columns;
  for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride, dx += dx_stride) {
    double sum = 0, squares = 0, g_sum = 0, gh_sum = 0;
    for (size_t i = 0; i < columns; i++) sum += x[i];
    const double mean = sum / count;
    for (size_t i = 0; i < columns; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / sqrt(squares / count + epsilon);
    for (size_t i = 0; i < columns; i++) {
      const double g = (double)dy[i] * (gamma ? gamma[i] : 1);
      g_sum += g;
      gh_sum += g * (x[i] - mean) * scale;
    }
    for (size_t i = 0; i < columns; i++) {
      const double h = (x[i] - mean) * scale, g = (double)dy[i] * (gamma ? gamma[i] : 1);
      if (dgamma) dgamma[i] += (float)(dy[i] * h);
      if (dbeta) dbeta[i] += dy[i];
      const float d = (float)(scale * (g - g_sum / count - h * gh_sum / count));
      dx[i] = accumulates ? dx[i] + d : d;
    }
  }
}

static void rms_norm_backward(const float *x, size_t x_stride, const float *dy, size_t dy_stride, float *dx,
                              size_t dx_stride, size_t rows, size_t columns, const float *gamma,
                              float epsilon, bool accumulates, float *dgamma) {
  const double count = (double)columns;
  for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride, dx += dx_stride) {
    double squares = 0, gh_sum = 0;
    for (size_t i = 0; i < columns; i++) squares += (double)x[i] * x[i];
    const double scale = 1 / sqrt(squares / count + epsilon);
    for (size_t i = 0; i < columns; i++) gh_sum += (double)dy[i] * (gamma ? gamma[i] : 1) * x[i] * scale;
    for (size_t i = 0; i < columns; i++) {
      const double h = x[i] * scale, g = (double)dy[i] * (gamma ? gamma[i] : 1);
      if (dgamma) dgamma[i] += (float)(dy[i] * h);
      const float d = (float)(scale * (g - h * gh_sum / count));
      dx[i] = accumulates ? dx[i] + d : d;
    }
  }
}

// An activation is x s(v(x)) with s rising from 0 to 1: f' = s + x s'(v) v'. Each of these gives s, and s' v' through the pointer.

static double normal(double x, double *derivative) {
  *derivative = exp(-x * x / 2) * 0.39894228040143267794;
  return erfc(-x * 0.70710678118654752440) / 2;
}

static double sigmoid(double v, double v_derivative, double *derivative) {
  const double s = 1 / (1 + exp(-v));
  *derivative = isinf(v) ? 0 : s * (1 - s) * v_derivative;
  return s;
}

static double tanh_gate(double x, double *derivative) {
  static const double c = 2 * 0.79788456080286535588;
  return sigmoid(c * (x + 0.044715 * x * x * x), c * (1 + 3 * 0.044715 * x * x), derivative);
}

static double quick_gate(double x, double *derivative) { return sigmoid(1.702 * x, 1.702, derivative); }

static double silu_gate(double x, double *derivative) { return sigmoid(x, 1, derivative); }

static double relu_gate(double x, double *derivative) {
  *derivative = isnan(x) ? x : 0;
  return x > 0;
}

#define ACTIVATION_BACKWARD(name, gate)                                                                     \
  static void name(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns) {   \
    for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride)                                       \
      for (size_t i = 0; i < columns; i++) {                                                                \
        double derivative;                                                                                  \
        const double v = x[i], s = gate(v, &derivative);                                                    \
        /* At the infinities the products are limits, 0. */                                                 \
        dy[i] = (float)(dy[i] * (derivative == 0 ? s : s + v * derivative));                             \
        x[i] = s == 0 ? 0 : (float)(v * s);                                                                 \
      }                                                                                                     \
  }

ACTIVATION_BACKWARD(gelu_backward, normal)
ACTIVATION_BACKWARD(gelu_tanh_backward, tanh_gate)
ACTIVATION_BACKWARD(quick_gelu_backward, quick_gate)
ACTIVATION_BACKWARD(silu_backward, silu_gate)
ACTIVATION_BACKWARD(relu_backward, relu_gate)

static void softmax_backward(const float *p, size_t p_stride, float *dp, size_t dp_stride, size_t rows,
                             size_t columns, float scale) {
  for (size_t r = 0; r < rows; r++, p += p_stride, dp += dp_stride) {
    double sum = 0;
    for (size_t i = 0; i < columns; i++) sum += (double)p[i] * dp[i];
    for (size_t i = 0; i < columns; i++) dp[i] = (float)(scale * p[i] * (dp[i] - sum));
  }
}

static void add_column_sums(const float *x, size_t stride, size_t rows, size_t columns, float *sums) {
  for (size_t i = 0; i < columns; i++) {
    double sum = 0;
    for (size_t r = 0; r < rows; r++) sum += x[r * stride + i];
    sums[i] += (float)sum;
  }
}

static void add_column_products(const float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                                size_t columns, float scale, float *sums) {
  for (size_t i = 0; i < columns; i++) {
    double sum = 0;
    for (size_t r = 0; r < rows; r++) sum += (double)x[r * x_stride + i] * y[r * y_stride + i];
    sums[i] += (float)(scale * sum);
  }
}

static double sum_of_squares(const float *x, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
  return sum;
}

static void accumulate(float *x, const float *y, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] += y[i];
}

static void move_average(float *average, const float *x, size_t count, float share) {
  for (size_t i = 0; i < count; i++) average[i] += share * (x[i] - average[i]);
}

static void adamw(float *x, const float *gradient, float *m, float *v, size_t count,
                  ckernels_adamw_factors f) {
  for (size_t i = 0; i < count; i++) {
    const float g = f.gradient_scale * gradient[i];
    m[i] += f.rest1 * (g - m[i]);
    v[i] = f.beta2 * v[i] + f.rest2 * g * g;
    x[i] = f.decay * x[i] - f.step_size * m[i] / (sqrtf(v[i]) * f.inverse_root + f.epsilon);
  }
}

static void sgd(float *x, const float *gradient, float *v, size_t count, ckernels_sgd_factors f) {
  for (size_t i = 0; i < count; i++) {
    const float g = f.gradient_scale * gradient[i] + f.weight_decay * x[i];
    v[i] = f.momentum * v[i] + g;
    x[i] -= f.learning_rate * (f.nesterov ? g + f.momentum * v[i] : v[i]);
  }
}

const ckernels_training_operations ckernels_plain_training_operations = CKERNELS_TRAINING_OPERATIONS;
