// VNNI: dot products of four unsigned with four signed bytes, added to 32 bits, in one instruction.

#include "peaks.h"

#if CKERNELS_X86
#include <immintrin.h>

// AVX-VNNI: 32 bytes.
__attribute__((target("avx2,avxvnni"))) uint64_t ckernels_peak_int8_avx_vnni(uint64_t rounds) {
  static const volatile char some = 3;
  const __m256i a = _mm256_set1_epi8(some), b = a;
#define START(n) __m256i s##n = _mm256_set1_epi32(n);
#define STEP(n) s##n = _mm256_dpbusd_avx_epi32(s##n, a, b);
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

// AVX512-VNNI: 64 bytes.
__attribute__((target("avx512f,avx512vnni"))) uint64_t ckernels_peak_int8_avx512_vnni(uint64_t rounds) {
  static const volatile char some = 3;
  const __m512i a = _mm512_set1_epi32(some), b = a;
#define START(n) __m512i s##n = _mm512_set1_epi32(n);
#define STEP(n) s##n = _mm512_dpbusd_epi32(s##n, a, b);
#define END(n) total = _mm512_add_epi32(total, s##n);
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  __m512i total = _mm512_setzero_si512();
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile int kept = _mm512_reduce_add_epi32(total);
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * 64 * 2;
}
#endif
