/// Body of the products of bfloat16 and of bytes (see CKernelsProducts.h) by the tiles of AMX: 16 rows of 64 bytes each.
///
/// A tile of rows holds 16 groups of k of 16 rows, read where these lie; a tile of a panel the same groups of 16 outputs, as panels have them.
/// Two by two of them make the sums of 32 rows and a panel's outputs. The processor multiplies tiles in a unit of its own: what remains to be
/// done to the sums of one place is done meanwhile, a part in each step over the next one's k.

#ifndef CKERNELS_MATRIX_TILES_H
#define CKERNELS_MATRIX_TILES_H

#include "../tile_shapes.h"
#include "finish.h"
#include "tile.h"

// Groups of k of a tile, 4 bytes each.
enum { TILE_GROUPS = TILE_ROW_BYTES / 4 };

// The tiles by number: four of sums, then those of the rows (upper, lower) and of the panel (left, right).
#define SUMS_UPPER_LEFT 0
#define SUMS_UPPER_RIGHT 1
#define SUMS_LOWER_LEFT 2
#define SUMS_LOWER_RIGHT 3
#define ROWS_UPPER 4
#define ROWS_LOWER 5
#define PANEL_LEFT 6
#define PANEL_RIGHT 7

#define ADD_TILE_PRODUCT(kind, sums, x, w) \
  ((kind) == TILE_BYTES ? _tile_dpbusd(sums, x, w) : _tile_dpbf16ps(sums, x, w))

/// Adds the products of 16 groups of k. upper, lower: the rows, `stride` bytes apart.
INLINE void add_tile_products(const tile_kind kind, const bool has_lower, const bool has_right, const char *upper,
                              const char *lower, size_t stride, const char *panel) {
  const size_t step = PANEL * tile_unit(kind);
  _tile_loadd(PANEL_LEFT, panel, step);
  _tile_stream_loadd(ROWS_UPPER, upper, stride);
  ADD_TILE_PRODUCT(kind, SUMS_UPPER_LEFT, ROWS_UPPER, PANEL_LEFT);
  if (has_right) {
    _tile_loadd(PANEL_RIGHT, panel + step / 2, step);
    ADD_TILE_PRODUCT(kind, SUMS_UPPER_RIGHT, ROWS_UPPER, PANEL_RIGHT);
  }
  if (has_lower) {
    _tile_stream_loadd(ROWS_LOWER, lower, stride);
    ADD_TILE_PRODUCT(kind, SUMS_LOWER_LEFT, ROWS_LOWER, PANEL_LEFT);
    if (has_right) ADD_TILE_PRODUCT(kind, SUMS_LOWER_RIGHT, ROWS_LOWER, PANEL_RIGHT);
  }
}

FINISH(finish_rounded_panel, FINISH_ROUNDED, 2)
FINISH(finish_integer_panel, FINISH_INTEGERS, 2)

/// Sums of a place [rows, PANEL], of the rows from `row` on and the outputs from `o` on, that are to be finished.
typedef struct {
  const float *sums;
  size_t row, rows, o;
} unfinished_sums;

/// Finishes some of them, so many rows at most.
INLINE void finish_some(const tile_kind kind, const ckernels_product *p, unfinished_sums *left, size_t most) {
  const size_t rows = left->rows < most ? left->rows : most, o = left->o;
  if (rows == 0) return;
  if (o + PANEL <= p->outputs) {
    if (kind == TILE_BYTES)
      finish_integer_panel(p, left->sums, left->row, rows, o);
    else
      finish_rounded_panel(p, left->sums, left->row, rows, o);
  } else {
    for (size_t i = 0; o + i < p->outputs; i += LANES) finish_sums(kind, p, left->sums + i, left->row, rows, o + i);
  }
  left->sums += rows * PANEL, left->row += rows, left->rows -= rows;
}

/// What of x and of a panel is left behind the last 16 whole groups, filled up with zeros.
typedef struct {
  char upper[TILE_HEIGHT * TILE_ROW_BYTES] __attribute__((aligned(64)));
  char lower[TILE_HEIGHT * TILE_ROW_BYTES] __attribute__((aligned(64)));
  char panel[TILE_GROUPS * PANEL * 4] __attribute__((aligned(64)));
} last_groups;

INLINE void fill_rows(char *target, const char *x, size_t stride, size_t rows, size_t groups) {
  for (size_t r = 0; r < rows; r++) v_store((float *)(target + r * TILE_ROW_BYTES), v_load_tail((const float *)(x + r * stride), groups, 0));
}

/// Where the rows and the panel of a span of k lie, and the sums.
typedef struct {
  const char *upper, *lower;
  size_t stride;
  const char *panel;
  size_t steps;             ///< of 16 groups
  const last_groups *last;  ///< NULL where none are left behind them
  const char *ahead;        ///< what to fetch into the second-level cache meanwhile, `lines` lines in each step
  size_t lines;
  float *sums, *lower_sums;  ///< of the first of the upper and of the lower rows
  size_t sums_stride;
  bool is_first;  ///< whether the sums begin here, or are added to
} tile_span;

/// The sums of one place over a span of k. Meanwhile what is left of another place is finished.
INLINE void add_tile_span(const tile_kind kind, const bool has_lower, const bool has_right, const ckernels_product *p,
                          const tile_span *span, unfinished_sums *left) {
  const char *upper = span->upper, *lower = span->lower, *panel = span->panel, *ahead = span->ahead;
  float *sums = span->sums, *lower_sums = span->lower_sums;
  const size_t stride = span->stride, lines = span->lines, bytes = span->sums_stride * sizeof *sums;
  if (span->is_first) {
    _tile_zero(SUMS_UPPER_LEFT);
    _tile_zero(SUMS_UPPER_RIGHT);
    _tile_zero(SUMS_LOWER_LEFT);
    _tile_zero(SUMS_LOWER_RIGHT);
  } else {
    _tile_loadd(SUMS_UPPER_LEFT, sums, bytes);
    if (has_right) _tile_loadd(SUMS_UPPER_RIGHT, sums + LANES, bytes);
    if (has_lower) {
      _tile_loadd(SUMS_LOWER_LEFT, lower_sums, bytes);
      if (has_right) _tile_loadd(SUMS_LOWER_RIGHT, lower_sums + LANES, bytes);
    }
  }
  const size_t each = span->steps ? (left->rows + span->steps - 1) / span->steps : 0;
  for (size_t step = span->steps; step > 0; step--) {
    add_tile_products(kind, has_lower, has_right, upper, lower, stride, panel);
    upper += TILE_ROW_BYTES, lower += TILE_ROW_BYTES, panel += TILE_GROUPS * PANEL * tile_unit(kind);
    for (size_t i = 0; i < lines; i++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    finish_some(kind, p, left, each);
  }
  const last_groups *last = span->last;
  if (last) add_tile_products(kind, has_lower, has_right, last->upper, last->lower, TILE_ROW_BYTES, last->panel);
  finish_some(kind, p, left, left->rows);
  _tile_stored(SUMS_UPPER_LEFT, sums, bytes);
  if (has_right) _tile_stored(SUMS_UPPER_RIGHT, sums + LANES, bytes);
  if (has_lower) {
    _tile_stored(SUMS_LOWER_LEFT, lower_sums, bytes);
    if (has_right) _tile_stored(SUMS_LOWER_RIGHT, lower_sums + LANES, bytes);
  }
}

// A part of a panel that stays in the first-level cache while the rows of a block go through it, in groups of k (the last part may have nearly
// twice as many); and the places of a block whose sums are kept from part to part.
enum { MATRIX_SPAN = 12 * TILE_GROUPS, MOST_PLACES = 14 };

/// The product, in blocks of rows that stay in the second-level cache beside two panels or parts of them: the one at work and the next, which is
/// fetched meanwhile. Each panel is read once for a block.
///
/// A place is 32 rows and a panel's outputs. Tiles take as long with fewer rows; where the number of rows is no multiple of 16, the last 16
/// are a tile, some of whose rows are in the one before, too.
INLINE void multiply_tiles(const tile_kind kind, const ckernels_product *p) {
  if (p->rows == 0 || p->outputs == 0) return;
  const size_t group = 4 / tile_element(kind), unit = PANEL * tile_unit(kind);
  const size_t groups = (p->inner + group - 1) / group;
  const size_t height = p->rows < TILE_HEIGHT ? p->rows : TILE_HEIGHT;
  const size_t places = (p->rows + 2 * TILE_HEIGHT - 1) / (2 * TILE_HEIGHT);
  const bool has_spans = groups >= 2 * MATRIX_SPAN;
  const size_t cache = ckernels_second_level_cache() / 8 * 7;
  const size_t span = has_spans ? 2 * MATRIX_SPAN : groups;
  size_t room = cache > 2 * span * unit ? (cache - 2 * span * unit) / (2 * TILE_HEIGHT * 4 * (groups + 1)) : 0;
  if (has_spans && room > MOST_PLACES) room = MOST_PLACES;
  const size_t blocks = (places + (room > 2 ? room : 2) - 1) / (room > 2 ? room : 2);
  // Rows of two tiles would be added to twice in each of several spans.
  const bool is_plain = !tile_is_exact(kind) && p->store == CKERNELS_STORE_FLOAT32 && !p->bias && !p->factors &&
                        !p->gamma && p->activation == CKERNELS_IDENTITY && !has_spans;
  float memory[MOST_PLACES][2 * TILE_HEIGHT * PANEL] __attribute__((aligned(64)));
  last_groups last;
  unfinished_sums left = {.rows = 0};
  const tile_shapes shapes = tile_shapes_of(PANEL_LEFT, height);
  _tile_loadconfig(&shapes);
  for (size_t block = 0; block < blocks; block++) {
    const size_t first = block * places / blocks, end = (block + 1) * places / blocks;
    const char *panel = p->panels;
    for (size_t o = 0; o < p->outputs; o += PANEL) {
      // Sums that are results go where these belong.
      const bool is_direct = is_plain && o + PANEL <= p->outputs, has_right = o + LANES < p->outputs;
      size_t start = 0;
      do {
        const size_t stop = groups - start < 2 * MATRIX_SPAN ? groups : start + MATRIX_SPAN;
        const size_t steps = (stop - start) / TILE_GROUPS, rest = (stop - start) % TILE_GROUPS;
        const char *next = stop < groups || o + PANEL < p->outputs ? panel + (stop - start) * unit : p->panels;
        const size_t lines = (TILE_GROUPS * unit / 64 + (end - first) - 1) / (end - first);
        if (rest) {
          memset(last.panel, 0, sizeof last.panel);
          memcpy(last.panel, panel + steps * TILE_GROUPS * unit, rest * unit);
        }
        for (size_t place = first; place < end; place++) {
          const size_t row = place * 2 * TILE_HEIGHT;
          const size_t rows = p->rows - row < 2 * TILE_HEIGHT ? p->rows - row : 2 * TILE_HEIGHT;
          const bool has_lower = rows > TILE_HEIGHT;
          // The first rows of the tiles.
          const size_t middle = row + rows - height, top = has_lower ? row : middle;
          const char *x = (const char *)p->x + 4 * start;
          float *own = has_spans ? memory[place - first] : memory[0];
          float *sums = is_direct ? (float *)p->out + top * p->out_stride + o : own;
          const size_t sums_stride = is_direct ? p->out_stride : PANEL;
          const tile_span part = {
              .upper = x + top * p->x_stride,
              .lower = x + middle * p->x_stride,
              .stride = p->x_stride,
              .panel = panel,
              .steps = steps,
              .last = rest ? &last : NULL,
              .ahead = next + (place - first) * steps * lines * 64,
              .lines = lines,
              .sums = sums,
              .lower_sums = sums + (middle - top) * sums_stride,
              .sums_stride = sums_stride,
              .is_first = start == 0,
          };
          if (rest) {
            fill_rows(last.upper, part.upper + steps * TILE_ROW_BYTES, p->x_stride, height, rest);
            if (has_lower) fill_rows(last.lower, part.lower + steps * TILE_ROW_BYTES, p->x_stride, height, rest);
          }
          if (has_lower && has_right)
            add_tile_span(kind, true, true, p, &part, &left);
          else if (has_lower)
            add_tile_span(kind, true, false, p, &part, &left);
          else if (has_right)
            add_tile_span(kind, false, true, p, &part, &left);
          else
            add_tile_span(kind, false, false, p, &part, &left);
          if (!is_direct && stop == groups)
            left = (unfinished_sums){.sums = sums + (row - top) * PANEL, .row = row, .rows = rows, .o = o};
        }
        panel += (stop - start) * unit;
        start = stop;
      } while (start < groups);
    }
  }
  finish_some(kind, p, &left, left.rows);
  _tile_release();
}

#endif
