/// Shared by the loops.
///
/// Each loop carries sums whose next value needs the one before, so that the compiler can neither shorten nor
/// leave out a round; and as many sums as hide the latency of an instruction (4 to 6 cycles, two a cycle): 12.

#ifndef CKERNELS_PEAKS_LOOPS_H
#define CKERNELS_PEAKS_LOOPS_H

#include "../include/CKernels.h"
#include "../variants.h"

enum { CKERNELS_PEAK_SUMS = 12 };

/// The statement for each of the sums, by their number: sums that are variables of their own stay in registers
/// whatever the compiler's mind about unrolling.
#define CKERNELS_EACH_SUM(DO) \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

uint64_t ckernels_peak_fp32_plain(uint64_t rounds);
uint64_t ckernels_peak_int8_plain(uint64_t rounds);
#if CKERNELS_X86
uint64_t ckernels_peak_fp32_avx2(uint64_t rounds);
uint64_t ckernels_peak_fp32_avx512(uint64_t rounds);
uint64_t ckernels_peak_bf16_avx512(uint64_t rounds);
uint64_t ckernels_peak_int8_sse2(uint64_t rounds);
uint64_t ckernels_peak_int8_avx2(uint64_t rounds);
uint64_t ckernels_peak_int8_avx_vnni(uint64_t rounds);
uint64_t ckernels_peak_int8_avx512_vnni(uint64_t rounds);
uint64_t ckernels_peak_bf16_amx(uint64_t rounds);
uint64_t ckernels_peak_int8_amx(uint64_t rounds);
#endif

#endif
