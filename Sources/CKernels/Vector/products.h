/// The kernels of an instruction set: `name`, a function of the kind of tile.

#ifndef CKERNELS_PRODUCTS_BODY_H
#define CKERNELS_PRODUCTS_BODY_H

#include "pack.h"
#include "product.h"

#define PRODUCT_KERNEL(name, kind) \
  TARGET static void name(const ckernels_product *product) { multiply_panels(kind, product); }

#define FP32_PRODUCT(function) \
  {.element = CKERNELS_FLOAT32, .layout = {.width = PANEL, .group = 1, .element_bytes = 4, .pack_words = pack_words}, .multiply = function}
#define ROUNDED_PRODUCT(function)      \
  {.element = CKERNELS_ROUNDED_FLOAT32, \
   .layout = {.width = PANEL, .group = 1, .element_bytes = 2, .pack_words = pack_words}, \
   .multiply = function}
#define BF16_PRODUCT(function) \
  {.element = CKERNELS_BFLOAT16, .layout = {.width = PANEL, .group = 2, .element_bytes = 2, .pack_words = pack_words}, .multiply = function}
#define BYTES_PRODUCT(function) \
  {.element = CKERNELS_UINT8, .layout = {.width = PANEL, .group = 4, .element_bytes = 1, .pack_words = pack_words}, .multiply = function}
#define WORDS_PRODUCT(function) \
  {.element = CKERNELS_UINT16, .layout = {.width = PANEL, .group = 2, .element_bytes = 1, .pack_words = pack_words}, .multiply = function}

#endif
