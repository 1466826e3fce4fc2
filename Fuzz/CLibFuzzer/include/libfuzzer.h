// Why this file exists: libFuzzer and the sanitizers' allocator come with the compiler as libraries without headers.
#ifndef CLIBFUZZER_H
#define CLIBFUZZER_H

#include <stddef.h>
#include <stdint.h>

/// libFuzzer's own mutations, for mutators that know a format: changes `count` bytes in place, and returns how many there are then.
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t count, size_t capacity);

/// Begins to count the bytes that are allocated and not freed.
void allocation_start(void);

/// The largest number of bytes that were allocated at once since `allocation_start`.
size_t allocation_peak(void);

/// Makes an input that shows something new, by any number that stands for it, worth keeping.
void feature_seen(uint32_t feature);

#endif
