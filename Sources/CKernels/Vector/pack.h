/// Body of `pack_words` (see CKernelsProducts.h) in the words of vector.h.

#ifndef CKERNELS_VECTOR_PACK_H
#define CKERNELS_VECTOR_PACK_H

TARGET static void pack_words(const void *w, size_t stride, size_t outputs, size_t count, void *panel) {
  const float *rows = w;
  float *target = panel;
  for (size_t k = 0; k < count; k += LANES, target += LANES * 2 * LANES) {
    const size_t n = count - k < LANES ? count - k : LANES;
    for (size_t half = 0; half < 2; half++) {
      vfloat block[LANES];
      const size_t first = half * LANES;
#pragma clang loop unroll(full)
      for (size_t i = 0; i < LANES; i++) {
        const float *row = rows + (first + i) * stride + k;
        block[i] = first + i >= outputs ? v_set(0) : n == LANES ? v_load(row) : v_load_tail(row, n, 0);
      }
      v_transpose(block);
      float *columns = target + first;
      if (n == LANES) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < LANES; i++) v_store(columns + i * 2 * LANES, block[i]);
      } else {
        for (size_t i = 0; i < n; i++) v_store(columns + i * 2 * LANES, block[i]);
      }
    }
  }
}

#endif
