/// Body of the products (see CKernelsProducts.h) in the words of vector.h and tile.h.
///
/// A tile is TILE_ROWS rows by two vectors of outputs, whose sums stay in registers while k runs. Rows are read
/// in place, 4 bytes of each at a time, and multiplied with the next two vectors of the panel.

#ifndef CKERNELS_PRODUCT_H
#define CKERNELS_PRODUCT_H

#include "finish.h"
#include "tile.h"

// Sums in float32 are rounded at each step: after this many steps they are added to a sum of sums, so that their
// error grows with the root of the parts and not of the whole.
enum { CHUNK = 256 };

/// The sums of one tile over all groups of k, written to sums [rows, PANEL], whose rows are sums_stride apart; of the first vector
/// of outputs alone where the panel has no more.
///
/// `ahead`, a place in the next panel, goes to the second-level cache meanwhile, ahead_step bytes a step.
///
/// Rows are addressed from two of them by multiples of the stride: 14 pointers would not fit into the registers.
INLINE void tile_sums(const tile_kind kind, const size_t rows, const bool is_half, const char *x, size_t stride, const char *panel,
                      size_t groups, const char *ahead, size_t ahead_step, float *sums, size_t sums_stride) {
  const size_t stride3 = 3 * stride, stride5 = 5 * stride;
  const size_t step = PANEL * tile_unit(kind);
  size_t done = 0;
  bool is_first = true;
  do {
    vfloat s[TILE_ROWS][2];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) s[r][0] = s[r][1] = v_set(0);
    const size_t end = tile_is_exact(kind) || groups - done < CHUNK + CHUNK / 2 ? groups : done + CHUNK;
    const char *y = x + 7 * stride;
    for (; done < end; done++, x += 4, y += 4, panel += step) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
      __builtin_prefetch(panel + 8 * step);
      if (step > 64) __builtin_prefetch(panel + 8 * step + 64);
      const vfloat a = tile_load(kind, panel), b = is_half ? v_set(0) : tile_load(kind, panel + step / 2);
#define TILE_ROW(r, p)                             \
  if (r < rows) {                                  \
    const vfloat v = tile_spread(kind, p);         \
    s[r][0] = tile_add_products(kind, s[r][0], v, a); \
    if (!is_half) s[r][1] = tile_add_products(kind, s[r][1], v, b); \
  }
      TILE_ROW(0, x)
      TILE_ROW(1, x + stride)
      TILE_ROW(2, x + 2 * stride)
      TILE_ROW(3, x + stride3)
      TILE_ROW(4, x + 4 * stride)
      TILE_ROW(5, x + stride5)
#if TILE_ROWS > 6
      TILE_ROW(6, x + 2 * stride3)
      TILE_ROW(7, y)
      TILE_ROW(8, y + stride)
      TILE_ROW(9, y + 2 * stride)
      TILE_ROW(10, y + stride3)
      TILE_ROW(11, y + 4 * stride)
      TILE_ROW(12, y + stride5)
      TILE_ROW(13, y + 2 * stride3)
#endif
#undef TILE_ROW
    }
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) {
      float *sum = sums + r * sums_stride;
      v_store(sum, is_first ? s[r][0] : v_add(v_load(sum), s[r][0]));
      if (!is_half) v_store(sum + LANES, is_first ? s[r][1] : v_add(v_load(sum + LANES), s[r][1]));
    }
    is_first = false;
    // Else the compiler keeps the sums of sums in registers, too, and spills them in the loop over k.
    __asm__ volatile("" : : : "memory");
  } while (done < groups);
}

/// `tile_sums` for a number of rows that is only known now.
INLINE void tile_sums_of(const tile_kind kind, size_t rows, const bool is_half, const char *x, size_t stride, const char *panel,
                         size_t groups, const char *ahead, size_t ahead_step, float *sums, size_t sums_stride) {
#define TILE_CASE(n) \
  case n:            \
    return tile_sums(kind, n, is_half, x, stride, panel, groups, ahead, ahead_step, sums, sums_stride);
  switch (rows) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
    TILE_CASE(5)
    TILE_CASE(6)
#if TILE_ROWS > 6
    TILE_CASE(7)
    TILE_CASE(8)
    TILE_CASE(9)
    TILE_CASE(10)
    TILE_CASE(11)
    TILE_CASE(12)
    TILE_CASE(13)
    TILE_CASE(14)
#endif
  }
#undef TILE_CASE
}

/// The product, in blocks of rows that stay in the second-level cache beside two panels: the one at work and the next, which is
/// fetched meanwhile. Each panel is read once for a block.
INLINE void multiply_panels(const tile_kind kind, const ckernels_product *p) {
  if (p->rows == 0 || p->outputs == 0) return;
  const size_t group = 4 / tile_element(kind);
  const size_t groups = (p->inner + group - 1) / group;
  const size_t panel_bytes = groups * PANEL * tile_unit(kind);
  const size_t tiles = (p->rows + TILE_ROWS - 1) / TILE_ROWS;
  const size_t cache = ckernels_second_level_cache() / 8 * 7;
  const size_t room = cache > 2 * panel_bytes ? (cache - 2 * panel_bytes) / (TILE_ROWS * 4 * (groups + 1)) : 0;
  const size_t blocks = (tiles + (room > 2 ? room : 2) - 1) / (room > 2 ? room : 2);
  const bool is_plain = !tile_is_exact(kind) && p->store == CKERNELS_STORE_FLOAT32 && !p->bias && !p->factors &&
                        !p->gamma && p->activation == CKERNELS_IDENTITY;
  float memory[TILE_ROWS * PANEL] __attribute__((aligned(64)));
  for (size_t block = 0; block < blocks; block++) {
    const size_t first = block * tiles / blocks, end = (block + 1) * tiles / blocks;
    const size_t ahead_step = panel_bytes / ((end - first) * (groups + 1)) + 1;
    const char *panel = p->panels;
    for (size_t o = 0; o < p->outputs; o += PANEL, panel += panel_bytes) {
      const char *next = o + PANEL < p->outputs ? panel + panel_bytes : p->panels;
      for (size_t t = first; t < end; t++) {
        // Tiles of equal height, give or take a row.
        const size_t row = t * p->rows / tiles, rows = (t + 1) * p->rows / tiles - row;
        const char *x = (const char *)p->x + row * p->x_stride;
        // Sums that are results go where these belong.
        const bool is_direct = is_plain && o + PANEL <= p->outputs;
        float *sums = is_direct ? (float *)p->out + row * p->out_stride + o : memory;
        const size_t sums_stride = is_direct ? p->out_stride : PANEL;
        const char *ahead = next + (t - first) * groups * ahead_step;
        if (o + LANES < p->outputs)
          tile_sums_of(kind, rows, false, x, p->x_stride, panel, groups, ahead, ahead_step, sums, sums_stride);
        else
          tile_sums_of(kind, rows, true, x, p->x_stride, panel, groups, ahead, ahead_step, sums, sums_stride);
        if (is_direct) continue;
        if (tile_is_exact(kind))
          finish_integers(p, sums, row, rows, o);
        else if (kind == TILE_FLOAT)
          finish_floats(p, sums, row, rows, o);
        else
          finish_rounded(p, sums, row, rows, o);
      }
    }
  }
}

#endif
