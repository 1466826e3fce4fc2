/// Body of `all_finite` (see CKernels.h) in the words of vector.h.

TARGET static bool all_finite(const float *x, size_t count) {
  enum { BLOCK = 64 * LANES };  // a branch a block: soon enough to stop, seldom enough not to cost
  while (count >= BLOCK) {
    vseen seen = v_nothing_seen();
    for (size_t i = 0; i < BLOCK; i += LANES) seen = v_nonfinite(seen, v_load(x + i));
    if (v_any_seen(seen)) return false;
    x += BLOCK;
    count -= BLOCK;
  }
  const size_t rest = count % LANES;
  vseen seen = v_nothing_seen();
  for (size_t i = 0; i < count - rest; i += LANES) seen = v_nonfinite(seen, v_load(x + i));
  if (rest) seen = v_nonfinite(seen, v_load_tail(x + count - rest, rest, 0));
  return !v_any_seen(seen);
}
