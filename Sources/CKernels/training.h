/// The tables of the training operations, for training.c alone.

#ifndef CKERNELS_TRAINING_TABLES_H
#define CKERNELS_TRAINING_TABLES_H

#include "include/CKernelsTraining.h"
#include "variants.h"

extern const ckernels_training_operations ckernels_plain_training_operations;
#if CKERNELS_X86
extern const ckernels_training_operations ckernels_avx2_training_operations;
extern const ckernels_training_operations ckernels_avx512_training_operations;
#endif

/// The table of a translation unit that has all operations under these names.
#define CKERNELS_TRAINING_OPERATIONS                \
  {                                                 \
      .layer_norm_backward = layer_norm_backward,   \
      .rms_norm_backward = rms_norm_backward,       \
      .gelu_backward = gelu_backward,               \
      .gelu_tanh_backward = gelu_tanh_backward,     \
      .quick_gelu_backward = quick_gelu_backward,   \
      .silu_backward = silu_backward,               \
      .relu_backward = relu_backward,               \
      .softmax_backward = softmax_backward,         \
      .add_column_sums = add_column_sums,           \
      .add_column_products = add_column_products,   \
      .sum_of_squares = sum_of_squares,             \
      .accumulate = accumulate,                     \
      .move_average = move_average,                 \
      .adamw = adamw,                               \
      .sgd = sgd,                                   \
  }

#endif
