// Operations that wait for memory rather than for arithmetic.

#include <string.h>

#include "include/CKernels.h"

void ckernels_float64_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, bytes + sizeof value * i, sizeof value);
    out[i] = (float)value;
  }
}

// Tiles of whole cache lines, turned in a buffer of their own: a column of the output has a line in each row,
// and where the distance between rows is a power of two, those lines would push each other out of the cache.
enum { TILE = 16 };

static inline __attribute__((always_inline)) void transpose_tile(
    const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows, size_t columns) {
  float tile[TILE][TILE];
  for (size_t c = 0; c < columns; c++)
    for (size_t r = 0; r < rows; r++) tile[c][r] = x[r * x_stride + c];
  for (size_t c = 0; c < columns; c++) memcpy(out + c * out_stride, tile[c], rows * sizeof(float));
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

void ckernels_transpose(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                        size_t columns) {
  for (size_t c = 0; c < columns; c += TILE)
    for (size_t r = 0; r < rows; r += TILE) {
      const float *from = x + r * x_stride + c;
      float *to = out + c * out_stride + r;
      if (rows - r >= TILE && columns - c >= TILE)
        transpose_tile(from, x_stride, to, out_stride, TILE, TILE);  // all its loops unrolled
      else
        transpose_tile(from, x_stride, to, out_stride, smaller(TILE, rows - r), smaller(TILE, columns - c));
    }
}
