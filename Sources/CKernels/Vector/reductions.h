/// Bodies of `add_column_sums`, `add_column_products`, `sum_of_squares` and `accumulate` (see CKernelsTraining.h) in the words of
/// vector.h.

TARGET static void add_column_sums(const float *x, size_t stride, size_t rows, size_t columns, float *sums) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  // Four columns of vectors at a time, down all rows: a cache line each, and four independent chains.
  size_t i = 0;
  for (; i + 4 * LANES <= whole; i += 4 * LANES) {
    vfloat a = v_set(0), b = a, c = a, d = a;
    for (size_t r = 0; r < rows; r++) {
      const float *row = x + r * stride + i;
      a = v_add(a, v_load(row));
      b = v_add(b, v_load(row + LANES));
      c = v_add(c, v_load(row + 2 * LANES));
      d = v_add(d, v_load(row + 3 * LANES));
    }
    v_store(sums + i, v_add(v_load(sums + i), a));
    v_store(sums + i + LANES, v_add(v_load(sums + i + LANES), b));
    v_store(sums + i + 2 * LANES, v_add(v_load(sums + i + 2 * LANES), c));
    v_store(sums + i + 3 * LANES, v_add(v_load(sums + i + 3 * LANES), d));
  }
  for (; i < whole; i += LANES) {
    vfloat a = v_set(0);
    for (size_t r = 0; r < rows; r++) a = v_add(a, v_load(x + r * stride + i));
    v_store(sums + i, v_add(v_load(sums + i), a));
  }
  if (rest) {
    vfloat a = v_set(0);
    for (size_t r = 0; r < rows; r++) a = v_add(a, v_load_tail(x + r * stride + whole, rest, 0));
    v_store_tail(sums + whole, v_add(v_load_tail(sums + whole, rest, 0), a), rest);
  }
}

TARGET static void add_column_products(const float *x, size_t x_stride, const float *y, size_t y_stride,
                                       size_t rows, size_t columns, float scale, float *sums) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  const vfloat factor = v_set(scale);
  for (size_t i = 0; i < whole; i += LANES) {
    vfloat a = v_set(0);
    for (size_t r = 0; r < rows; r++) a = v_fma(v_load(x + r * x_stride + i), v_load(y + r * y_stride + i), a);
    v_store(sums + i, v_fma(factor, a, v_load(sums + i)));
  }
  if (rest) {
    vfloat a = v_set(0);
    for (size_t r = 0; r < rows; r++) {
      const vfloat v = v_load_tail(y + r * y_stride + whole, rest, 0);
      a = v_fma(v_load_tail(x + r * x_stride + whole, rest, 0), v, a);
    }
    v_store_tail(sums + whole, v_fma(factor, a, v_load_tail(sums + whole, rest, 0)), rest);
  }
}

TARGET static double sum_of_squares(const float *x, size_t count) {
  enum { BLOCK = 1024 };  // squares of so many floats are summed in float32, in LANES chains
  double sum = 0;
  for (size_t start = 0; start < count; start += BLOCK) {
    const size_t length = count - start < BLOCK ? count - start : BLOCK;
    const size_t whole = length - length % LANES, rest = length % LANES;
    const float *block = x + start;
    vfloat squares = v_set(0);
    for (size_t i = 0; i < whole; i += LANES) squares = v_fma(v_load(block + i), v_load(block + i), squares);
    if (rest) {
      const vfloat last = v_load_tail(block + whole, rest, 0);
      squares = v_fma(last, last, squares);
    }
    sum += v_sum(squares);
  }
  return sum;
}

TARGET static void accumulate(float *x, const float *y, size_t count) {
  const size_t whole = count - count % LANES, rest = count % LANES;
  for (size_t i = 0; i < whole; i += LANES) v_store(x + i, v_add(v_load(x + i), v_load(y + i)));
  if (rest) {
    const vfloat last = v_load_tail(y + whole, rest, 0);
    v_store_tail(x + whole, v_add(v_load_tail(x + whole, rest, 0), last), rest);
  }
}
