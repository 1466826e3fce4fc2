// Packing of weights into panels. See CKernelsProducts.h for the layout.

#include <math.h>
#include <string.h>

#include "../include/CKernelsProducts.h"

size_t ckernels_panel_bytes(ckernels_panel_layout layout, size_t inner) {
  const size_t groups = (inner + layout.group - 1) / layout.group;
  return groups * layout.width * layout.group * layout.element_bytes;
}

static inline uint16_t rounded_to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);  // quiet, and still no infinity
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/// Defines `name`, which packs one panel of `outputs` <= width from elements of w, `by_row` apart from output to
/// output and `by_k` from k to k. Constant arguments make loops without multiplications of it.
#define PACK_PANEL(name, source, target, convert)                                                           \
  static inline __attribute__((always_inline)) void name(const source *w, size_t by_row, size_t by_k,       \
                                                         size_t width, size_t group, size_t outputs,        \
                                                         size_t inner, target *panel) {                     \
    const size_t whole = inner - inner % group;                                                             \
    if (outputs < width || whole < inner)                                                                   \
      memset(panel, 0, (inner + group - 1) / group * width * group * sizeof(target));                       \
    for (size_t o = 0; o < outputs; o++)                                                                    \
      for (size_t k = 0; k < whole; k += group)                                                             \
        for (size_t i = 0; i < group; i++)                                                                  \
          panel[k * width + o * group + i] = convert(w[o * by_row + (k + i) * by_k]);                       \
    for (size_t k = whole; k < inner; k++)                                                                  \
      for (size_t o = 0; o < outputs; o++)                                                                  \
        panel[whole * width + o * group + (k - whole)] = convert(w[o * by_row + k * by_k]);                 \
  }

#define AS_IS(x) (x)

PACK_PANEL(pack_rounded, float, uint16_t, rounded_to_bfloat16)
PACK_PANEL(pack_halves, uint16_t, uint16_t, AS_IS)
PACK_PANEL(pack_bytes, int8_t, int8_t, AS_IS)

/// Whether rows of elements can be read as words of 4 bytes, a group each.
static inline bool are_words(const void *w, size_t stride, size_t inner, size_t group, size_t element_bytes) {
  return group * element_bytes == 4 && inner % group == 0 && stride % group == 0 && (uintptr_t)w % 4 == 0;
}

enum { WIDEST = 32, PAIRS = 128 };

/// One panel of pairs out of rows of w, some of K at a time: rounded, then packed as words.
static void pack_rounded_pairs(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs, size_t inner,
                               char *panel) {
  uint32_t words[WIDEST][PAIRS];
  for (size_t k = 0; k < inner; k += 2 * PAIRS) {
    const size_t some = smaller(2 * PAIRS, inner - k), pairs = (some + 1) / 2;
    layout.round_to_bfloat16(w + k, stride, outputs, some, CKERNELS_BFLOAT16, words, sizeof words[0]);
    layout.pack_words(words, PAIRS, outputs, pairs, panel);
    panel += pairs * layout.width * sizeof(uint32_t);
  }
}

/// Stands for the row behind the last where K is odd.
static const float zeros[WIDEST];

void ckernels_pack_rows(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                        size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const float *rows = w + o * stride;
    const size_t count = smaller(layout.width, outputs - o);
    if (layout.element_bytes == sizeof(float))
      layout.pack_words(rows, stride, count, inner, panel);
    else if (layout.group == 2)
      pack_rounded_pairs(layout, rows, stride, count, inner, panel);
    else
      pack_rounded(rows, stride, 1, layout.width, layout.group, count, inner, (uint16_t *)panel);
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

void ckernels_pack_columns(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                           size_t inner, void *panels) {
  char *panel = panels;
  for (size_t o = 0; o < outputs; o += layout.width, panel += ckernels_panel_bytes(layout, inner)) {
    const size_t count = smaller(layout.width, outputs - o);
    if (layout.element_bytes != sizeof(float) && layout.group != 2) {
      pack_rounded(w + o, 1, stride, layout.width, layout.group, count, inner, (uint16_t *)panel);
      continue;
    }
    float *target = (float *)panel;
    if (layout.group == 2) {
      for (size_t k = 0; k < inner; k += 2, target += layout.width) {
        const float *even = w + k * stride + o;
        layout.pair_rounded(even, k + 1 < inner ? even + stride : zeros, count, target);
        if (count < layout.width) memset(target + count, 0, (layout.width - count) * sizeof(float));
      }
      continue;
    }
    for (size_t k = 0; k < inner; k++, target += layout.width) {
      memcpy(target, w + k * stride + o, count * sizeof(float));
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
