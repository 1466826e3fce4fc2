/// Body of `gelu` (see CKernels.h) in the words of vector.h.

#include "activation_rows.h"
#include "exp.h"

// gelu(x) = max(x, 0) - a Q(a) with a = |x| and Q(a) = 1 - Phi(a), the upper tail of the normal distribution:
// no cancellation on either side, and x / 2 for tiny x. Q(a) = exp(-a^2 / 2) R(a); R falls smoothly from 1/2
// and is approximated by t P(t) with t = 1 / (1 + 0.3 a), P of degree 9 (relative error 1.2e-8 on 0...15
// after rounding the coefficients; weighted least squares, as for exp). In float32 the result stays within 4
// units of 2^-23.
INLINE vfloat gelu_lanes(vfloat x) {
  // Q(15) is 0 in float32. The bound keeps a * Q(a) from becoming inf * 0; NaN passes.
  const vfloat a = v_min(v_set(15), v_abs(x));
  // a^2 rounded would cost a^2 / 4 ulp of exp: carry its rounding error along.
  const vfloat square = v_mul(a, a);
  const vfloat lost = v_fma(a, a, v_sub(v_set(0), square));
  const vfloat half = v_set(-0.5f);
  const vfloat exponent = v_max(v_set(LOWEST_EXPONENT), v_mul(half, square));
  const vfloat bell = exp_nonpositive(exponent, v_mul(half, lost));

  const vfloat t = v_div(v_set(1), v_fma(a, v_set(0.3f), v_set(1)));
  vfloat p = v_set(-0.0206286144f);
  p = v_fma(p, t, v_set(0.112464547f));
  p = v_fma(p, t, v_set(-0.228284255f));
  p = v_fma(p, t, v_set(0.191882625f));
  p = v_fma(p, t, v_set(-0.0795086473f));
  p = v_fma(p, t, v_set(0.0962046683f));
  p = v_fma(p, t, v_set(0.0783722997f));
  p = v_fma(p, t, v_set(0.110239334f));
  p = v_fma(p, t, v_set(0.119571321f));
  p = v_fma(p, t, v_set(0.119686715f));
  const vfloat tail = v_mul(v_mul(p, t), bell);
  return v_fnma(a, tail, v_max(v_set(0), x));
}

ACTIVATION_ROWS(gelu)
