// Multiply-adds without intrinsics: four lanes, which every processor of 64 bits has.

#include "peaks.h"

typedef float floats __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));

enum { LANES = 4 };

uint64_t ckernels_peak_fp32_plain(uint64_t rounds) {
  // Read through volatile: unknown to the compiler. The sums run to 1, and never become subnormal.
  static const volatile float half = 0.5f;
  const floats a = {half, half, half, half}, b = a;
#define START(n) floats s##n = {n, n, n, n};
#define STEP(n) s##n = s##n * a + b;
#define END(n) total += s##n;
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  floats total = {0};
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile float kept = total[0] + total[1] + total[2] + total[3];
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * LANES * 2;
}

// Without instructions for bytes, products of bytes are made of words.
uint64_t ckernels_peak_int8_plain(uint64_t rounds) {
  static const volatile uint32_t odd = 101;
  const words a = {odd, odd, odd, odd}, b = a;
#define START(n) words s##n = {n, n, n, n};
#define STEP(n) s##n = s##n * a + b;
#define END(n) total += s##n;
  CKERNELS_EACH_SUM(START)
  for (uint64_t round = 0; round < rounds; round++) { CKERNELS_EACH_SUM(STEP) }
  words total = {0};
  CKERNELS_EACH_SUM(END)
#undef START
#undef STEP
#undef END
  volatile uint32_t kept = total[0] + total[1] + total[2] + total[3];
  (void)kept;
  return rounds * CKERNELS_PEAK_SUMS * LANES * 2;
}
