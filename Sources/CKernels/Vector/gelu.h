/// Body of `gelu` (see CKernels.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_GELU_H
#define CKERNELS_VECTOR_GELU_H

#include "activation_rows.h"
#include "exp.h"
#include "gelu_polynomials.h"

// Two forms for the whole of float32, of which none cancels. Their polynomials: scripts/reference/gelu_polynomials.py. Both together are
// within 3.5 units of 2^-23, and free of bias: a thousand errors of one sign would add up in the next product.

// |x| < 1: gelu(x) = x (1/2 + x S(x^2)), S of degree 5 (relative error 3.6e-9).
INLINE vfloat gelu_centre(vfloat x, vfloat square) {
  return v_mul(x, v_fma(x, gelu_centre_polynomial(square), v_set(0.5f)));
}

// |x| >= 1: gelu(x) = max(x, 0) - a Q(a) with a = |x| and Q(a) = 1 - Phi(a), the upper tail of the normal
// distribution. Q(a) = exp(-a^2 / 2) R(a); R falls smoothly and is t P(t) with t = 1 / (1 + 0.4 a), P of degree 8
// (relative error 5.4e-9 on 1...15).
INLINE vfloat gelu_tails(vfloat x, vfloat a, vfloat square) {
  // a^2 rounded would cost a^2 / 4 ulp of exp: carry its rounding error along.
  const vfloat lost = v_fma(a, a, v_sub(v_set(0), square));
  const vfloat half = v_set(-0.5f);
  const vfloat exponent = v_max(v_set(LOWEST_EXPONENT), v_mul(half, square));
  const vfloat bell = exp_nonpositive(exponent, v_mul(half, lost));

  return v_fnma(a, v_mul(gelu_tail_polynomial(a), bell), v_max(v_set(0), x));
}

INLINE vfloat gelu_lanes(vfloat x) {
  // Q(15) is 0 in float32. The bound keeps a * Q(a) from becoming inf * 0; NaN passes.
  const vfloat a = v_min(v_set(15), v_abs(x));
  const vfloat square = v_mul(a, a);
  return v_where_below(a, 1, gelu_centre(x, square), gelu_tails(x, a, square));
}

/// Within 5e-5 of gelu(x), for results that are rounded to 8 bits or so anyway: x (1/2 + x R(x^2)), R of degree 8 (2e-5), and 0 below
/// -4.25, where gelu(x) is -4.5e-5 and rises.
INLINE vfloat rough_gelu_lanes(vfloat x) {
  const vfloat y = v_min(v_set(4.25f), v_max(v_set(-4.25f), x));
  const vfloat square = v_mul(y, y);
  vfloat r = v_set(4.54939073e-11f);
  r = v_fma(r, square, v_set(-4.51701387e-9f));
  r = v_fma(r, square, v_set(1.98667678e-7f));
  r = v_fma(r, square, v_set(-5.14834119e-6f));
  r = v_fma(r, square, v_set(8.84965993e-5f));
  r = v_fma(r, square, v_set(-0.00107911543f));
  r = v_fma(r, square, v_set(0.00971887447f));
  r = v_fma(r, square, v_set(-0.0661903769f));
  r = v_fma(r, square, v_set(0.398819208f));
  return v_where_below(x, -4.25f, v_set(0), v_mul(x, v_fma(y, r, v_set(0.5f))));
}

ACTIVATION_ROWS(gelu)

#endif
