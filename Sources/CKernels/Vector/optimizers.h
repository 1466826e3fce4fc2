/// Bodies of `move_average`, `adamw` and `sgd` (see CKernelsTraining.h) in the words of vector.h. What is left over after whole vectors
/// goes through the same lanes, so that a parameter's place in its buffer does not change its rounding.

#include "lanes.h"

TARGET static void move_average(float *average, const float *x, size_t count, float share) {
  for (size_t i = 0; i < count; i += LANES) {
    const size_t n = count - i;
    const vfloat a = load_lanes(average + i, n);
    store_lanes(average + i, v_fma(v_set(share), v_sub(load_lanes(x + i, n), a), a), n);
  }
}

TARGET static void adamw(float *x, const float *gradient, float *m, float *v, size_t count,
                         ckernels_adamw_factors f) {
  for (size_t i = 0; i < count; i += LANES) {
    const size_t n = count - i;
    const vfloat g = v_mul(v_set(f.gradient_scale), load_lanes(gradient + i, n));
    const vfloat before = load_lanes(m + i, n);
    const vfloat first = v_fma(v_set(f.rest1), v_sub(g, before), before);
    const vfloat second = v_fma(v_mul(v_set(f.rest2), g), g, v_mul(v_set(f.beta2), load_lanes(v + i, n)));
    const vfloat root = v_fma(v_sqrt(second), v_set(f.inverse_root), v_set(f.epsilon));
    const vfloat change = v_div(v_mul(v_set(f.step_size), first), root);
    store_lanes(m + i, first, n);
    store_lanes(v + i, second, n);
    store_lanes(x + i, v_sub(v_mul(v_set(f.decay), load_lanes(x + i, n)), change), n);
  }
}

TARGET static void sgd(float *x, const float *gradient, float *v, size_t count, ckernels_sgd_factors f) {
  for (size_t i = 0; i < count; i += LANES) {
    const size_t n = count - i;
    const vfloat value = load_lanes(x + i, n);
    const vfloat scaled = v_mul(v_set(f.gradient_scale), load_lanes(gradient + i, n));
    const vfloat g = v_fma(v_set(f.weight_decay), value, scaled);
    const vfloat velocity = v_fma(v_set(f.momentum), load_lanes(v + i, n), g);
    const vfloat change = f.nesterov ? v_fma(v_set(f.momentum), velocity, g) : velocity;
    store_lanes(v + i, velocity, n);
    store_lanes(x + i, v_fnma(v_set(f.learning_rate), change, value), n);
  }
}
