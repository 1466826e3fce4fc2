/// What is done to the sums of a tile on their way out (see `ckernels_product`), in the words of vector.h.

#ifndef CKERNELS_FINISH_H
#define CKERNELS_FINISH_H

#include "gelu.h"
#include "relu.h"
#include "sigmoid.h"

enum { PANEL = 2 * LANES };

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

/// A vector of outputs `o` of `rows` rows; its first n lanes where it is not whole.
INLINE void finish_column(const finish_kind kind, const ckernels_activation activation, const bool whole,
                          const ckernels_product *p, const float *sums, size_t row, size_t rows, size_t o,
                          size_t n) {
  const bool exact = kind == FINISH_INTEGERS;
  const vfloat bias = p->bias ? load_some(whole, p->bias + o, n) : v_set(0);
  const vfloat gamma = p->gamma ? load_some(whole, p->gamma + o, n) : v_set(1);
  const vfloat scale = exact ? load_some(whole, p->scales + o, n) : v_set(1);
  const vint column_sums = exact ? i_load_some(whole, p->sums + o, n) : i_set(0);
  for (size_t r = 0; r < rows; r++, sums += PANEL) {
    vfloat y;
    if (exact) {
      const vint moved = i_mul(i_set(p->zero_points[row + r]), column_sums);
      y = v_mul(v_from_int(i_sub(i_load(sums), moved)), v_mul(scale, v_set(p->factors[row + r])));
      y = v_add(y, bias);
    } else if (p->factors) {
      y = v_fma(v_load(sums), v_set(p->factors[row + r]), bias);
    } else {
      y = v_add(v_load(sums), bias);
    }
    y = activated(kind, activation, y);
    const size_t place = (row + r) * p->out_stride + o;
    if (p->store == CKERNELS_STORE_BFLOAT16) {
      store_bfloat16(whole, (uint16_t *)p->out + place, p->gamma ? v_mul(gamma, y) : y, n);
    } else {
      float *out = (float *)p->out + place;
      if (p->store == CKERNELS_ADD_FLOAT32)
        y = v_fma(gamma, y, load_some(whole, out, n));
      else if (p->gamma)
        y = v_mul(gamma, y);
      store_some(whole, out, y, n);
    }
  }
}

INLINE void finish_columns(const finish_kind kind, const ckernels_activation activation, const ckernels_product *p,
                           const float *sums, size_t row, size_t rows, size_t o) {
  for (size_t i = 0; i < PANEL && o + i < p->outputs; i += LANES) {
    const size_t n = p->outputs - (o + i);
    if (n >= LANES)
      finish_column(kind, activation, true, p, sums + i, row, rows, o + i, LANES);
    else
      finish_column(kind, activation, false, p, sums + i, row, rows, o + i, n);
  }
}

/// Defines `name`: the outputs from `o` on, of sums [rows, PANEL].
#define FINISH_TILE(name, kind)                                                                             \
  TARGET __attribute__((noinline)) static void name(const ckernels_product *p, const float *sums, size_t row, \
                                                    size_t rows, size_t o) {                                \
    switch (p->activation) {                                                                                \
      case CKERNELS_IDENTITY: return finish_columns(kind, CKERNELS_IDENTITY, p, sums, row, rows, o);        \
      case CKERNELS_GELU: return finish_columns(kind, CKERNELS_GELU, p, sums, row, rows, o);                \
      case CKERNELS_GELU_TANH: return finish_columns(kind, CKERNELS_GELU_TANH, p, sums, row, rows, o);      \
      case CKERNELS_QUICK_GELU: return finish_columns(kind, CKERNELS_QUICK_GELU, p, sums, row, rows, o);    \
      case CKERNELS_SILU: return finish_columns(kind, CKERNELS_SILU, p, sums, row, rows, o);                \
      case CKERNELS_RELU: return finish_columns(kind, CKERNELS_RELU, p, sums, row, rows, o);                \
      case CKERNELS_TANH: return finish_columns(kind, CKERNELS_TANH, p, sums, row, rows, o);                \
    }                                                                                                       \
  }

FINISH_TILE(finish_floats, FINISH_FLOATS)
FINISH_TILE(finish_rounded, FINISH_ROUNDED)
FINISH_TILE(finish_integers, FINISH_INTEGERS)

#endif
