// The operations for AVX-512 with VNNI and BF16: products of bytes, and of bfloat16.

#include "../variants.h"

#if CKERNELS_X86
#define AVX512_EXTENSIONS ",avx512vnni,avx512bf16"
#define AVX512_HAS_VNNI 1
#define AVX512_HAS_BF16 1
#include "vector_avx512.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "bodies.h"

PRODUCT_KERNEL(multiply_floats, TILE_FLOAT)
PRODUCT_KERNEL(multiply_bfloat16, TILE_BFLOAT16)
PRODUCT_KERNEL(multiply_bytes, TILE_BYTES)

const ckernels_operations ckernels_avx512bf16_operations = CKERNELS_VECTOR_OPERATIONS(FP32_PRODUCT(multiply_floats), BF16_PRODUCT(multiply_bfloat16), BYTES_PRODUCT(multiply_bytes));
#endif
