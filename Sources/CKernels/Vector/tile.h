/// The words that products are written in, beside those of vector.h.
///
/// A step of a tile takes a group of k: 4 bytes of each row, as many elements as fit, and `tile_unit` bytes of each
/// output of the panel. vector_avx2.h and vector_avx512.h define:
///   tile_load(kind, p)                  the units of LANES outputs
///   tile_spread(kind, p)                the group of a row in every lane
///   tile_add_products(kind, s, x, w)    sums plus the products of a group; int32 sums where `tile_is_exact`
///   TILE_ROWS                           the rows of a tile, 6 or 14
///   TILE_STEPS                          groups that a turn of the loop over k takes. Each instruction beside the products counts
///                                       where these are short and another program's thread shares the core
///   tile_fetches(kind)                  whether the panel is fetched into the first-level cache 8 groups before its turn

#ifndef CKERNELS_TILE_H
#define CKERNELS_TILE_H

typedef enum {
  TILE_FLOAT,     ///< float32 times float32
  TILE_ROUNDED,   ///< float32 that are bfloat16 by value, times bfloat16
  TILE_BFLOAT16,  ///< pairs of bfloat16
  TILE_BYTES,     ///< fours of uint8 times int8
  TILE_WORDS,     ///< pairs of uint16 (0...255) times int8
} tile_kind;

/// Bytes of a group of one output in a panel.
static inline size_t tile_unit(tile_kind kind) { return kind == TILE_ROUNDED || kind == TILE_WORDS ? 2 : 4; }

/// Bytes of an element of a row.
static inline size_t tile_element(tile_kind kind) {
  return kind == TILE_BYTES ? 1 : kind == TILE_FLOAT || kind == TILE_ROUNDED ? 4 : 2;
}

/// Whether sums are int32.
static inline bool tile_is_exact(tile_kind kind) { return kind == TILE_BYTES || kind == TILE_WORDS; }

#endif
