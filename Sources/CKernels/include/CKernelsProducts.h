/// Matrix products whose right side, the weights, was packed beforehand.
///
/// Letters: R rows, K inner, O outputs. A product is out [R, O] = x [R, K] · w [O, K]^T. The left side is read
/// row by row where it lies; the right side comes in panels: as many outputs as a register tile is wide, the
/// elements of a panel in the order in which the tile reads them. Each output is a sum over k in an order that
/// depends on K and the variant alone: never on R, O, or what else is computed beside it.

#ifndef CKERNELS_PRODUCTS_H
#define CKERNELS_PRODUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __clang__
#pragma clang assume_nonnull begin
#endif

/// What the numbers of a product are.
typedef enum {
  CKERNELS_FP32 = 0,  ///< float32
  CKERNELS_BF16 = 1,  ///< bfloat16 on both sides, sums in float32
  CKERNELS_INT8 = 2,  ///< 8-bit integers on both sides, exact sums in int32
  CKERNELS_PRECISIONS = 3,
} ckernels_precision;

/// An element of a row, in memory.
typedef enum {
  CKERNELS_FLOAT32,
  CKERNELS_ROUNDED_FLOAT32,  ///< a float32 whose value is a bfloat16's
  CKERNELS_BFLOAT16,
  CKERNELS_UINT8,
  CKERNELS_UINT16,  ///< a value of 0...255
} ckernels_element;

/// How the rows of a product become 8-bit levels.
typedef struct {
  const float *_Nullable multipliers;  ///< [K], for the columns; NULL for 1
  float scale;                         ///< what a unit is worth, the same in all rows; 0: by the range of each row
  int32_t zero_point;                  ///< with a scale: the level, 0...255, that stands for 0
} ckernels_levels;

/// A function applied to each output; see the operations of the same names in CKernels.h. Behind products of bfloat16 and of integers, GELU is
/// within 5e-5 only.
typedef enum {
  CKERNELS_IDENTITY,
  CKERNELS_GELU,
  CKERNELS_GELU_TANH,
  CKERNELS_QUICK_GELU,
  CKERNELS_SILU,
  CKERNELS_RELU,
  CKERNELS_TANH,
} ckernels_activation;

/// What happens to a product's results.
typedef enum {
  CKERNELS_STORE_FLOAT32,
  CKERNELS_STORE_BFLOAT16,
  CKERNELS_ADD_FLOAT32,  ///< added to what is there
} ckernels_store;

/// One product and what is done to its results on the way out:
/// out[r, o] = or += gamma[o] * f(factors[r] * sum[r, o] + bias[o]).
typedef struct {
  size_t rows;     ///< R
  size_t inner;    ///< K
  size_t outputs;  ///< O

  const void *x;    ///< [R, K], elements as the kernel wants them, rows filled up with zeros to whole groups
  size_t x_stride;  ///< bytes between the starts of two rows
  const float *_Nullable factors;      ///< [R]; NULL for 1. int8: the scales of the rows, there always
  const int32_t *_Nullable zero_points;  ///< [R], int8 only: the value that stands for 0, see `ckernels_zero_point`

  const void *panels;                  ///< w, packed
  const float *_Nullable scales;       ///< [O], int8 only: what a unit of w is worth
  const int32_t *_Nullable sums;       ///< [O], int8 only: sums of w over K
  const float *_Nullable bias;         ///< [O]; NULL for 0
  ckernels_activation activation;      ///< f
  const float *_Nullable gamma;        ///< [O]; NULL for 1

  void *out;          ///< [R, O]
  size_t out_stride;  ///< elements between the starts of two rows
  ckernels_store store;
} ckernels_product;

/// The value z, 0...255, that stands for 0 in a row, as products want it: z and 128 z side by side in halves of a word, which sums of w, cut in
/// the same way, are multiplied with in one step.
static inline int32_t ckernels_zero_point(int32_t z) { return z * (1 + (1 << 23)); }

/// How the panels of a kernel are laid out: [panel][group of k][output][k within the group], filled up with
/// zeros.
typedef struct {
  size_t width;         ///< outputs of a panel
  size_t group;         ///< elements of K side by side
  size_t element_bytes;  ///< 4: float32, 2: bfloat16, 1: int8
  /// One panel out of words of 4 bytes: panel[k, o] = w[o, k], 0 for o >= outputs. w [outputs, count], its rows `stride`
  /// words apart; panel [count, width].
  void (*pack_words)(const void *w, size_t stride, size_t outputs, size_t count, void *panel);
  /// out[r, i] = x[r, i] rounded to bfloat16, nearest even. out_stride: bytes. As the operation of that name.
  void (*round_to_bfloat16)(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element, void *out,
                            size_t out_stride);
} ckernels_panel_layout;

/// The product of one precision in one variant.
typedef struct {
  ckernels_element element;  ///< of x; a group of them is 4 bytes
  ckernels_panel_layout layout;
  void (*multiply)(const ckernels_product *product);
} ckernels_product_kernel;

/// Bytes of one panel.
size_t ckernels_panel_bytes(ckernels_panel_layout layout, size_t inner);

/// Packs the rows of w [O, K] as panels: float32 from float32, bfloat16 from float32 (rounded to nearest even).
/// stride: floats between the starts of two rows.
void ckernels_pack_rows(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                        size_t inner, void *panels);

/// Packs the rows of w [O, K], which is bfloat16 already.
void ckernels_pack_rows_bfloat16(ckernels_panel_layout layout, const uint16_t *w, size_t stride,
                                 size_t outputs, size_t inner, void *panels);

/// Packs the rows of w [O, K], which is int8 already, and sums each over K. sums: [O].
void ckernels_pack_rows_int8(ckernels_panel_layout layout, const int8_t *w, size_t stride, size_t outputs,
                             size_t inner, void *panels, int32_t *sums);

/// Packs the columns of w [K, O].
void ckernels_pack_columns(ckernels_panel_layout layout, const float *w, size_t stride, size_t outputs,
                           size_t inner, void *panels);
void ckernels_pack_columns_bfloat16(ckernels_panel_layout layout, const uint16_t *w, size_t stride,
                                    size_t outputs, size_t inner, void *panels);

/// The largest K of an int8 product: its sums, of terms of at most 255 * 128, stay within an int32 then, and those of w within 23 bits.
static const size_t ckernels_int8_largest_inner = INT16_MAX;

/// Bytes of the core's own cache of the second level; a guess where the system does not tell.
size_t ckernels_second_level_cache(void);

#ifdef __clang__
#pragma clang assume_nonnull end
#endif

#endif
