#include "plain.h"

#include "../variants.h"

#define PLAIN_LAYOUT(elements, bytes)                                                                    \
  {                                                                                                      \
      .width = CKERNELS_PLAIN_PANEL,                                                                     \
      .group = elements,                                                                                 \
      .element_bytes = bytes,                                                                            \
      .pack_words = ckernels_plain_pack_words,                                                           \
      .round_to_bfloat16 = ckernels_plain_round_to_bfloat16,                                             \
  }

const ckernels_operations ckernels_plain_operations = {
    .layer_norm = ckernels_plain_layer_norm,
    .rms_norm = ckernels_plain_rms_norm,
    .gelu = ckernels_plain_gelu,
    .gelu_tanh = ckernels_plain_gelu_tanh,
    .quick_gelu = ckernels_plain_quick_gelu,
    .silu = ckernels_plain_silu,
    .relu = ckernels_plain_relu,
    .hyperbolic_tangent = ckernels_plain_hyperbolic_tangent,
    .softmax = ckernels_plain_softmax,
    .add_residual = ckernels_plain_add_residual,
    .multiply = ckernels_plain_multiply,
    .maximum = ckernels_plain_maximum,
    .column_moments = ckernels_plain_column_moments,
    .normalize_columns = ckernels_plain_normalize_columns,
    .float16_to_float32 = ckernels_plain_float16_to_float32,
    .bfloat16_to_float32 = ckernels_plain_bfloat16_to_float32,
    .float32_to_float16 = ckernels_plain_float32_to_float16,
    .float32_to_bfloat16 = ckernels_plain_float32_to_bfloat16,
    .all_finite = ckernels_plain_all_finite,
    .quantize = ckernels_plain_quantize,
    .quantize_weights = ckernels_plain_quantize_weights,
    .round_to_bfloat16 = ckernels_plain_round_to_bfloat16,
    .transpose = ckernels_plain_transpose,
    .exponentials = ckernels_plain_exponentials,
    .products =
        {
            {.element = CKERNELS_FLOAT32,
             .layout = PLAIN_LAYOUT(1, 4),
             .multiply = ckernels_plain_multiply_floats},
            {.element = CKERNELS_ROUNDED_FLOAT32,
             .layout = PLAIN_LAYOUT(1, 2),
             .multiply = ckernels_plain_multiply_rounded},
            {.element = CKERNELS_UINT8,
             .layout = PLAIN_LAYOUT(4, 1),
             .multiply = ckernels_plain_multiply_bytes},
        },
};
