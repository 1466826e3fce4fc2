// SSE2, which every x86-64 has: products of bytes are products of 8 words of 16 bits.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

uint64_t ckernels_peak_int8_sse2(uint64_t rounds) {
  static const volatile short some = 3;
  const __m128i b = _mm_set1_epi16(some);
  __m128i a = b;
#define START(n) __m128i s##n = _mm_set1_epi32(n);
  // See avx2.c for the empty statement.
#define STEP(n)                 \
  __asm__ volatile("" : "+x"(a)); \
  s##n = _mm_add_epi32(s##n, _mm_madd_epi16(a, b));
#define END(n) total = _mm_add_epi32(total, s##n);
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  __m128i total = _mm_setzero_si128();
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile int kept = _mm_cvtsi128_si32(total);
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * 8 * 2;
}
#endif
