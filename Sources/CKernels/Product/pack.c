// Packing of weights into panels. See CKernelsProducts.h for the layout.

#include <string.h>

#include "../include/CKernelsProducts.h"

size_t ckernels_panel_bytes(ckernels_panel_layout layout, size_t inner) {
  const size_t groups = (inner + layout.group - 1) / layout.group;
  return groups * layout.width * layout.group * layout.element_bytes;
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/// Defines `name`, which packs one panel of `outputs` <= width from elements of w, `by_row` apart from output to
/// output and `by_k` from k to k. Constant arguments make loops without multiplications of it.
#define PACK_PANEL(name, type)                                                                              \
  static inline __attribute__((always_inline)) void name(const type *w, size_t by_row, size_t by_k,         \
                                                         size_t width, size_t group, size_t outputs,        \
                                                         size_t inner, type *panel) {                       \
    const size_t whole = inner - inner % group;                                                             \
    if (outputs < width || whole < inner)                                                                   \
      memset(panel, 0, (inner + group - 1) / group * width * group * sizeof(type));                         \
    for (size_t o = 0; o < outputs; o++)                                                                    \
      for (size_t k = 0; k < whole; k += group)                                                             \
        for (size_t i = 0; i < group; i++) panel[k * width + o * group + i] = w[o * by_row + (k + i) * by_k]; \
    for (size_t k = whole; k < inner; k++)                                                                  \
      for (size_t o = 0; o < outputs; o++)                                                                  \
        panel[whole * width + o * group + (k - whole)] = w[o * by_row + k * by_k];                          \
  }

PACK_PANEL(pack_halves, uint16_t)
PACK_PANEL(pack_bytes, int8_t)

/// Whether rows of elements can be read as words of 4 bytes, a group each.
static inline bool are_words(const void *w, size_t stride, size_t inner, size_t group, size_t element_bytes) {
  return group * element_bytes == 4 && inner % group == 0 && stride % group == 0 && (uintptr_t)w % 4 == 0;
}

// Floats become bfloat16 some of K at a time, an even number, and are packed out of the first-level cache.
enum { WIDEST_PANEL = 32, SOME = 256 };

static void pack_rounded_rows(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs, size_t inner,
                              char *panel) {
  uint16_t halves[WIDEST_PANEL][SOME] __attribute__((aligned(4)));
  for (size_t k = 0; k < inner; k += SOME) {
    const size_t n = smaller(SOME, inner - k);
    layout.round_to_bfloat16(w + k, stride, outputs, n, CKERNELS_BFLOAT16, halves, sizeof halves[0]);
    ckernels_pack_rows_bfloat16(layout, halves[0], SOME, outputs, n, panel);
    panel += ckernels_panel_bytes(layout, n);
  }
}

static void pack_rounded_columns(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs, size_t inner,
                                 char *panel) {
  uint16_t halves[SOME][WIDEST_PANEL];
  for (size_t k = 0; k < inner; k += SOME) {
    const size_t n = smaller(SOME, inner - k);
    layout.round_to_bfloat16(w + k * stride, stride, n, outputs, CKERNELS_BFLOAT16, halves, sizeof halves[0]);
    ckernels_pack_columns_bfloat16(layout, halves[0], WIDEST_PANEL, outputs, n, panel);
    panel += ckernels_panel_bytes(layout, n);
  }
}

void ckernels_pack_rows(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                        size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const float *rows = w + o * stride;
    const size_t count = smaller(layout.width, outputs - o);
    if (layout.element_bytes == sizeof(float))
      layout.pack_words(rows, stride, count, inner, panel);
    else
      pack_rounded_rows(layout, rows, stride, count, inner, panel);
  }
}

void ckernels_pack_rows_bfloat16(ckernels_panel_layout layout, const uint16_t *w, size_t stride,
                                 size_t outputs, size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const uint16_t *rows = w + o * stride;
    const size_t count = smaller(layout.width, outputs - o);
    if (are_words(rows, stride, inner, layout.group, sizeof *rows))
      layout.pack_words(rows, stride / 2, count, inner / 2, panel);
    else
      pack_halves(rows, stride, 1, layout.width, layout.group, count, inner, (uint16_t *)panel);
  }
}

void ckernels_pack_rows_int8(ckernels_panel_layout layout, const int8_t *w, size_t stride, size_t outputs,
                             size_t inner, void *panels, int32_t *sums) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const int8_t *rows = w + o * stride;
    const size_t count = smaller(layout.width, outputs - o);
    if (are_words(rows, stride, inner, layout.group, sizeof *rows))
      layout.pack_words(rows, stride / 4, count, inner / 4, panel);
    else
      pack_bytes(rows, stride, 1, layout.width, layout.group, count, inner, (int8_t *)panel);
  }
  for (size_t o = 0; o < outputs; o++) {
    int32_t sum = 0;
    for (size_t k = 0; k < inner; k++) sum += w[o * stride + k];
    sums[o] = sum;
  }
}

/// Of a whole panel's width: in instructions, where a call would take longer than the copying.
static inline void copy_floats(float *target, const float *source, size_t count) {
  switch (count) {
    case 16: memcpy(target, source, 16 * sizeof(float)); break;
    case 32: memcpy(target, source, 32 * sizeof(float)); break;
    default: memcpy(target, source, count * sizeof(float));
  }
}

void ckernels_pack_columns(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                           size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const size_t count = smaller(layout.width, outputs - o);
    if (layout.element_bytes != sizeof(float)) {
      pack_rounded_columns(layout, w + o, stride, count, inner, panel);
      continue;
    }
    float *target = (float *)panel;
    for (size_t k = 0; k < inner; k++, target += layout.width) {
      copy_floats(target, w + k * stride + o, count);
      if (count < layout.width) memset(target + count, 0, (layout.width - count) * sizeof(float));
    }
  }
}

void ckernels_pack_columns_bfloat16(ckernels_panel_layout layout, const uint16_t *w, size_t stride,
                                    size_t outputs, size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const size_t count = smaller(layout.width, outputs - o);
    if (layout.group != 2 || count < layout.width) {
      pack_halves(w + o, 1, stride, layout.width, layout.group, count, inner, (uint16_t *)panel);
      continue;
    }
    // Two rows at a time, interleaved.
    uint16_t *target = (uint16_t *)panel;
    for (size_t k = 0; k < inner; k += 2, target += 2 * layout.width) {
      const uint16_t *even = w + k * stride + o, *odd = even + stride;
      if (k + 1 < inner)
        for (size_t i = 0; i < layout.width; i++) {
          target[2 * i] = even[i];
          target[2 * i + 1] = odd[i];
        }
      else
        for (size_t i = 0; i < layout.width; i++) {
          target[2 * i] = even[i];
          target[2 * i + 1] = 0;
        }
    }
  }
}
