#include <math.h>

#include "plain.h"

bool ckernels_plain_all_finite(const float *x, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!isfinite(x[i])) return false;
  return true;
}
