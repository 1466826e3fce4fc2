/// Bodies of the activations' backward operations (see CKernelsTraining.h) in the words of vector.h.

#include "exp.h"
#include "gelu_polynomials.h"

// Each gate gives s and, through the pointer, s' = ds/dx, for x in -15...15 or NaN.

// s = Phi(x)
INLINE vfloat gelu_backward_gate(vfloat x, vfloat *derivative) {
  const vfloat a = v_abs(x), square = v_mul(x, x);
  const vfloat bell = exp_nonpositive(v_max(v_set(LOWEST_EXPONENT), v_mul(v_set(-0.5f), square)), v_set(-0.0f));
  *derivative = v_mul(bell, v_set(0.398942280f));

  const vfloat centre = v_fma(x, gelu_centre_polynomial(square), v_set(0.5f));
  const vfloat tail = v_mul(gelu_tail_polynomial(a), bell);
  return v_where_below(a, 1, centre, v_where_below(x, 0, tail, v_sub(v_set(1), tail)));
}

// s = sigmoid(v), s' = sigmoid'(v) slope; with e = exp(-|v|) neither cancels.
INLINE vfloat sigmoid_gate(vfloat v, vfloat slope, vfloat *derivative) {
  const vfloat exponent = v_max(v_set(LOWEST_EXPONENT), v_sub(v_set(0), v_abs(v)));
  const vfloat e = exp_nonpositive(exponent, v_set(-0.0f));
  const vfloat reciprocal = v_div(v_set(1), v_add(v_set(1), e));
  const vfloat smaller = v_mul(e, reciprocal);
  *derivative = v_mul(v_mul(smaller, reciprocal), slope);
  return v_where_below(v, 0, smaller, reciprocal);
}

INLINE vfloat gelu_tanh_backward_gate(vfloat x, vfloat *derivative) {
  static const float c = 1.5957691216f, d = 0.0713548163f;
  const vfloat square = v_mul(x, x);
  const vfloat v = v_mul(x, v_fma(square, v_set(d), v_set(c)));
  return sigmoid_gate(v, v_fma(square, v_set(3 * d), v_set(c)), derivative);
}

INLINE vfloat quick_gelu_backward_gate(vfloat x, vfloat *derivative) {
  return sigmoid_gate(v_mul(x, v_set(1.702f)), v_set(1.702f), derivative);
}

INLINE vfloat silu_backward_gate(vfloat x, vfloat *derivative) { return sigmoid_gate(x, v_set(1), derivative); }

INLINE vfloat relu_backward_gate(vfloat x, vfloat *derivative) {
  *derivative = v_set(0);
  // Above 0: not below the smallest positive float. NaN stays NaN in the products.
  return v_where_below(x, 0x1p-149f, v_set(0), v_set(1));
}

/// Defines `name` by its gate. `bound`: from there on s' is 0 and s is 0 or 1 in float32; it keeps infinities out of the products.
#define ACTIVATION_BACKWARD(name, bound)                                                                    \
  INLINE void name##_lanes(vfloat *x, vfloat *dy) {                                                         \
    vfloat derivative;                                                                                      \
    const vfloat v = v_max(v_set(-(bound)), *x);                                                            \
    const vfloat s = name##_gate(v_min(v_set(bound), v), &derivative);                                      \
    *dy = v_mul(*dy, v_fma(v_min(v_set(bound), v), derivative, s));                                         \
    *x = v_mul(v, s);                                                                                       \
  }                                                                                                         \
  TARGET static void name(float *x, size_t x_stride, float *dy, size_t dy_stride, size_t rows,              \
                          size_t columns) {                                                                 \
    const size_t whole = columns - columns % LANES, rest = columns % LANES;                                 \
    for (size_t r = 0; r < rows; r++, x += x_stride, dy += dy_stride) {                                     \
      for (size_t i = 0; i < whole; i += LANES) {                                                           \
        vfloat v = v_load(x + i), d = v_load(dy + i);                                                       \
        name##_lanes(&v, &d);                                                                               \
        v_store(x + i, v);                                                                                  \
        v_store(dy + i, d);                                                                                 \
      }                                                                                                     \
      if (rest) {                                                                                           \
        vfloat v = v_load_tail(x + whole, rest, 0), d = v_load_tail(dy + whole, rest, 0);                   \
        name##_lanes(&v, &d);                                                                               \
        v_store_tail(x + whole, v, rest);                                                                   \
        v_store_tail(dy + whole, d, rest);                                                                  \
      }                                                                                                     \
    }                                                                                                       \
  }

ACTIVATION_BACKWARD(gelu_backward, 15)
ACTIVATION_BACKWARD(gelu_tanh_backward, 15)
ACTIVATION_BACKWARD(quick_gelu_backward, 65)
ACTIVATION_BACKWARD(silu_backward, 110)
ACTIVATION_BACKWARD(relu_backward, 1e30f)
