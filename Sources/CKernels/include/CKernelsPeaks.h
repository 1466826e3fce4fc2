/// Loops of nothing but multiply-adds in registers: what they reach is the most that a core can do.
///
/// They are the yardstick for matrix products, whose operands must come from memory. A multiply-add counts as two
/// operations.

#ifndef CKERNELS_PEAKS_H
#define CKERNELS_PEAKS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __clang__
#pragma clang assume_nonnull begin
#endif

/// What is multiplied, and added in 32 bits.
typedef enum {
  CKERNELS_PEAK_FP32 = 0,
  CKERNELS_PEAK_BF16 = 1,
  CKERNELS_PEAK_INT8 = 2,
} ckernels_peak_type;

/// The loop of one instruction set.
typedef struct {
  /// The instructions, as their maker calls them.
  const char *instructions;
  /// Runs the loop's body `rounds` times on the calling thread; returns the operations done.
  uint64_t (*run)(uint64_t rounds);
} ckernels_peak_loop;

/// The number of loops of a type that this build, processor and operating system have; 0 where the type has no
/// instructions here.
size_t ckernels_peak_loop_count(ckernels_peak_type type);

/// The loop of that index, from the narrowest instructions to the widest. index: below ckernels_peak_loop_count.
ckernels_peak_loop ckernels_peak_loop_at(ckernels_peak_type type, size_t index);

#ifdef __clang__
#pragma clang assume_nonnull end
#endif

#endif
