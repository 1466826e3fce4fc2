// The operations for AVX-512 F, BW, DQ and VL.

#include "../variants.h"

#if CKERNELS_X86
#include "vector_avx512.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "bodies.h"

PRODUCT_KERNEL(multiply_floats, TILE_FLOAT)
PRODUCT_KERNEL(multiply_rounded, TILE_ROUNDED)
PRODUCT_KERNEL(multiply_words, TILE_WORDS)

const ckernels_operations ckernels_avx512_operations = CKERNELS_VECTOR_OPERATIONS(FP32_PRODUCT(multiply_floats), ROUNDED_PRODUCT(multiply_rounded), WORDS_PRODUCT(multiply_words));
#endif
