/// A whole vector, or what is left of a row, in the words of vector.h; and how many rows go through an operation together.

#ifndef CKERNELS_VECTOR_LANES_H
#define CKERNELS_VECTOR_LANES_H

/// LANES floats at p, or the first `rest` of them and 0 where rest < LANES.
INLINE vfloat load_lanes(const float *p, size_t rest) { return rest < LANES ? v_load_tail(p, rest, 0) : v_load(p); }

/// The same the other way.
INLINE void store_lanes(float *p, vfloat v, size_t rest) {
  if (rest < LANES)
    v_store_tail(p, v, rest);
  else
    v_store(p, v);
}

// Of a row one step waits for the sum or the largest value that the step before made: steps are taken of so many rows in turn, so that
// the rows fill each other's waits.
enum { ROWS_TOGETHER = 4 };

/// How many rows of `rows` go together from `first` on.
INLINE size_t rows_from(size_t first, size_t rows) { return rows - first < ROWS_TOGETHER ? rows - first : ROWS_TOGETHER; }

#endif
