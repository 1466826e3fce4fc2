// AVX-512F: 16 floats.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

__attribute__((target("avx512f"))) uint64_t ckernels_peak_fp32_avx512(uint64_t rounds) {
  static const volatile float half = 0.5f;
  const __m512 a = _mm512_set1_ps(half), b = a;
#define START(n) __m512 s##n = _mm512_set1_ps(n);
#define STEP(n) s##n = _mm512_fmadd_ps(s##n, a, b);
#define END(n) total = _mm512_add_ps(total, s##n);
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  __m512 total = _mm512_setzero_ps();
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile float kept = _mm512_reduce_add_ps(total);
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * 16 * 2;
}
#endif
