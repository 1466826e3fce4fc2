/// Body of `gelu` (see CKernels.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_GELU_H
#define CKERNELS_VECTOR_GELU_H

#include "activation_rows.h"
#include "exp.h"

#ifdef V_HAS_TABLES
#include "gelu_tables.h"

// gelu(x) = max(x, 0) - a Q(a) with a = |x| and Q(a) = 1 - Phi(a), the upper tail of the normal distribution, which is a polynomial in each
// part of 1/4 around a multiple of that, of tables with the powers' coefficients by part; 0 in the last, from 7 5/8 on. With degree 5 the result
// is within 3.5 units of 2^-23 plus 1e-10, and free of bias: a thousand errors of one sign would add up in the next product.

/// Evaluates the polynomials of a table, lowest power first.
INLINE vfloat gelu_of_table(const size_t degree, const float (*table)[32], vfloat x) {
  // The bound is a = 7 3/4, in the last part; NaN passes.
  const vfloat a = v_min(v_set(7.75f), v_abs(x));
  // With 1.5 * 2^23 a sum is rounded to an integer, which its lowest bits are.
  const vfloat magic = v_set(0x1.8p23f);
  const vfloat part = v_fma(a, v_set(4), magic);
  const vfloat d = v_fnma(v_sub(part, magic), v_set(0.25f), a);
  vfloat q = v_look_up(table[degree], part);
#pragma clang loop unroll(full)
  for (size_t power = degree; power > 0; power--) q = v_fma(q, d, v_look_up(table[power - 1], part));
  return v_fnma(a, q, v_max(v_set(0), x));
}

INLINE vfloat gelu_lanes(vfloat x) { return gelu_of_table(5, gelu_table, x); }

/// Within 5e-5 max(1, x), for results that are rounded to 8 bits or so anyway.
INLINE vfloat rough_gelu_lanes(vfloat x) { return gelu_of_table(2, rough_gelu_table, x); }
#else
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

/// Within 5e-5 max(1, x), for results that are rounded to 8 bits or so anyway: x (1/2 + x R(x^2)), R of degree 8 (2e-5), and 0 below
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
#endif

ACTIVATION_ROWS(gelu)

#endif
