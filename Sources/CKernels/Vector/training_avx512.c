// The training operations for AVX-512: F, BW, DQ and VL.

#include "../training.h"

#if CKERNELS_X86
#include "vector_avx512.h"

// The order matters: the bodies are written in the words of the vector header above.
#include "activation_backward.h"
#include "norm_backward.h"
#include "optimizers.h"
#include "reductions.h"
#include "softmax_backward.h"

const ckernels_training_operations ckernels_avx512_training_operations = CKERNELS_TRAINING_OPERATIONS;
#endif
