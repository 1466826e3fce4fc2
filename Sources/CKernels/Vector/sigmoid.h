/// Bodies of `silu`, `quick_gelu`, `gelu_tanh` and `hyperbolic_tangent` (see CKernels.h) in the words of
/// vector.h.

#ifndef CKERNELS_VECTOR_SIGMOID_H
#define CKERNELS_VECTOR_SIGMOID_H

#include "activation_rows.h"
#include "exp.h"

// x sigmoid(v), where v has the sign of x and is given as -|v| = exponent + tail; a = |x|, or where the result
// is 0 for -a, less.
//
// It is max(x, 0) - a e / (1 + e) with e = exp(-|v|): no cancellation on either side, as e / (1 + e) <= 1/2. The
// power of two comes last, so that a product that is a normal float is not made from a subnormal e.
INLINE vfloat times_sigmoid(vfloat x, vfloat a, vfloat exponent, vfloat tail) {
  vfloat n;
  const vfloat m = v_add(v_set(1), exp_reduced(exponent, tail, &n));
  const vfloat e = v_scale(m, n);
  const vfloat q = v_div(v_mul(a, m), v_add(v_set(1), e));
  return v_sub(v_max(v_set(0), x), v_scale(q, n));
}

INLINE vfloat silu_lanes(vfloat x) {
  const vfloat a = v_min(v_set(110), v_abs(x));  // 110 exp(-110) is 0 in float32
  return times_sigmoid(x, a, v_sub(v_set(0), a), v_set(0));
}

ACTIVATION_ROWS(silu)

INLINE vfloat quick_gelu_lanes(vfloat x) {
  const vfloat a = v_min(v_set(65), v_abs(x));  // 65 exp(-1.702 * 65) is 0 in float32
  // An exponent rounded to float32 would cost |exponent| / 2 ulp: carry along what the product loses, and what
  // 1.702 lost in becoming a float.
  const vfloat factor = v_set(-1.702f), factor_lost = v_set((float)(-1.702 + (double)1.702f));
  const vfloat exponent = v_mul(a, factor);
  const vfloat lost = v_fma(a, factor, v_sub(v_set(0), exponent));
  return times_sigmoid(x, a, exponent, v_fma(a, factor_lost, lost));
}

ACTIVATION_ROWS(quick_gelu)

// (1 + tanh(u)) / 2 = sigmoid(2 u), so the exponent is -a (c + d a^2) with c = 2 sqrt(2 / pi), d = 0.044715 c.
INLINE vfloat gelu_tanh_lanes(vfloat x) {
  static const double c = 1.5957691216057307117, d = 0.071354816272600247;
  const vfloat a = v_min(v_set(11), v_abs(x));  // 11 exp(-112.5) is 0 in float32
  const vfloat negative_c = v_set((float)-c), negative_d = v_set((float)-d);
  const vfloat c_lost = v_set((float)(-c + (double)(float)c)), d_lost = v_set((float)(-d + (double)(float)d));
  // Each step with its rounding error (Dekker, "A floating-point technique for extending the available
  // precision", 1971; the sum after Knuth, as either term may be the larger one).
  const vfloat square = v_mul(a, a);
  const vfloat square_lost = v_fma(a, a, v_sub(v_set(0), square));
  const vfloat cubic = v_mul(negative_d, square);
  const vfloat cubic_lost = v_fma(negative_d, square, v_sub(v_set(0), cubic));
  const vfloat sum = v_add(negative_c, cubic);
  const vfloat share = v_sub(sum, negative_c);
  vfloat sum_lost = v_add(v_sub(negative_c, v_sub(sum, share)), v_sub(cubic, share));
  sum_lost = v_add(sum_lost, v_add(cubic_lost, c_lost));
  sum_lost = v_fma(negative_d, square_lost, v_fma(d_lost, square, sum_lost));
  const vfloat exponent = v_mul(a, sum);
  const vfloat lost = v_fma(a, sum, v_sub(v_set(0), exponent));
  return times_sigmoid(x, a, exponent, v_fma(a, sum_lost, lost));
}

ACTIVATION_ROWS(gelu_tanh)

// tanh(a) = -E / (2 + E), E = exp(-2 a) - 1 = 2^n q + (2^n - 1), which keeps its relative accuracy at 0, where
// n is 0.
INLINE vfloat hyperbolic_tangent_lanes(vfloat x) {
  const vfloat a = v_min(v_set(10), v_abs(x));  // tanh(10) is 1 in float32
  vfloat n;
  const vfloat q = exp_reduced(v_mul(v_set(-2), a), v_set(0), &n);
  const vfloat power = v_scale(v_set(1), n);
  const vfloat e = v_fma(power, q, v_sub(power, v_set(1)));
  return v_copy_sign(v_div(e, v_add(v_set(2), e)), x);
}

ACTIVATION_ROWS(hyperbolic_tangent)

#endif
