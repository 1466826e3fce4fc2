/// The polynomials of GELU and of its derivative, fitted by scripts/reference/gelu_polynomials.py, in the words of vector.h. gelu.h explains them.

#ifndef CKERNELS_VECTOR_GELU_POLYNOMIALS_H
#define CKERNELS_VECTOR_GELU_POLYNOMIALS_H

/// S(x^2)
INLINE vfloat gelu_centre_polynomial(vfloat square) {
  vfloat s = v_set(-7.83626638e-6f);
  s = v_fma(s, square, v_set(1.14103583e-4f));
  s = v_fma(s, square, v_set(-0.00118712115f));
  s = v_fma(s, square, v_set(0.00997379422f));
  s = v_fma(s, square, v_set(-0.0664904863f));
  return v_fma(s, square, v_set(0.398942292f));
}

/// R(a) = t P(t)
INLINE vfloat gelu_tail_polynomial(vfloat a) {
  const vfloat t = v_div(v_set(1), v_fma(a, v_set(0.4f), v_set(1)));
  vfloat p = v_set(-0.0577764884f);
  p = v_fma(p, t, v_set(0.194134966f));
  p = v_fma(p, t, v_set(-0.207787752f));
  p = v_fma(p, t, v_set(0.0294890422f));
  p = v_fma(p, t, v_set(0.00394879049f));
  p = v_fma(p, t, v_set(0.0847182348f));
  p = v_fma(p, t, v_set(0.133995652f));
  p = v_fma(p, t, v_set(0.159567416f));
  p = v_fma(p, t, v_set(0.159577623f));
  return v_mul(p, t);
}

#endif
