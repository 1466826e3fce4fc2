// AMX: tiles of 16 rows of 64 bytes; a product of two is 16 x 16 sums over 32 products of bfloat16 or 64 of bytes.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

enum { SUM_TILES = 4, SUMS = 16 * 16 };

// Palette 1: the bytes of a row and the rows of each tile; see Intel, Software Developer's Manual, volume 1, section 18.3.
__attribute__((target("amx-tile"))) static void fill_tiles(int word) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } shapes = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) shapes.row_bytes[tile] = 64, shapes.rows[tile] = 16;
  _tile_loadconfig(&shapes);
  int words[SUMS];
  for (int i = 0; i < SUMS; i++) words[i] = word;
  _tile_loadd(4, words, 64);
  _tile_loadd(5, words, 64);
  _tile_loadd(6, words, 64);
  _tile_loadd(7, words, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

__attribute__((target("amx-tile,amx-bf16"))) uint64_t ckernels_peak_bf16_amx(uint64_t rounds) {
  fill_tiles(0x3f003f00);  // two halves
  for (uint64_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return rounds * SUM_TILES * SUMS * 32 * 2;
}

__attribute__((target("amx-tile,amx-int8"))) uint64_t ckernels_peak_int8_amx(uint64_t rounds) {
  fill_tiles(0x03030303);
  for (uint64_t round = 0; round < rounds; round++) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return rounds * SUM_TILES * SUMS * 64 * 2;
}
#endif
