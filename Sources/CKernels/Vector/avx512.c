// The operations for AVX-512F.

#include "../variants.h"

#if CKERNELS_X86
#include "vector_avx512.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "columns.h"
#include "convert.h"
#include "finite.h"
#include "gelu.h"
#include "layer_norm.h"
#include "relu.h"
#include "rms_norm.h"
#include "rows.h"
#include "sigmoid.h"
#include "softmax.h"

const ckernels_operations ckernels_avx512_operations = CKERNELS_VECTOR_OPERATIONS;
#endif
