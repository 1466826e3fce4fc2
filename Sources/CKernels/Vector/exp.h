/// exp(x + tail) and, roughly, 2^x for x <= 0, in the words of vector.h.

#ifndef CKERNELS_EXP_H
#define CKERNELS_EXP_H

/// Below it, exp rounds to 0: half of the smallest subnormal float is exp(-103.97).
#define LOWEST_EXPONENT (-104.0f)

/// exp(x + tail) = 2^n (1 + q): returns q, and n through the pointer, for x <= 0 or NaN and a tail of some ulp of
/// x (-0 where x is exact, which needs no addition). 1 + q is right to 1 ulp, q itself to some.
///
/// x = n ln 2 + r with |r| <= ln(2) / 2 (Cody, Waite: ln 2 in two parts, the first of 9 bits, so that n times
/// it is exact); exp(r) = 1 + r + r^2 p(r), where p is the degree 4 polynomial of least relative error
/// (3.1e-9), found by weighted least squares on Chebyshev nodes.
INLINE vfloat exp_reduced(vfloat x, vfloat tail, vfloat *n) {
  *n = v_round(v_mul(x, v_set(1.44269504f)));
  vfloat r = v_fnma(*n, v_set(0.693359375f), x);
  r = v_fnma(*n, v_set(-2.12194440e-4f), r);
  r = v_add(r, tail);
  vfloat p = v_set(0.00138142845f);
  p = v_fma(p, r, v_set(0.00836886838f));
  p = v_fma(p, r, v_set(0.0416684039f));
  p = v_fma(p, r, v_set(0.166665196f));
  p = v_fma(p, r, v_set(0.49999994f));
  return v_fma(v_mul(p, r), r, r);
}

/// exp(x + tail) to 1 ulp, for x in LOWEST_EXPONENT...0 or NaN and a tail of some ulp of x.
INLINE vfloat exp_nonpositive(vfloat x, vfloat tail) {
  vfloat n;
  const vfloat q = exp_reduced(x, tail, &n);
  return v_scale(v_add(v_set(1), q), n);
}

/// Below it, 2^x rounds to 0.
#define LOWEST_POWER (-150.0f)

/// 2^x within a part in 10,000, for x <= 0 or NaN: good for results of 8 bits. 2^f for 0 <= f <= 1 is the polynomial of degree 3 of least
/// relative error (7.5e-5).
INLINE vfloat rough_exp2(vfloat x) {
  const vfloat power = v_max(v_set(LOWEST_POWER), x);
  const vfloat f = v_fraction(power);
  vfloat p = v_fma(v_set(0.0780241673f), f, v_set(0.226067756f));
  p = v_fma(p, f, v_set(0.695833306f));
  p = v_fma(p, f, v_set(0.999925229f));
  return v_scale_by_floor(p, power);
}

#endif
