#include "plain.h"

#include <math.h>
#include <string.h>

#include "../quantization.h"

// Panels as they are packed for any variant, here 8 outputs wide; products one output vector of a row at a time.

static float activated(ckernels_activation activation, float x) {
  switch (activation) {
    case CKERNELS_GELU: ckernels_plain_gelu(&x, 1, 1, 1, NULL); break;
    case CKERNELS_GELU_TANH: ckernels_plain_gelu_tanh(&x, 1, 1, 1, NULL); break;
    case CKERNELS_QUICK_GELU: ckernels_plain_quick_gelu(&x, 1, 1, 1, NULL); break;
    case CKERNELS_SILU: ckernels_plain_silu(&x, 1, 1, 1, NULL); break;
    case CKERNELS_RELU: ckernels_plain_relu(&x, 1, 1, 1, NULL); break;
    case CKERNELS_TANH: ckernels_plain_hyperbolic_tangent(&x, 1, 1, 1, NULL); break;
    case CKERNELS_IDENTITY: break;
  }
  return x;
}

static void finish(const ckernels_product *p, size_t row, size_t o, float y) {
  if (p->bias) y += p->bias[o];
  y = activated(p->activation, y);
  if (p->gamma) y *= p->gamma[o];
  const size_t place = row * p->out_stride + o;
  switch (p->store) {
    case CKERNELS_STORE_FLOAT32: ((float *)p->out)[place] = y; break;
    case CKERNELS_ADD_FLOAT32: ((float *)p->out)[place] += y; break;
    case CKERNELS_STORE_BFLOAT16: ckernels_plain_float32_to_bfloat16(&y, (uint16_t *)p->out + place, 1); break;
  }
}

enum { WIDTH = CKERNELS_PLAIN_PANEL };

// As in the vector variants, long sums are made of shorter ones.
enum { CHUNK = 256 };

#define MULTIPLY_FLOATS(name, element, widened)                                            \
  void name(const ckernels_product *p) {                                                   \
    for (size_t row = 0; row < p->rows; row++) {                                           \
      const float *x = (const float *)((const char *)p->x + row * p->x_stride);            \
      for (size_t o = 0; o < p->outputs; o += WIDTH) {                                     \
        const element *w = (const element *)p->panels + o * p->inner;                      \
        float sums[WIDTH] = {0};                                                           \
        for (size_t start = 0; start < p->inner; start += CHUNK) {                         \
          const size_t end = p->inner - start < CHUNK ? p->inner : start + CHUNK;          \
          float part[WIDTH] = {0};                                                         \
          for (size_t k = start; k < end; k++)                                             \
            for (size_t i = 0; i < WIDTH; i++) part[i] += x[k] * widened(w[k * WIDTH + i]); \
          for (size_t i = 0; i < WIDTH; i++) sums[i] += part[i];                           \
        }                                                                                  \
        const float factor = p->factors ? p->factors[row] : 1;                             \
        for (size_t i = 0; i < WIDTH && o + i < p->outputs; i++)                           \
          finish(p, row, o + i, factor * sums[i]);                                         \
      }                                                                                    \
    }                                                                                      \
  }

static inline float from_bfloat16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

#define AS_IS(x) (x)

MULTIPLY_FLOATS(ckernels_plain_multiply_floats, float, AS_IS)
MULTIPLY_FLOATS(ckernels_plain_multiply_rounded, uint16_t, from_bfloat16)

void ckernels_plain_multiply_bytes(const ckernels_product *p) {
  const size_t groups = (p->inner + 3) / 4;
  for (size_t row = 0; row < p->rows; row++) {
    const uint8_t *x = (const uint8_t *)p->x + row * p->x_stride;
    const int32_t zero_point = p->zero_points[row] & 255;  // the lower half
    for (size_t o = 0; o < p->outputs; o += WIDTH) {
      const int8_t *w = (const int8_t *)p->panels + o * groups * 4;
      int32_t sums[WIDTH] = {0};
      for (size_t k = 0; k < 4 * groups; k += 4)
        for (size_t i = 0; i < WIDTH; i++)
          for (size_t j = 0; j < 4; j++) sums[i] += x[k + j] * w[k * WIDTH + 4 * i + j];
      for (size_t i = 0; i < WIDTH && o + i < p->outputs; i++) {
        const int32_t sum = sums[i] - zero_point * p->sums[o + i];
        finish(p, row, o + i, (float)sum * (p->scales[o + i] * p->factors[row]));
      }
    }
  }
}

void ckernels_plain_pack_words(const void *w, size_t stride, size_t outputs, size_t count, void *panel) {
  const uint32_t *words = w;
  uint32_t *target = panel;
  for (size_t k = 0; k < count; k++)
    for (size_t o = 0; o < WIDTH; o++) target[k * WIDTH + o] = o < outputs ? words[o * stride + k] : 0;
}

void ckernels_plain_quantize(const float *x, size_t stride, size_t rows, size_t columns, const ckernels_levels *levels,
                             ckernels_element element, void *out, size_t out_stride, float *scales,
                             int32_t *zero_points) {
  const float *multipliers = levels->multipliers;
  for (size_t r = 0; r < rows; r++, x += stride) {
    uint8_t *bytes = (uint8_t *)out + r * out_stride;
    uint16_t *words = (uint16_t *)bytes;
    float least = 0, largest = 0;
    bool is_finite = true;
    for (size_t i = 0; i < columns; i++) {
      const float v = multipliers ? x[i] * multipliers[i] : x[i];
      is_finite = is_finite && isfinite(v);
      least = fminf(least, v);
      largest = fmaxf(largest, v);
    }
    const quantization q = levels->scale ? fixed_quantization(levels->scale, levels->zero_point, !is_finite)
                                         : quantization_of(least, largest, !is_finite);
    scales[r] = q.scale;
    zero_points[r] = ckernels_zero_point(q.zero_point);
    const bool is_byte = element == CKERNELS_UINT8;
    for (size_t i = 0; i < columns || i % (is_byte ? 4 : 2); i++) {
      const float v = i < columns ? multipliers ? x[i] * multipliers[i] : x[i] : 0;
      const float level = i < columns ? rintf(fmaf(v, q.inverse, (float)q.zero_point)) : 0;
      const uint8_t bounded = (uint8_t)fminf(255, fmaxf(0, level));
      if (is_byte)
        bytes[i] = bounded;
      else
        words[i] = bounded;
    }
  }
}

void ckernels_plain_quantize_weights(const float *w, size_t stride, size_t outputs, size_t inner, int8_t *out,
                                     size_t out_stride, float *scales) {
  for (size_t o = 0; o < outputs; o++, w += stride, out += out_stride) {
    float largest = 0;
    for (size_t k = 0; k < inner; k++) largest = fmaxf(largest, fabsf(w[k]));
    scales[o] = weight_scale(largest);
    // A scale below the normal floats may have been rounded to less than the row needs.
    for (size_t k = 0; k < inner; k++) out[k] = (int8_t)fminf(127, fmaxf(-127, rintf(w[k] / scales[o])));
  }
}

void ckernels_plain_round_to_bfloat16(const float *x, size_t stride, size_t rows, size_t columns,
                                      ckernels_element element, void *out, size_t out_stride) {
  for (size_t r = 0; r < rows; r++, x += stride) {
    float *floats = (float *)((char *)out + r * out_stride);
    uint16_t *halves = (uint16_t *)floats;
    for (size_t i = 0; i < columns; i++) {
      uint16_t half;
      ckernels_plain_float32_to_bfloat16(x + i, &half, 1);
      if (element == CKERNELS_BFLOAT16)
        halves[i] = half;
      else
        floats[i] = from_bfloat16(half);
    }
    if (element == CKERNELS_BFLOAT16 && columns % 2) halves[columns] = 0;
  }
}

void ckernels_plain_transpose(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element, void *out,
                              size_t out_stride) {
  for (size_t c = 0; c < columns; c++) {
    float *floats = (float *)((char *)out + c * out_stride);
    uint16_t *halves = (uint16_t *)floats;
    for (size_t r = 0; r < rows; r++) {
      const float *source = x + r * stride + c;
      if (element == CKERNELS_FLOAT32) {
        floats[r] = *source;
        continue;
      }
      uint16_t half;
      ckernels_plain_float32_to_bfloat16(source, &half, 1);
      if (element == CKERNELS_BFLOAT16)
        halves[r] = half;
      else
        floats[r] = from_bfloat16(half);
    }
    if (element == CKERNELS_BFLOAT16 && rows % 2) halves[rows] = 0;
  }
}

void ckernels_plain_exponentials(float *x, size_t stride, size_t rows, size_t columns, float scale,
                                 ckernels_element element, float *reciprocals) {
  for (size_t r = 0; r < rows; r++, x += stride) {
    uint16_t *halves = (uint16_t *)x;
    float maximum = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < columns; i++) maximum = isnan(x[i]) ? maximum : fmaxf(maximum, x[i]);
    for (size_t i = 0; i < columns; i++) {
      const float e = (float)exp((double)scale * (x[i] - maximum));
      sum += e;
      if (element == CKERNELS_BFLOAT16)
        ckernels_plain_float32_to_bfloat16(&e, halves + i, 1);
      else
        x[i] = e;
    }
    if (element == CKERNELS_BFLOAT16 && columns % 2) halves[columns] = 0;
    reciprocals[r] = columns ? (float)(1 / sum) : 0;
  }
}
