#include "plain.h"

#include "../variants.h"

const ckernels_operations ckernels_plain_operations = {
    .layer_norm = ckernels_plain_layer_norm,
    .gelu = ckernels_plain_gelu,
    .softmax = ckernels_plain_softmax,
    .add_bias = ckernels_plain_add_bias,
    .add_residual = ckernels_plain_add_residual,
    .float16_to_float32 = ckernels_plain_float16_to_float32,
    .bfloat16_to_float32 = ckernels_plain_bfloat16_to_float32,
    .all_finite = ckernels_plain_all_finite,
};
