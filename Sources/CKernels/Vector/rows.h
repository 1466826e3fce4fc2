/// Bodies of `add_residual`, `multiply` and `maximum` (see CKernels.h) in the words of vector.h.

TARGET static void add_residual(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                                size_t columns, const float *gamma, const float *bias) {
  const size_t whole = columns - columns % LANES, rest = columns % LANES;
  for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride) {
    for (size_t i = 0; i < whole; i += LANES) {
      vfloat v = v_load(y + i);
      if (bias) v = v_add(v, v_load(bias + i));
      const vfloat sum = gamma ? v_fma(v_load(gamma + i), v, v_load(x + i)) : v_add(v_load(x + i), v);
      v_store(x + i, sum);
    }
    if (rest) {
      vfloat v = v_load_tail(y + whole, rest, 0);
      if (bias) v = v_add(v, v_load_tail(bias + whole, rest, 0));
      const vfloat before = v_load_tail(x + whole, rest, 0);
      const vfloat sum = gamma ? v_fma(v_load_tail(gamma + whole, rest, 0), v, before) : v_add(before, v);
      v_store_tail(x + whole, sum, rest);
    }
  }
}

/// Defines `name`, x = word(x, y) for each element.
#define COMBINE_ROWS(name, word)                                                                            \
  TARGET static void name(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,          \
                          size_t columns) {                                                                 \
    const size_t whole = columns - columns % LANES, rest = columns % LANES;                                 \
    for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride) {                                       \
      for (size_t i = 0; i < whole; i += LANES) v_store(x + i, word(v_load(x + i), v_load(y + i)));         \
      if (rest) {                                                                                           \
        const vfloat last = v_load_tail(y + whole, rest, 0);                                                \
        v_store_tail(x + whole, word(v_load_tail(x + whole, rest, 0), last), rest);                         \
      }                                                                                                     \
    }                                                                                                       \
  }

COMBINE_ROWS(multiply, v_mul)
COMBINE_ROWS(maximum, v_maximum)
