// The tables of the training operations by variant.

#include "training.h"

const ckernels_training_operations *ckernels_training_operations_of(ckernels_variant variant) {
  if (!ckernels_operations_of(variant)) return NULL;
  switch (variant) {
#if CKERNELS_X86
    case CKERNELS_AVX2:
    case CKERNELS_AVX2_VNNI:
      return &ckernels_avx2_training_operations;
    case CKERNELS_AVX512:
    case CKERNELS_AVX512_VNNI:
    case CKERNELS_AVX512_BF16:
    case CKERNELS_AMX:
      return &ckernels_avx512_training_operations;
#endif
    case CKERNELS_PLAIN:
      return &ckernels_plain_training_operations;
    default:
      return NULL;
  }
}
