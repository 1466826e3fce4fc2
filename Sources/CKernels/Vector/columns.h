/// Bodies of `column_moments` and `normalize_columns` (see CKernels.h) in the words of vector.h.

INLINE void column_moments_block(const float *x, size_t stride, size_t rows, size_t columns,
                                 const float *center, double *sums, double *squares) {
  enum { HALF = LANES / 2 };
  const size_t whole = columns - columns % LANES;
  for (size_t i = 0; i < whole; i += LANES) {
    const vdouble low_center = v_low(v_load(center + i)), high_center = v_high(v_load(center + i));
    vdouble low_sum = d_load(sums + i), high_sum = d_load(sums + i + HALF);
    vdouble low_squares = d_load(squares + i), high_squares = d_load(squares + i + HALF);
    for (size_t r = 0; r < rows; r++) {
      const vfloat v = v_load(x + r * stride + i);
      const vdouble low = d_sub(v_low(v), low_center), high = d_sub(v_high(v), high_center);
      low_sum = d_add(low_sum, low);
      high_sum = d_add(high_sum, high);
      low_squares = d_fma(low, low, low_squares);
      high_squares = d_fma(high, high, high_squares);
    }
    d_store(sums + i, low_sum);
    d_store(sums + i + HALF, high_sum);
    d_store(squares + i, low_squares);
    d_store(squares + i + HALF, high_squares);
  }
  for (size_t i = whole; i < columns; i++)
    for (size_t r = 0; r < rows; r++) {
      const double d = (double)x[r * stride + i] - center[i];
      sums[i] += d;
      squares[i] += d * d;
    }
}

TARGET static void column_moments(const float *x, size_t stride, size_t rows, size_t columns,
                                  const float *center, double *sums, double *squares) {
  enum { BLOCK = 64 };  // rows that are walked down before the next columns: near enough to be fetched ahead
  for (size_t r = 0; r < rows; r += BLOCK) {
    const size_t count = rows - r < BLOCK ? rows - r : BLOCK;
    column_moments_block(x + r * stride, stride, count, columns, center, sums, squares);
  }
}

TARGET static void normalize_columns(const float *x, size_t x_stride, float *out, size_t out_stride,
                                     size_t rows, size_t columns, const float *center, const float *scale,
                                     const float *shift) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride) {
    for (size_t i = 0; i < whole; i += LANES) {
      const vfloat d = v_sub(v_load(x + i), v_load(center + i));
      v_store(out + i, v_fma(d, v_load(scale + i), v_load(shift + i)));
    }
    if (rest) {
      const vfloat d = v_sub(v_load_tail(x + whole, rest, 0), v_load_tail(center + whole, rest, 0));
      const vfloat v = v_fma(d, v_load_tail(scale + whole, rest, 0), v_load_tail(shift + whole, rest, 0));
      v_store_tail(out + whole, v, rest);
    }
  }
}
