// Operations that wait for memory rather than for arithmetic.

#include <string.h>

#include "include/CKernels.h"

void ckernels_float64_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, bytes + sizeof value * i, sizeof value);
    out[i] = (float)value;
  }
}
