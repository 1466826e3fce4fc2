/// The kernels of an instruction set: `name`, a function of the kind of tile.

#ifndef CKERNELS_PRODUCTS_BODY_H
#define CKERNELS_PRODUCTS_BODY_H

#include "pack.h"
#include "product.h"

#define PRODUCT_KERNEL(name, kind) \
  TARGET static void name(const ckernels_product *product) { multiply_panels(kind, product); }

#define PANEL_LAYOUT(elements, bytes)          \
  {                                            \
      .width = PANEL,                          \
      .group = elements,                       \
      .element_bytes = bytes,                  \
      .pack_words = pack_words,                \
      .round_to_bfloat16 = round_to_bfloat16,  \
  }

#define FP32_PRODUCT(function) {.element = CKERNELS_FLOAT32, .layout = PANEL_LAYOUT(1, 4), .multiply = function}
#define ROUNDED_PRODUCT(function) {.element = CKERNELS_ROUNDED_FLOAT32, .layout = PANEL_LAYOUT(1, 2), .multiply = function}
#define BF16_PRODUCT(function) {.element = CKERNELS_BFLOAT16, .layout = PANEL_LAYOUT(2, 2), .multiply = function}
#define BYTES_PRODUCT(function) {.element = CKERNELS_UINT8, .layout = PANEL_LAYOUT(4, 1), .multiply = function}
#define WORDS_PRODUCT(function) {.element = CKERNELS_UINT16, .layout = PANEL_LAYOUT(2, 1), .multiply = function}

#endif
