// AVX2 and FMA: 8 floats, 32 bytes.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

__attribute__((target("avx2,fma"))) uint64_t ckernels_peak_fp32_avx2(uint64_t rounds) {
  static const volatile float half = 0.5f;
  const __m256 a = _mm256_set1_ps(half), b = a;
#define START(n) __m256 s##n = _mm256_set1_ps(n);
#define STEP(n) s##n = _mm256_fmadd_ps(s##n, a, b);
#define END(n) total = _mm256_add_ps(total, s##n);
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  __m256 total = _mm256_setzero_ps();
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile float kept = _mm256_cvtss_f32(total);
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * 8 * 2;
}

// Without VNNI a dot product of four bytes takes three instructions: unsigned times signed bytes to pairs of 16
// bits, those to 32 bits, and the sum.
__attribute__((target("avx2"))) uint64_t ckernels_peak_int8_avx2(uint64_t rounds) {
  static const volatile char some = 3;
  const __m256i b = _mm256_set1_epi8(some), ones = _mm256_set1_epi16(1);
  __m256i a = b;
#define START(n) __m256i s##n = _mm256_set1_epi32(n);
  // The empty statement makes `a` another value in the compiler's eyes, which would do each product but once.
#define STEP(n)                 \
  __asm__ volatile("" : "+x"(a)); \
  s##n = _mm256_add_epi32(s##n, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
#define END(n) total = _mm256_add_epi32(total, s##n);
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  __m256i total = _mm256_setzero_si256();
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile int kept = _mm256_extract_epi32(total, 0);
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * 32 * 2;
}
#endif
