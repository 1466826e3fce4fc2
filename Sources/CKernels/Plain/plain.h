/// The plain twins: readable C that defines what each operation computes. See CKernels.h for shapes and
/// meaning.

#ifndef CKERNELS_PLAIN_H
#define CKERNELS_PLAIN_H

#include "../include/CKernels.h"

void ckernels_plain_layer_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                               size_t columns, const float *gamma, const float *beta, float epsilon);
void ckernels_plain_rms_norm(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                             size_t columns, const float *gamma, float epsilon);
void ckernels_plain_gelu(float *x, size_t stride, size_t rows, size_t columns, const float *bias);
void ckernels_plain_gelu_tanh(float *x, size_t stride, size_t rows, size_t columns, const float *bias);
void ckernels_plain_quick_gelu(float *x, size_t stride, size_t rows, size_t columns, const float *bias);
void ckernels_plain_silu(float *x, size_t stride, size_t rows, size_t columns, const float *bias);
void ckernels_plain_relu(float *x, size_t stride, size_t rows, size_t columns, const float *bias);
void ckernels_plain_hyperbolic_tangent(float *x, size_t stride, size_t rows, size_t columns,
                                       const float *bias);
void ckernels_plain_softmax(float *x, size_t stride, size_t rows, size_t columns, float scale);
void ckernels_plain_add_residual(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                                 size_t columns, const float *gamma, const float *bias);
void ckernels_plain_multiply(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                             size_t columns);
void ckernels_plain_maximum(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                            size_t columns);
void ckernels_plain_column_moments(const float *x, size_t stride, size_t rows, size_t columns,
                                   const float *center, double *sums, double *squares);
void ckernels_plain_normalize_columns(const float *x, size_t x_stride, float *out, size_t out_stride,
                                      size_t rows, size_t columns, const float *center, const float *scale,
                                      const float *shift);
void ckernels_plain_float16_to_float32(const void *source, float *out, size_t count);
void ckernels_plain_bfloat16_to_float32(const void *source, float *out, size_t count);
bool ckernels_plain_float32_to_float16(const float *x, void *out, size_t count);
bool ckernels_plain_float32_to_bfloat16(const float *x, void *out, size_t count);
bool ckernels_plain_all_finite(const float *x, size_t count);

/// Outputs of a panel.
enum { CKERNELS_PLAIN_PANEL = 8 };

void ckernels_plain_multiply_floats(const ckernels_product *product);
void ckernels_plain_multiply_rounded(const ckernels_product *product);
void ckernels_plain_multiply_bytes(const ckernels_product *product);
void ckernels_plain_pack_words(const void *w, size_t stride, size_t outputs, size_t count, void *panel);
void ckernels_plain_quantize(const float *x, size_t stride, size_t rows, size_t columns, const ckernels_levels *levels,
                             ckernels_element element, void *out, size_t out_stride, float *scales,
                             int32_t *zero_points);
void ckernels_plain_quantize_weights(const float *w, size_t stride, size_t outputs, size_t inner, int8_t *out,
                                     size_t out_stride, float *scales);
void ckernels_plain_transpose(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element, void *out,
                              size_t out_stride);
void ckernels_plain_round_to_bfloat16(const float *x, size_t stride, size_t rows, size_t columns,
                                      ckernels_element element, void *out, size_t out_stride);
void ckernels_plain_exponentials(float *x, size_t stride, size_t rows, size_t columns, float scale,
                                 ckernels_element element, float *reciprocals);

#endif
