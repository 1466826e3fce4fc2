/// The vector words (see vector.h) in AVX-512F.

#include "vector.h"

#define TARGET __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline, target("avx512f")))

enum { LANES = 16 };
typedef __m512 vfloat;
typedef __mmask16 vseen;

INLINE vfloat v_set(float x) { return _mm512_set1_ps(x); }
INLINE vfloat v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vfloat v) { _mm512_storeu_ps(p, v); }

INLINE __mmask16 lane_mask(size_t n) { return (__mmask16)((1u << n) - 1); }

INLINE vfloat v_load_tail(const float *p, size_t n, float fill) {
  return _mm512_mask_loadu_ps(v_set(fill), lane_mask(n), p);
}
INLINE void v_store_tail(float *p, vfloat v, size_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), v); }
INLINE vfloat v_keep(vfloat v, size_t n) { return _mm512_maskz_mov_ps(lane_mask(n), v); }

INLINE vfloat v_add(vfloat a, vfloat b) { return _mm512_add_ps(a, b); }
INLINE vfloat v_sub(vfloat a, vfloat b) { return _mm512_sub_ps(a, b); }
INLINE vfloat v_mul(vfloat a, vfloat b) { return _mm512_mul_ps(a, b); }
INLINE vfloat v_div(vfloat a, vfloat b) { return _mm512_div_ps(a, b); }
INLINE vfloat v_fma(vfloat a, vfloat b, vfloat c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vfloat v_fnma(vfloat a, vfloat b, vfloat c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE vfloat v_max(vfloat a, vfloat b) { return _mm512_max_ps(a, b); }
INLINE vfloat v_min(vfloat a, vfloat b) { return _mm512_min_ps(a, b); }
INLINE vfloat v_abs(vfloat v) { return _mm512_abs_ps(v); }
INLINE vfloat v_round(vfloat v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat v_scale(vfloat v, vfloat n) { return _mm512_scalef_ps(v, n); }

INLINE float v_sum(vfloat v) { return _mm512_reduce_add_ps(v); }
INLINE float v_largest(vfloat v) { return _mm512_reduce_max_ps(v); }

INLINE vseen v_nothing_seen(void) { return 0; }
INLINE vseen v_nonfinite(vseen seen, vfloat v) {
  const __m512i largest = _mm512_set1_epi32(0x7f7fffff);  // bits of the largest finite float
  return seen | _mm512_cmpgt_epi32_mask(_mm512_castps_si512(v_abs(v)), largest);
}
INLINE bool v_any_seen(vseen seen) { return seen != 0; }

// LANES halves at source, as floats.
INLINE vfloat v_from_float16(const void *source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source));
}
INLINE vfloat v_from_bfloat16(const void *source) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)source));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
