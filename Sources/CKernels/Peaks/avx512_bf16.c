// AVX512-BF16: 32 products of bfloat16, added in pairs to 16 floats.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

__attribute__((target("avx512f,avx512bf16"))) uint64_t ckernels_peak_bf16_avx512(uint64_t rounds) {
  static const volatile float some = 0.5f;
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(some), _mm512_set1_ps(some)), b = a;
#define START(n) __m512 s##n = _mm512_set1_ps(n);
#define STEP(n) s##n = _mm512_dpbf16_ps(s##n, a, b);
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
  return rounds * CKERNELS_PEAK_SUMS * 32 * 2;
}
#endif
