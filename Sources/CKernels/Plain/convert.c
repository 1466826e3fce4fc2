#include <math.h>
#include <string.h>

#include "../halves.h"
#include "plain.h"

// Shifts the fraction of a subnormal half up until its leading one drops into the place of the implicit bit.
static uint32_t subnormal_bits(uint32_t sign, uint32_t fraction) {
  uint32_t exponent = 127 - 14;
  while (!(fraction & 0x400)) {
    fraction <<= 1;
    exponent--;
  }
  return sign | exponent << 23 | (fraction & 0x3ff) << 13;
}

static uint32_t float32_bits(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  const uint32_t quiet = 0x00400000;
  if (exponent == 0x1f) return sign | 0x7f800000 | fraction << 13 | (fraction ? quiet : 0);
  if (exponent != 0) return sign | (exponent + 127 - 15) << 23 | fraction << 13;
  return fraction ? subnormal_bits(sign, fraction) : sign;
}

// Bits travel through integers and memcpy: source may have any alignment, and no NaN passes a float register.

void ckernels_plain_float16_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, bytes + 2 * i, sizeof half);
    const uint32_t bits = float32_bits(half);
    memcpy(out + i, &bits, sizeof bits);
  }
}

void ckernels_plain_bfloat16_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  for (size_t i = 0; i < count; i++) {
    uint16_t upper;
    memcpy(&upper, bytes + 2 * i, sizeof upper);
    const uint32_t bits = (uint32_t)upper << 16;
    memcpy(out + i, &bits, sizeof bits);
  }
}

static uint16_t float16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  const uint32_t least_normal = 0x38800000, bias_difference = (127 - 15) << 23;  // 2^-14
  if (isnan(x)) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (fabsf(x) >= LEAST_INFINITE_FLOAT16) return (uint16_t)(sign | 0x7c00);
  if (magnitude < least_normal) return (uint16_t)(sign | (uint32_t)rintf(fabsf(x) * 0x1p24f));
  // A carry out of the fraction goes into the exponent, where it belongs.
  const uint32_t rounded = magnitude - bias_difference + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | rounded >> 13);
}

static uint16_t bfloat16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

bool ckernels_plain_float32_to_float16(const float *x, void *out, size_t count) {
  bool overflows = false;
  unsigned char *bytes = out;
  for (size_t i = 0; i < count; i++) {
    const uint16_t half = float16_bits(x[i]);
    memcpy(bytes + 2 * i, &half, sizeof half);
    overflows |= isfinite(x[i]) && fabsf(x[i]) >= LEAST_INFINITE_FLOAT16;
  }
  return !overflows;
}

bool ckernels_plain_float32_to_bfloat16(const float *x, void *out, size_t count) {
  bool overflows = false;
  unsigned char *bytes = out;
  for (size_t i = 0; i < count; i++) {
    const uint16_t half = bfloat16_bits(x[i]);
    memcpy(bytes + 2 * i, &half, sizeof half);
    overflows |= isfinite(x[i]) && fabsf(x[i]) >= LEAST_INFINITE_BFLOAT16;
  }
  return !overflows;
}
