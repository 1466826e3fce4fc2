/// Bodies of `pack_words` (see CKernelsProducts.h) and `transpose` (see CKernels.h) in the words of vector.h.

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

/// As `v_round_to_bfloat16`, as floats.
INLINE vfloat rounded(vfloat v) {
  uint16_t halves[LANES];
  v_round_to_bfloat16(halves, v);
  return v_from_bfloat16(halves);
}

/// The first n elements of a row, 0 behind them; all 0 for a row that is not there.
INLINE vfloat load_part(const bool is_there, const float *row, size_t n) {
  return !is_there ? v_set(0) : n == LANES ? v_load(row) : v_load_tail(row, n, 0);
}

/// A square of words is turned at a time: words of two rows of x each where these become pairs.
INLINE void transpose_words(const bool is_paired, const bool is_rounded, const float *x, size_t stride, size_t rows,
                            size_t columns, char *out, size_t out_stride) {
  const size_t each = is_paired ? 2 : 1;
  for (size_t c = 0; c < columns; c += LANES) {
    const size_t width = columns - c < LANES ? columns - c : LANES;
    for (size_t r = 0; r < rows; r += each * LANES) {
      const size_t left = rows - r, words = (left + each - 1) / each, height = words < LANES ? words : LANES;
      vfloat square[LANES];
#pragma clang loop unroll(full)
      for (size_t i = 0; i < LANES; i++) {
        const float *row = x + (r + each * i) * stride + c;
        const vfloat v = load_part(each * i < left, row, width);
        square[i] = is_rounded ? rounded(v) : v;
        if (is_paired) square[i] = v_pair_halves(square[i], rounded(load_part(each * i + 1 < left, row + stride, width)));
      }
      v_transpose(square);
      char *target = out + c * out_stride + r / each * 4;
      if (width == LANES && height == LANES) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < LANES; i++) v_store((float *)(target + i * out_stride), square[i]);
      } else {
        for (size_t i = 0; i < width; i++) v_store_tail((float *)(target + i * out_stride), square[i], height);
      }
    }
  }
}

TARGET static void transpose(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element, void *out,
                             size_t out_stride) {
  if (element == CKERNELS_FLOAT32)
    transpose_words(false, false, x, stride, rows, columns, out, out_stride);
  else if (element == CKERNELS_BFLOAT16)
    transpose_words(true, true, x, stride, rows, columns, out, out_stride);
  else
    transpose_words(false, true, x, stride, rows, columns, out, out_stride);
}

#endif
