/// Bodies of the conversions (see CKernels.h) in the words of vector.h.

#include "../halves.h"

// The tail goes through a whole vector on the stack: masked loads of 16-bit lanes would need AVX-512BW.

TARGET static void float16_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  const size_t rest = count % LANES;
  for (size_t i = 0; i < count - rest; i += LANES) v_store(out + i, v_from_float16(bytes + 2 * i));
  if (rest) {
    uint16_t last[LANES] = {0};
    memcpy(last, bytes + 2 * (count - rest), 2 * rest);
    v_store_tail(out + count - rest, v_from_float16(last), rest);
  }
}

TARGET static void bfloat16_to_float32(const void *source, float *out, size_t count) {
  const unsigned char *bytes = source;
  const size_t rest = count % LANES;
  for (size_t i = 0; i < count - rest; i += LANES) v_store(out + i, v_from_bfloat16(bytes + 2 * i));
  if (rest) {
    uint16_t last[LANES] = {0};
    memcpy(last, bytes + 2 * (count - rest), 2 * rest);
    v_store_tail(out + count - rest, v_from_bfloat16(last), rest);
  }
}

/// Defines `name`, which stores halves by the word and returns whether no finite value reached `too_large`.
#define CONVERT_TO_HALVES(name, word, too_large)                                                            \
  TARGET static bool name(const float *x, void *out, size_t count) {                                        \
    unsigned char *bytes = out;                                                                             \
    const size_t rest = count % LANES;                                                                      \
    vseen seen = v_nothing_seen();                                                                          \
    for (size_t i = 0; i < count - rest; i += LANES) {                                                      \
      const vfloat v = v_load(x + i);                                                                       \
      seen = v_between(seen, v, too_large, INFINITY);                                                       \
      word(bytes + 2 * i, v);                                                                               \
    }                                                                                                       \
    if (rest) {                                                                                             \
      const vfloat v = v_load_tail(x + count - rest, rest, 0);                                              \
      seen = v_between(seen, v, too_large, INFINITY);                                                       \
      uint16_t last[LANES];                                                                                 \
      word(last, v);                                                                                        \
      memcpy(bytes + 2 * (count - rest), last, 2 * rest);                                                   \
    }                                                                                                       \
    return !v_any_seen(seen);                                                                               \
  }

CONVERT_TO_HALVES(float32_to_float16, v_to_float16, LEAST_INFINITE_FLOAT16)
CONVERT_TO_HALVES(float32_to_bfloat16, v_to_bfloat16, LEAST_INFINITE_BFLOAT16)
