// The operations for AVX-512 with VNNI, BF16 and AMX: products of bytes, and of bfloat16, in tiles.

#include "../variants.h"

#if CKERNELS_X86
#define AVX512_EXTENSIONS ",avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8"
#define AVX512_HAS_VNNI 1
#define AVX512_HAS_BF16 1
#include "vector_avx512.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "bodies.h"
#include "matrix_tiles.h"

PRODUCT_KERNEL(multiply_floats, TILE_FLOAT)
TARGET static void multiply_bfloat16(const ckernels_product *product) { multiply_tiles(TILE_BFLOAT16, product); }
TARGET static void multiply_bytes(const ckernels_product *product) { multiply_tiles(TILE_BYTES, product); }

const ckernels_operations ckernels_amx_operations = CKERNELS_VECTOR_OPERATIONS(FP32_PRODUCT(multiply_floats), BF16_PRODUCT(multiply_bfloat16), BYTES_PRODUCT(multiply_bytes));
#endif
