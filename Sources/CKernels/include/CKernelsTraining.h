/// Inner loops of the backward pass and of the optimisers. Letters, strides and aliasing as in CKernels.h.

#ifndef CKERNELS_TRAINING_H
#define CKERNELS_TRAINING_H

#include "CKernels.h"

#ifdef __clang__
#pragma clang assume_nonnull begin
#endif

/// What one step of AdamW multiplies with; see `adamw`.
typedef struct {
  float gradient_scale;   ///< of the gradients, before all else: clipping, and the mean over accumulated batches
  float decay;            ///< 1 - learning rate * weight decay
  float beta2;            ///< what stays of the second moment
  float rest1, rest2;     ///< 1 - beta1 and 1 - beta2, which float32 would spoil in a subtraction
  float step_size;        ///< learning rate / (1 - beta1^t)
  float inverse_root;     ///< 1 / sqrt(1 - beta2^t)
  float epsilon;
} ckernels_adamw_factors;

/// What one step of SGD multiplies with; see `sgd`.
typedef struct {
  float gradient_scale;
  float weight_decay;
  float momentum;
  float learning_rate;
  bool nesterov;
} ckernels_sgd_factors;

/// The training operations of one variant.
typedef struct {
  /// Backward of `layer_norm`. With g = dy * gamma and h the normalised row, dx = (g - mean(g) - h mean(g h)) / sqrt(variance +
  /// epsilon), added to dx where `accumulates`; dgamma[:] += sum over r of dy h; dbeta[:] += sum over r of dy. x, dy, dx [R, D]; gamma,
  /// dgamma, dbeta [D] or NULL. dx may be dy.
  void (*layer_norm_backward)(const float *x, size_t x_stride, const float *dy, size_t dy_stride, float *dx, size_t dx_stride,
                              size_t rows, size_t columns, const float *_Nullable gamma, float epsilon, bool accumulates,
                              float *_Nullable dgamma, float *_Nullable dbeta);

  /// Backward of `rms_norm`: the same without the means of x and g.
  void (*rms_norm_backward)(const float *x, size_t x_stride, const float *dy, size_t dy_stride, float *dx, size_t dx_stride,
                            size_t rows, size_t columns, const float *_Nullable gamma, float epsilon, bool accumulates,
                            float *_Nullable dgamma);

  // Backward of activations f: dy = dy * f'(x), x = f(x), both in place. x, dy [R, D].
  void (*gelu_backward)(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns);
  void (*gelu_tanh_backward)(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns);
  void (*quick_gelu_backward)(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns);
  void (*silu_backward)(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns);
  void (*relu_backward)(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows, size_t columns);

  /// Backward of `softmax`: dp[r, :] = scale * p (dp - sum of p dp), in place. p (the softmax's output), dp [R, D].
  void (*softmax_backward)(const float *p, size_t p_stride, float *dp, size_t dp_stride, size_t rows, size_t columns,
                           float scale);

  /// sums[:] += sum over r of x[r, :]. x [R, D]; sums [D].
  void (*add_column_sums)(const float *x, size_t stride, size_t rows, size_t columns, float *sums);

  /// sums[:] += scale * sum over r of x[r, :] y[r, :]. x, y [R, D]; sums [D].
  void (*add_column_products)(const float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns,
                              float scale, float *sums);

  /// The sum of squares: of up to 1024 in float32, of these sums in double precision. A number above 1.8e19 makes it infinite.
  double (*sum_of_squares)(const float *x, size_t count);

  /// x += y
  void (*accumulate)(float *x, const float *y, size_t count);

  /// average += share (x - average)
  void (*move_average)(float *average, const float *x, size_t count, float share);

  /// One step of AdamW (Loshchilov, Hutter, arXiv:1711.05101), in the order of PyTorch's `torch.optim.AdamW`: x *= decay; m += rest1 (g -
  /// m); v = beta2 v + rest2 g^2; x -= step_size m / (sqrt(v) inverse_root + epsilon), with g = gradient_scale *
  /// gradient.
  void (*adamw)(float *x, const float *gradient, float *m, float *v, size_t count, ckernels_adamw_factors factors);

  /// One step of SGD with momentum, as PyTorch's `torch.optim.SGD`: g = gradient_scale * gradient + weight_decay x; v = momentum v + g;
  /// x -= learning_rate (v, or g + momentum v with Nesterov's).
  void (*sgd)(float *x, const float *gradient, float *v, size_t count, ckernels_sgd_factors factors);
} ckernels_training_operations;

/// The training operations of a variant, or NULL where the build, the processor or the operating system lacks it.
const ckernels_training_operations *_Nullable ckernels_training_operations_of(ckernels_variant variant);

#ifdef __clang__
#pragma clang assume_nonnull end
#endif

#endif
