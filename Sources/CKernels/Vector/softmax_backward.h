/// Body of `softmax_backward` (see CKernelsTraining.h) in the words of vector.h.

TARGET static void softmax_backward(const float *p, size_t p_stride, float *dp, size_t dp_stride, size_t rows,
                                    size_t columns, float scale) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  const vfloat factor = v_set(scale);
  for (size_t r = 0; r < rows; r++, p += p_stride, dp += dp_stride) {
    vfloat sums = v_set(0);
    for (size_t i = 0; i < whole; i += LANES) sums = v_fma(v_load(p + i), v_load(dp + i), sums);
    if (rest) sums = v_fma(v_load_tail(p + whole, rest, 0), v_load_tail(dp + whole, rest, 0), sums);
    const vfloat sum = v_set(v_sum(sums));
    for (size_t i = 0; i < whole; i += LANES) {
      const vfloat scaled = v_mul(factor, v_load(p + i));
      v_store(dp + i, v_mul(scaled, v_sub(v_load(dp + i), sum)));
    }
    if (rest) {
      const vfloat scaled = v_mul(factor, v_load_tail(p + whole, rest, 0));
      v_store_tail(dp + whole, v_mul(scaled, v_sub(v_load_tail(dp + whole, rest, 0), sum)), rest);
    }
  }
}
