// Which variants this machine can run, and which one is used.

#ifdef __linux__
#define _GNU_SOURCE  // syscall
#endif
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "variants.h"

#if CKERNELS_X86
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

// Register states that the operating system saves on a context switch (XCR0): without its part, executing an
// instruction that CPUID announces faults, or loses the upper halves of registers.
enum {
  XCR0_AVX = 0x06,     // xmm, ymm
  XCR0_AVX512 = 0xe6,  // and opmask, upper half of zmm0-15, zmm16-31
  XCR0_AMX = 0x60000,  // shapes of the tiles, tiles
};

static uint64_t read_xcr0(void) {
  uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}

// Tiles are 8 KiB to save on each context switch of a thread: Linux grants them to a process that asks, for all of its threads, unless one has
// a stack for signals that they do not fit, and lets it make none such afterwards. So nobody asks before they are wanted. Elsewhere nobody has tried.
static bool system_grants_tiles(void) {
#ifdef __linux__
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };  // ARCH_REQ_XCOMP_PERM of arch_prctl(2), XFEATURE_XTILE_DATA
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
  return false;
#endif
}

// Whether there are 8 tiles of 16 rows of 64 bytes, as the kernels shape them.
static bool has_common_tiles(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) return false;
  return b >> 16 >= 8 && (b & 0xffff) >= 64 && (c & 0xffff) >= 16;
}

static bool processor_supports(ckernels_variant variant) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  const unsigned leaf1 = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
  if ((c & leaf1) != leaf1) return false;
  const uint64_t xcr0 = read_xcr0();
  unsigned subleaves, a1 = 0, b1, c1, d1;
  if (!__get_cpuid_count(7, 0, &subleaves, &b, &c, &d)) return false;
  if (subleaves >= 1) __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
  const unsigned avx_vnni = 1u << 4;  // of leaf 7.1, EAX
  const unsigned amx = 1u << 22 | 1u << 24 | 1u << 25;  // of leaf 7, EDX: AMX-BF16, AMX-TILE, AMX-INT8
  const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  const bool has_avx2 = (b & bit_AVX2) && (xcr0 & XCR0_AVX) == XCR0_AVX;
  const bool has_avx512 = has_avx2 && (b & avx512) == avx512 && (xcr0 & XCR0_AVX512) == XCR0_AVX512;
  const bool has_vnni = has_avx512 && (c & bit_AVX512VNNI);
  const bool has_bf16 = has_vnni && (a1 & bit_AVX512BF16);
  switch (variant) {
    case CKERNELS_AVX2: return has_avx2;
    case CKERNELS_AVX2_VNNI: return has_avx2 && (a1 & avx_vnni);
    case CKERNELS_AVX512: return has_avx512;
    case CKERNELS_AVX512_VNNI: return has_vnni;
    case CKERNELS_AVX512_BF16: return has_bf16;
    case CKERNELS_AMX: return has_bf16 && (d & amx) == amx && (xcr0 & XCR0_AMX) == XCR0_AMX && has_common_tiles();
    default: return true;
  }
}

// Whether VDPBF16PS is slower than what it replaces. Intel's processors with AVX512-FP16 (Sapphire Rapids and later) have AMX for bfloat16, and do
// half as many multiply-adds by VDPBF16PS as by the FMAs of float32 (Emerald Rapids: 112 and 222 GFLOP/s a core).
static bool multiplies_bfloat16_slowly(void) {
  unsigned a, b, c, d;
  const unsigned avx512_fp16 = 1u << 23;  // of leaf 7, EDX
  if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_INTEL_ebx) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & avx512_fp16);
}
#endif

enum { VARIANT_COUNT = CKERNELS_AMX + 1 };

static const char *const variant_names[VARIANT_COUNT] = {"plain",  "avx2",       "avx2vnni",
                                                           "avx512", "avx512vnni", "avx512bf16", "amx"};
static const ckernels_operations *tables[VARIANT_COUNT];  // NULL: not supported here
static ckernels_variant active = CKERNELS_PLAIN;
static pthread_once_t once = PTHREAD_ONCE_INIT, tiles_once = PTHREAD_ONCE_INIT;

static void ask_for_tiles(void) {
#if CKERNELS_X86
  if (processor_supports(CKERNELS_AMX) && system_grants_tiles()) tables[CKERNELS_AMX] = &ckernels_amx_operations;
#endif
}

/// The operations of a variant; asks for the tiles where it is the one that has them.
static const ckernels_operations *operations_of(int variant) {
  if (variant == CKERNELS_AMX) pthread_once(&tiles_once, ask_for_tiles);
  return tables[variant];
}

static void fill(void) {
  tables[CKERNELS_PLAIN] = &ckernels_plain_operations;
#if CKERNELS_X86
  if (processor_supports(CKERNELS_AVX2)) tables[CKERNELS_AVX2] = &ckernels_avx2_operations;
  if (processor_supports(CKERNELS_AVX2_VNNI)) tables[CKERNELS_AVX2_VNNI] = &ckernels_avx2vnni_operations;
  if (processor_supports(CKERNELS_AVX512)) tables[CKERNELS_AVX512] = &ckernels_avx512_operations;
  if (processor_supports(CKERNELS_AVX512_VNNI)) tables[CKERNELS_AVX512_VNNI] = &ckernels_avx512vnni_operations;
  if (processor_supports(CKERNELS_AVX512_BF16)) tables[CKERNELS_AVX512_BF16] = &ckernels_avx512bf16_operations;
#endif
  // A name that is unknown or not supported is ignored here; Swift's `KernelVariant.validateEnvironment`
  // reports it.
  const char *wanted = getenv("VITRINE_KERNELS");
  for (int variant = 0; wanted && variant < VARIANT_COUNT; variant++) {
    if (strcmp(wanted, variant_names[variant]) != 0 || !operations_of(variant)) continue;
    active = (ckernels_variant)variant;
    return;
  }
  for (int variant = 0; variant < VARIANT_COUNT; variant++)
    if (operations_of(variant)) active = (ckernels_variant)variant;
#if CKERNELS_X86
  if (active == CKERNELS_AVX512_BF16 && multiplies_bfloat16_slowly()) active = CKERNELS_AVX512_VNNI;
#endif
}

const ckernels_operations *ckernels_operations_of(ckernels_variant variant) {
  pthread_once(&once, fill);
  return (unsigned)variant < VARIANT_COUNT ? operations_of((int)variant) : NULL;
}

ckernels_variant ckernels_active_variant(void) {
  pthread_once(&once, fill);
  return active;
}

const ckernels_operations *ckernels_active_operations(void) {
  pthread_once(&once, fill);
  return tables[active];
}
