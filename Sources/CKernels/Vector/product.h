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

// Of a panel of floats that is longer than this by half a chunk or more, all tiles of a block of rows take so many groups before the next.
enum { SPAN = 3 * CHUNK };

/// Where the part that begins at `start` ends, of parts of a length, a multiple of CHUNK. The last may have up to half a chunk more, or
/// be shorter.
INLINE size_t part_end(size_t start, size_t length, size_t groups) {
  return groups - start < length + CHUNK / 2 ? groups : start + length;
}

/// The products of `steps` groups of k, from x and panel on, added to the sums s of a tile. y: row 7.
///
/// Rows are addressed from two of them by multiples of the stride: 14 pointers would not fit into the registers.
INLINE void tile_steps(const tile_kind kind, const size_t rows, const bool is_half, const size_t steps, const char *x, const char *y,
                       size_t stride, size_t stride3, size_t stride5, const char *panel, vfloat s[TILE_ROWS][2]) {
  const size_t step = PANEL * tile_unit(kind);
#pragma clang loop unroll(full)
  for (size_t i = 0; i < steps; i++, x += 4, y += 4, panel += step) {
    if (tile_fetches(kind) && i * step % 64 == 0) __builtin_prefetch(panel + 8 * step);
    if (tile_fetches(kind) && step > 64) __builtin_prefetch(panel + 8 * step + 64);
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
}

/// Where the sums of a tile go from its registers once they are whole: the product, the tile's first row and output, and the terms of both
/// vectors of outputs.
typedef struct {
  const ckernels_product *product;
  size_t row, output;
  output_terms terms[2];
} tile_target;

INLINE void scale_tile(const finish_kind kind, const bool has_factors, const size_t rows, vfloat s[TILE_ROWS][2],
                       const tile_target *target) {
  const row_terms of_rows = terms_of_rows(target->product, target->row);
#pragma clang loop unroll(full)
  for (size_t r = 0; r < rows; r++) {
    s[r][0] = linear_result(kind, has_factors, of_rows, r, s[r][0], &target->terms[0]);
    s[r][1] = linear_result(kind, has_factors, of_rows, r, s[r][1], &target->terms[1]);
  }
}

/// What `finish_sums` does where there is no activation, to sums that are still in registers.
INLINE void store_tile(const finish_kind kind, const size_t rows, vfloat s[TILE_ROWS][2], const tile_target *target) {
  const ckernels_product *p = target->product;
  if (kind == FINISH_INTEGERS || p->factors)
    scale_tile(kind, true, rows, s, target);
  else if (p->bias)
    scale_tile(kind, false, rows, s, target);
  const size_t stride = p->out_stride, first = target->row * stride + target->output;
  if (p->store == CKERNELS_STORE_BFLOAT16) {
    uint16_t *out = (uint16_t *)p->out + first;
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) v_round_to_bfloat16_of_2(out + r * stride, s[r][0], s[r][1]);
    return;
  }
  float *out = (float *)p->out + first;
  if (p->store == CKERNELS_ADD_FLOAT32) {
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) {
      s[r][0] = v_fma(target->terms[0].gamma, s[r][0], v_load(out + r * stride));
      s[r][1] = v_fma(target->terms[1].gamma, s[r][1], v_load(out + r * stride + LANES));
    }
  }
#pragma clang loop unroll(full)
  for (size_t r = 0; r < rows; r++) {
    v_store(out + r * stride, s[r][0]);
    v_store(out + r * stride + LANES, s[r][1]);
  }
}

/// The sums of one tile over the groups of k from `start` to `stop`, those of x and panel, written to sums [rows, PANEL],
/// or added to what is there if start > 0; of the first vector of outputs alone where the panel has no more. With a
/// `target` the sums are whole at `stop`, and go there; `sums` then holds those of the parts before the last.
///
/// `ahead`, a place in what comes next of the panels, goes to the second-level cache meanwhile, a line each ahead_step bytes a turn (with
/// few tiles a step may be longer than a line: the processor fetches what follows by itself).
INLINE void tile_sums(const tile_kind kind, const size_t rows, const bool is_half, const char *x, size_t stride, const char *panel,
                      size_t start, size_t stop, const char *ahead, size_t ahead_step, float *sums,
                      const tile_target *target) {
  size_t stride3 = 3 * stride, stride5 = 5 * stride;
  // Else the compiler makes the address of each row of the one before, by an addition in each step.
  if (TILE_STEPS > 1) __asm__("" : "+r"(stride3), "+r"(stride5));
  const size_t step = PANEL * tile_unit(kind);
  size_t done = start;
  do {
    vfloat s[TILE_ROWS][2];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) s[r][0] = s[r][1] = v_set(0);
    const bool is_first = done == 0;
    const size_t end = tile_is_exact(kind) ? stop : part_end(done, CHUNK, stop);
    const char *y = x + 7 * stride;
    for (size_t turns = (end - done) / TILE_STEPS; turns > 0; turns--) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
      tile_steps(kind, rows, is_half, TILE_STEPS, x, y, stride, stride3, stride5, panel, s);
      x += 4 * TILE_STEPS, y += 4 * TILE_STEPS, panel += TILE_STEPS * step;
    }
    for (size_t rest = (end - done) % TILE_STEPS; rest > 0; rest--, x += 4, y += 4, panel += step)
      tile_steps(kind, rows, is_half, 1, x, y, stride, stride3, stride5, panel, s);
    if (!is_first) {
#pragma clang loop unroll(full)
      for (size_t r = 0; r < rows; r++) {
        s[r][0] = v_add(v_load(sums + r * PANEL), s[r][0]);
        if (!is_half) s[r][1] = v_add(v_load(sums + r * PANEL + LANES), s[r][1]);
      }
    }
    if (target && end == stop) {
      store_tile(finish_of(kind), rows, s, target);
    } else {
#pragma clang loop unroll(full)
      for (size_t r = 0; r < rows; r++) {
        v_store(sums + r * PANEL, s[r][0]);
        if (!is_half) v_store(sums + r * PANEL + LANES, s[r][1]);
      }
    }
    done = end;
    // Else the compiler keeps the sums of sums in registers, too, and spills them in the loop over k.
    __asm__ volatile("" : : : "memory");
  } while (done < stop);
}

/// `tile_sums` for a number of rows that is only known now.
INLINE void tile_sums_of(const tile_kind kind, size_t rows, const bool is_half, const char *x, size_t stride, const char *panel,
                         size_t start, size_t stop, const char *ahead, size_t ahead_step, float *sums,
                         const tile_target *target) {
#define TILE_CASE(n) \
  case n:            \
    return tile_sums(kind, n, is_half, x, stride, panel, start, stop, ahead, ahead_step, sums, target);
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

// The tiles of a block whose sums are made span by span, and are kept meanwhile.
enum { MOST_TILES = 288 / TILE_ROWS };

// Floats of a cache line.
enum { LINE = 64 / sizeof(float) };

/// Fetches the lines of out that a tile of float32 will be added to, but for a last one that only begins in it.
INLINE void fetch_summands(const ckernels_product *p, size_t row, size_t rows, size_t o) {
  const float *out = (const float *)p->out + row * p->out_stride + o;
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < PANEL; i += LINE) __builtin_prefetch(out + r * p->out_stride + i);
}

/// The product, in blocks of rows that stay in the second-level cache beside two panels: the one at work and the next, which is
/// fetched meanwhile. Each panel is read once for a block. A long panel of floats is taken in spans, of all tiles of
/// the block one after the other; the cache then has to hold a span of the rows and of two panels.
INLINE void multiply_panels(const tile_kind kind, const ckernels_product *p) {
  if (p->rows == 0 || p->outputs == 0) return;
  const size_t group = 4 / tile_element(kind), step = PANEL * tile_unit(kind);
  const size_t groups = (p->inner + group - 1) / group;
  const bool has_spans = !tile_is_exact(kind);
  const size_t span = has_spans ? part_end(0, SPAN, groups) : groups;
  const size_t tiles = (p->rows + TILE_ROWS - 1) / TILE_ROWS;
  const size_t cache = ckernels_second_level_cache() / 8 * 7;
  size_t room = cache > 2 * span * step ? (cache - 2 * span * step) / (TILE_ROWS * 4 * (span + 1)) : 0;
  if (span < groups && room > MOST_TILES) room = MOST_TILES;
  const size_t blocks = (tiles + (room > 2 ? room : 2) - 1) / (room > 2 ? room : 2);
  // Sums of whole panels that need no activation, nor a gamma unless they are added, go from registers to where they belong.
  const bool adds = p->store == CKERNELS_ADD_FLOAT32;
  const bool stays_in_registers = p->activation == CKERNELS_IDENTITY && (adds || !p->gamma);
  float memory[MOST_TILES * TILE_ROWS * PANEL] __attribute__((aligned(64)));
  for (size_t block = 0; block < blocks; block++) {
    const size_t first = block * tiles / blocks, end = (block + 1) * tiles / blocks;
    const char *panel = p->panels;
    for (size_t o = 0; o < p->outputs; o += PANEL) {
      const bool is_direct = stays_in_registers && o + PANEL <= p->outputs;
      tile_target target = {.product = p, .output = o};
      if (is_direct)
        for (size_t i = 0; i < 2; i++) target.terms[i] = terms_of(finish_of(kind), true, p, o + i * LANES, LANES);
      size_t start = 0, stop = span;
      do {
        const char *next = stop < groups || o + PANEL < p->outputs ? panel + (stop - start) * step : p->panels;
        const size_t turns = (stop - start) / TILE_STEPS;
        const size_t ahead_step = span * step / ((end - first) * (turns + 1)) + 1;
        for (size_t t = first; t < end; t++) {
          // Tiles of equal height, give or take a row.
          const size_t row = t * p->rows / tiles, rows = (t + 1) * p->rows / tiles - row;
          const char *x = (const char *)p->x + row * p->x_stride + 4 * start;
          float *sums = span < groups ? memory + (t - first) * TILE_ROWS * PANEL : memory;
          const char *ahead = next + (t - first) * turns * ahead_step;
          target.row = row;
          const tile_target *at_end = is_direct && stop == groups ? &target : NULL;
          if (adds && stop == groups) fetch_summands(p, row, rows, o);
          if (o + LANES < p->outputs)
            tile_sums_of(kind, rows, false, x, p->x_stride, panel, start, stop, ahead, ahead_step, sums, at_end);
          else
            tile_sums_of(kind, rows, true, x, p->x_stride, panel, start, stop, ahead, ahead_step, sums, NULL);
          if (!is_direct && stop == groups)
            for (size_t i = 0; i < PANEL && o + i < p->outputs; i += LANES) finish_sums(kind, p, sums + i, row, rows, o + i);
        }
        panel += (stop - start) * step;
        start = stop;
        stop = has_spans ? part_end(start, SPAN, groups) : groups;
      } while (start < groups);
    }
  }
}

#endif
