// AMX: a product of two tiles is 16 x 16 sums over 32 products of bfloat16 or 64 of bytes.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

#include "../tile_shapes.h"

enum { SUM_TILES = 4, SUMS = 16 * 16 };

// Tiles 0 to 3 hold sums, 4 to 7 what is multiplied.
__attribute__((target("amx-tile"))) static void fill_tiles(int word) {
  const tile_shapes shapes = tile_shapes_of(0, 0);
  _tile_loadconfig(&shapes);
  int words[SUMS];
  for (int i = 0; i < SUMS; i++) words[i] = word;
  _tile_loadd(4, words, TILE_ROW_BYTES);
  _tile_loadd(5, words, TILE_ROW_BYTES);
  _tile_loadd(6, words, TILE_ROW_BYTES);
  _tile_loadd(7, words, TILE_ROW_BYTES);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

/// Defines `name`: products of tiles filled with a word, each of so many terms a sum.
#define PEAK_OF_TILES(name, features, multiply, word, terms)              \
  __attribute__((target("amx-tile," features))) uint64_t name(uint64_t rounds) { \
    fill_tiles(word);                                                     \
    for (uint64_t round = 0; round < rounds; round++) {                   \
      multiply(0, 4, 6);                                                  \
      multiply(1, 4, 7);                                                  \
      multiply(2, 5, 6);                                                  \
      multiply(3, 5, 7);                                                  \
    }                                                                     \
    _tile_release();                                                      \
    return rounds * SUM_TILES * SUMS * (terms) * 2;                       \
  }

PEAK_OF_TILES(ckernels_peak_bf16_amx, "amx-bf16", _tile_dpbf16ps, 0x3f003f00, 32)
PEAK_OF_TILES(ckernels_peak_int8_amx, "amx-int8", _tile_dpbusd, 0x03030303, 64)
#endif
