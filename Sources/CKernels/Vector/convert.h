/// Bodies of the conversions (see CKernels.h) in the words of vector.h.

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
