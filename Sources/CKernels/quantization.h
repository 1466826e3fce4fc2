/// Scales and zero points of 8-bit numbers.

#ifndef CKERNELS_QUANTIZATION_H
#define CKERNELS_QUANTIZATION_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  float scale;         // what a unit is worth
  float inverse;       // 1 / scale, or 0
  int32_t zero_point;  // the level, 0...255, that stands for 0
} quantization;

/// Levels 0...255 for the range from `least` <= 0 to `largest` >= 0, so that 0 is exact. A row with a NaN or an
/// infinity gets a scale of NaN, so that no result hides it.
static inline quantization quantization_of(float least, float largest, bool has_nonfinite) {
  if (has_nonfinite) return (quantization){.scale = NAN, .inverse = 0, .zero_point = 0};
  const float scale = largest / 255 - least / 255;  // a difference of the whole could overflow
  // Smaller than that, its inverse is no float: the row is 0 beside any bias.
  if (!(scale > 0x1p-120f)) return (quantization){.scale = 0, .inverse = 0, .zero_point = 0};
  const float inverse = 1 / scale;
  return (quantization){.scale = scale, .inverse = inverse, .zero_point = (int32_t)rintf(-least * inverse)};
}

/// Levels at a scale above 0 that is known beforehand.
static inline quantization fixed_quantization(float scale, int32_t zero_point, bool has_nonfinite) {
  if (has_nonfinite) return (quantization){.scale = NAN, .inverse = 0, .zero_point = 0};
  return (quantization){.scale = scale, .inverse = 1 / scale, .zero_point = zero_point};
}

/// What a unit of 8-bit weights is worth, where `largest` is the largest magnitude of their row.
static inline float weight_scale(float largest) {
  const float scale = largest / 127;
  return scale > 0 ? scale : 1;
}

#endif
