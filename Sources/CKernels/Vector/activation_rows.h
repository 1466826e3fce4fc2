/// The walk that all activations share, in the words of vector.h.

#ifndef CKERNELS_ACTIVATION_ROWS_H
#define CKERNELS_ACTIVATION_ROWS_H

/// Defines `name`, an activation as in CKernels.h, from `name_lanes`, which maps one vector.
#define ACTIVATION_ROWS(name)                                                                               \
  TARGET static void name(float *x, size_t stride, size_t rows, size_t columns, const float *bias) {        \
    const size_t whole = columns - columns % LANES, rest = columns % LANES;                                 \
    for (size_t r = 0; r < rows; r++, x += stride) {                                                        \
      for (size_t i = 0; i < whole; i += LANES) {                                                           \
        const vfloat v = v_load(x + i);                                                                     \
        v_store(x + i, name##_lanes(bias ? v_add(v, v_load(bias + i)) : v));                                \
      }                                                                                                     \
      if (rest) {                                                                                           \
        const vfloat v = v_load_tail(x + whole, rest, 0);                                                   \
        const vfloat biased = bias ? v_add(v, v_load_tail(bias + whole, rest, 0)) : v;                      \
        v_store_tail(x + whole, name##_lanes(biased), rest);                                                \
      }                                                                                                     \
    }                                                                                                       \
  }

#endif
