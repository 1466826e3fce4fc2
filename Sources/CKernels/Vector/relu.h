/// Body of `relu` (see CKernels.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_RELU_H
#define CKERNELS_VECTOR_RELU_H

#include "activation_rows.h"

INLINE vfloat relu_lanes(vfloat x) { return v_max(v_set(0), x); }

ACTIVATION_ROWS(relu)

#endif
