// Which of the loops this machine can run.

#include <pthread.h>

#include "peaks.h"

// int8 has the most loops.
enum { TYPE_COUNT = CKERNELS_PEAK_INT8 + 1, LARGEST_COUNT = 6 };

static struct {
  ckernels_peak_loop loops[LARGEST_COUNT];
  size_t count;
} types[TYPE_COUNT];

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add(ckernels_peak_type type, const char *instructions, uint64_t (*run)(uint64_t)) {
  types[type].loops[types[type].count++] = (ckernels_peak_loop){instructions, run};
}

#if CKERNELS_X86
#include <cpuid.h>
#include <stdbool.h>

// What CPUID announces counts only where the operating system saves the registers (XCR0; see ../dispatch.c).
static void add_x86(void) {
  add(CKERNELS_PEAK_INT8, "SSE2", ckernels_peak_int8_sse2);
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return;
  if ((c & (bit_OSXSAVE | bit_AVX | bit_FMA)) != (bit_OSXSAVE | bit_AVX | bit_FMA)) return;
  uint32_t xcr0, high;
  __asm__ __volatile__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  unsigned subleaves, b7, c7, a71 = 0;
  if (!__get_cpuid_count(7, 0, &subleaves, &b7, &c7, &d)) return;
  if (subleaves >= 1) __get_cpuid_count(7, 1, &a71, &b, &c, &d);

  const bool avx2 = (b7 & bit_AVX2) && (xcr0 & 0x06) == 0x06;
  const bool avx512 = avx2 && (b7 & bit_AVX512F) && (xcr0 & 0xe6) == 0xe6;
  const unsigned avx_vnni = 1u << 4, avx512_bf16 = 1u << 5;  // of leaf 7.1, EAX
  if (avx2) {
    add(CKERNELS_PEAK_FP32, "AVX2", ckernels_peak_fp32_avx2);
    add(CKERNELS_PEAK_INT8, "AVX2", ckernels_peak_int8_avx2);
    if (a71 & avx_vnni) add(CKERNELS_PEAK_INT8, "AVX-VNNI", ckernels_peak_int8_avx_vnni);
  }
  if (avx512) {
    add(CKERNELS_PEAK_FP32, "AVX-512", ckernels_peak_fp32_avx512);
    if (a71 & avx512_bf16) add(CKERNELS_PEAK_BF16, "AVX512-BF16", ckernels_peak_bf16_avx512);
    if (c7 & bit_AVX512VNNI) add(CKERNELS_PEAK_INT8, "AVX512-VNNI", ckernels_peak_int8_avx512_vnni);
  }
  // Whose tiles the system has to grant.
  if (ckernels_operations_of(CKERNELS_AMX)) {
    add(CKERNELS_PEAK_BF16, "AMX", ckernels_peak_bf16_amx);
    add(CKERNELS_PEAK_INT8, "AMX", ckernels_peak_int8_amx);
  }
}
#endif

static void fill(void) {
  add(CKERNELS_PEAK_FP32, "plain C", ckernels_peak_fp32_plain);
  add(CKERNELS_PEAK_INT8, "plain C", ckernels_peak_int8_plain);
#if CKERNELS_X86
  add_x86();
#endif
}

size_t ckernels_peak_loop_count(ckernels_peak_type type) {
  pthread_once(&once, fill);
  return (unsigned)type < TYPE_COUNT ? types[type].count : 0;
}

ckernels_peak_loop ckernels_peak_loop_at(ckernels_peak_type type, size_t index) {
  pthread_once(&once, fill);
  return types[type].loops[index];
}
