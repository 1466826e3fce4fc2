/// What is done to the sums of a tile on their way out (see `ckernels_product`), in the words of vector.h.

#ifndef CKERNELS_FINISH_H
#define CKERNELS_FINISH_H

#include "gelu.h"
#include "relu.h"
#include "sigmoid.h"
#include "tile.h"

enum { PANEL = 2 * LANES };

/// Integers of up to 23 bits in halves of a word: the lowest 7 bits, and what is above them.
INLINE vint i_parts_of_16(vint v) { return i_or(i_and(v, i_set(127)), i_shift_left_16(i_shift_right_7(v))); }

/// What the sums of a tile are, and what their results are good for.
typedef enum {
  FINISH_FLOATS,    ///< float32, of numbers of full precision
  FINISH_ROUNDED,   ///< float32, of numbers of 8 bits
  FINISH_INTEGERS,  ///< int32
} finish_kind;

INLINE vfloat activated(const finish_kind kind, const ckernels_activation activation, vfloat x) {
  switch (activation) {
    case CKERNELS_GELU: return kind == FINISH_FLOATS ? gelu_lanes(x) : rough_gelu_lanes(x);
    case CKERNELS_GELU_TANH: return gelu_tanh_lanes(x);
    case CKERNELS_QUICK_GELU: return quick_gelu_lanes(x);
    case CKERNELS_SILU: return silu_lanes(x);
    case CKERNELS_RELU: return relu_lanes(x);
    case CKERNELS_TANH: return hyperbolic_tangent_lanes(x);
    default: return x;
  }
}

INLINE vfloat load_some(const bool whole, const float *p, size_t n) {
  return whole ? v_load(p) : v_load_tail(p, n, 0);
}

INLINE void store_some(const bool whole, float *p, vfloat v, size_t n) {
  if (whole)
    v_store(p, v);
  else
    v_store_tail(p, v, n);
}

INLINE void store_bfloat16(const bool whole, uint16_t *p, vfloat v, size_t n) {
  if (whole) {
    v_round_to_bfloat16(p, v);
  } else {
    uint16_t last[LANES];
    v_round_to_bfloat16(last, v);
    memcpy(p, last, 2 * n);
  }
}

/// What the sums of a vector of outputs need on their way out.
typedef struct {
  vfloat bias, gamma;
  vfloat scale;  ///< FINISH_INTEGERS
  vint sums;     ///< FINISH_INTEGERS: those of the weights, negative, as `i_parts_of_16`
} output_terms;

/// The terms of the outputs from `o` on; of the first n of them where the vector is not whole.
INLINE output_terms terms_of(const finish_kind kind, const bool whole, const ckernels_product *p, size_t o, size_t n) {
  const bool exact = kind == FINISH_INTEGERS;
  return (output_terms){
      .bias = p->bias ? load_some(whole, p->bias + o, n) : v_set(-0.0f),  // adds nothing, not even to -0
      .gamma = p->gamma ? load_some(whole, p->gamma + o, n) : v_set(1),
      .scale = exact ? load_some(whole, p->scales + o, n) : v_set(1),
      .sums = exact ? i_parts_of_16(i_sub(i_set(0), i_load_some(whole, p->sums + o, n))) : i_set(0),
  };
}

/// What the sums of a row need: its factor and, with integers, the value that stands for 0. NULL where there are none.
typedef struct {
  const float *factors;
  const int32_t *zero_points;
} row_terms;

INLINE row_terms terms_of_rows(const ckernels_product *p, size_t first) {
  return (row_terms){p->factors ? p->factors + first : NULL, p->zero_points ? p->zero_points + first : NULL};
}

/// factor * sum + bias; of integers factor * scale * (sum less what stands for 0) + bias.
INLINE vfloat linear_result(const finish_kind kind, const bool has_factors, row_terms rows, size_t row, vfloat sum,
                            const output_terms *terms) {
  if (kind == FINISH_INTEGERS) {
    const vint whole = i_add_products_of_16(i_from_bits(sum), i_set(rows.zero_points[row]), terms->sums);
    return v_fma(v_from_int(whole), v_mul(terms->scale, v_set(rows.factors[row])), terms->bias);
  }
  return has_factors ? v_fma(sum, v_set(rows.factors[row]), terms->bias) : v_add(sum, terms->bias);
}

/// `vectors` vectors of outputs, one or two, from `o` on, of `rows` rows; the first n lanes of the one where it is not whole.
INLINE void finish_vectors(const finish_kind kind, const ckernels_activation activation, const ckernels_store store, const bool whole,
                           const size_t vectors, const ckernels_product *p, const float *sums, size_t row, size_t rows, size_t o,
                           size_t n) {
  output_terms terms[2];
#pragma clang loop unroll(full)
  for (size_t i = 0; i < vectors; i++) terms[i] = terms_of(kind, whole, p, o + i * LANES, n);
  const row_terms of_rows = terms_of_rows(p, row);
  const bool has_gamma = p->gamma, has_factors = p->factors;
  const size_t stride = p->out_stride, width = store == CKERNELS_STORE_BFLOAT16 ? 2 : 4;
  char *out = (char *)p->out + (row * stride + o) * width;
  for (size_t r = 0; r < rows; r++, sums += PANEL, out += stride * width) {
    vfloat y[2];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < vectors; i++) {
      y[i] = activated(kind, activation, linear_result(kind, has_factors, of_rows, r, v_load(sums + i * LANES), &terms[i]));
      if (has_gamma && store != CKERNELS_ADD_FLOAT32) y[i] = v_mul(terms[i].gamma, y[i]);
    }
    if (store == CKERNELS_STORE_BFLOAT16) {
      if (vectors == 2)
        v_round_to_bfloat16_of_2(out, y[0], y[1]);
      else
        store_bfloat16(whole, (uint16_t *)out, y[0], n);
    } else {
#pragma clang loop unroll(full)
      for (size_t i = 0; i < vectors; i++) {
        float *target = (float *)out + i * LANES;
        if (store == CKERNELS_ADD_FLOAT32) y[i] = v_fma(terms[i].gamma, y[i], load_some(whole, target, n));
        store_some(whole, target, y[i], n);
      }
    }
  }
}

INLINE void finish_activation(const finish_kind kind, const ckernels_activation activation, const size_t vectors,
                              const ckernels_product *p, const float *sums, size_t row, size_t rows, size_t o) {
  const size_t n = p->outputs - o;
  if (n < LANES) return finish_vectors(kind, activation, p->store, false, 1, p, sums, row, rows, o, n);
  switch (p->store) {
    case CKERNELS_STORE_FLOAT32: return finish_vectors(kind, activation, CKERNELS_STORE_FLOAT32, true, vectors, p, sums, row, rows, o, LANES);
    case CKERNELS_STORE_BFLOAT16: return finish_vectors(kind, activation, CKERNELS_STORE_BFLOAT16, true, vectors, p, sums, row, rows, o, LANES);
    case CKERNELS_ADD_FLOAT32: return finish_vectors(kind, activation, CKERNELS_ADD_FLOAT32, true, vectors, p, sums, row, rows, o, LANES);
  }
}

/// Defines `name`: as many vectors of outputs from `o` on, of sums whose rows are PANEL apart. Two of them are whole; one is as far as there are
/// outputs.
#define FINISH(name, kind, vectors)                                                                                 \
  TARGET __attribute__((noinline)) static void name(const ckernels_product *p, const float *sums, size_t row,         \
                                                    size_t rows, size_t o) {                                        \
    switch (p->activation) {                                                                                        \
      case CKERNELS_IDENTITY: return finish_activation(kind, CKERNELS_IDENTITY, vectors, p, sums, row, rows, o);    \
      case CKERNELS_GELU: return finish_activation(kind, CKERNELS_GELU, vectors, p, sums, row, rows, o);            \
      case CKERNELS_GELU_TANH: return finish_activation(kind, CKERNELS_GELU_TANH, vectors, p, sums, row, rows, o);  \
      case CKERNELS_QUICK_GELU: return finish_activation(kind, CKERNELS_QUICK_GELU, vectors, p, sums, row, rows, o); \
      case CKERNELS_SILU: return finish_activation(kind, CKERNELS_SILU, vectors, p, sums, row, rows, o);            \
      case CKERNELS_RELU: return finish_activation(kind, CKERNELS_RELU, vectors, p, sums, row, rows, o);            \
      case CKERNELS_TANH: return finish_activation(kind, CKERNELS_TANH, vectors, p, sums, row, rows, o);            \
    }                                                                                                               \
  }

FINISH(finish_floats, FINISH_FLOATS, 1)
FINISH(finish_rounded, FINISH_ROUNDED, 1)
FINISH(finish_integers, FINISH_INTEGERS, 1)

/// What the sums of tiles of a kind are.
INLINE finish_kind finish_of(const tile_kind kind) {
  return tile_is_exact(kind) ? FINISH_INTEGERS : kind == TILE_FLOAT ? FINISH_FLOATS : FINISH_ROUNDED;
}

/// What remains to be done to a vector of sums of `rows` rows, PANEL apart: those of the outputs from `o` on.
INLINE void finish_sums(const tile_kind kind, const ckernels_product *p, const float *sums, size_t row, size_t rows, size_t o) {
  switch (finish_of(kind)) {
    case FINISH_FLOATS: return finish_floats(p, sums, row, rows, o);
    case FINISH_ROUNDED: return finish_rounded(p, sums, row, rows, o);
    case FINISH_INTEGERS: return finish_integers(p, sums, row, rows, o);
  }
}

#endif
