// The operations for AVX2, FMA and F16C with AVX-VNNI: products of bytes.

#include "../variants.h"

#if CKERNELS_X86
#define AVX2_EXTENSIONS ",avxvnni"
#define AVX2_HAS_VNNI 1
#include "vector_avx2.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "bodies.h"

PRODUCT_KERNEL(multiply_floats, TILE_FLOAT)
PRODUCT_KERNEL(multiply_rounded, TILE_ROUNDED)
PRODUCT_KERNEL(multiply_bytes, TILE_BYTES)

const ckernels_operations ckernels_avx2vnni_operations = CKERNELS_VECTOR_OPERATIONS(FP32_PRODUCT(multiply_floats), ROUNDED_PRODUCT(multiply_rounded), BYTES_PRODUCT(multiply_bytes));
#endif
