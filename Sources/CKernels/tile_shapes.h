/// The shapes of AMX's tiles.

#ifndef CKERNELS_TILE_SHAPES_H
#define CKERNELS_TILE_SHAPES_H

#include <stddef.h>
#include <stdint.h>

// A tile is at most 16 rows of 64 bytes; there are 8.
enum { TILE_COUNT = 8, TILE_HEIGHT = 16, TILE_ROW_BYTES = 64 };

/// The operand of LDTILECFG (Intel, Software Developer's Manual, volume 1, section 18.3).
typedef struct {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_shapes;

/// Tiles of whole rows, of which the first `count` have so many, and the others all.
static inline tile_shapes tile_shapes_of(size_t count, size_t rows) {
  tile_shapes shapes = {.palette = 1};
  for (size_t tile = 0; tile < TILE_COUNT; tile++) {
    shapes.row_bytes[tile] = TILE_ROW_BYTES;
    shapes.rows[tile] = tile < count ? (uint8_t)rows : TILE_HEIGHT;
  }
  return shapes;
}

#endif
