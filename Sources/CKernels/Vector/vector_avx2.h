/// The vector words (see vector.h and tile.h) in AVX2, FMA and F16C, and what a translation unit adds.

#include "inlined.h"
#include "tile.h"
#include "vector.h"

/// What a translation unit needs beyond them.
#ifndef AVX2_EXTENSIONS
#define AVX2_EXTENSIONS
#endif
#define AVX2_FEATURES "avx2,fma,f16c" AVX2_EXTENSIONS
#define TARGET __attribute__((target(AVX2_FEATURES)))
#define INLINE static inline INLINED __attribute__((target(AVX2_FEATURES)))

enum { LANES = 8 };
typedef __m256 vfloat;
typedef __m256i vseen;

INLINE vfloat v_set(float x) { return _mm256_set1_ps(x); }
INLINE vfloat v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, vfloat v) { _mm256_storeu_ps(p, v); }

// All ones in the first n lanes.
INLINE __m256i lane_mask(size_t n) {
  static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + LANES - n));
}

INLINE vfloat v_load_tail(const float *p, size_t n, float fill) {
  const __m256i mask = lane_mask(n);
  return _mm256_blendv_ps(v_set(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}
INLINE void v_store_tail(float *p, vfloat v, size_t n) { _mm256_maskstore_ps(p, lane_mask(n), v); }
INLINE vfloat v_keep(vfloat v, size_t n) { return _mm256_and_ps(v, _mm256_castsi256_ps(lane_mask(n))); }

INLINE vfloat v_add(vfloat a, vfloat b) { return _mm256_add_ps(a, b); }
INLINE vfloat v_sub(vfloat a, vfloat b) { return _mm256_sub_ps(a, b); }
INLINE vfloat v_mul(vfloat a, vfloat b) { return _mm256_mul_ps(a, b); }
INLINE vfloat v_div(vfloat a, vfloat b) { return _mm256_div_ps(a, b); }
INLINE vfloat v_sqrt(vfloat v) { return _mm256_sqrt_ps(v); }
INLINE vfloat v_fma(vfloat a, vfloat b, vfloat c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vfloat v_fnma(vfloat a, vfloat b, vfloat c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vfloat v_max(vfloat a, vfloat b) { return _mm256_max_ps(a, b); }
INLINE vfloat v_min(vfloat a, vfloat b) { return _mm256_min_ps(a, b); }
INLINE vfloat v_maximum(vfloat a, vfloat b) {
  return _mm256_blendv_ps(v_max(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
INLINE vfloat v_where_below(vfloat v, float bound, vfloat a, vfloat b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(v, v_set(bound), _CMP_LT_OQ));
}
INLINE vfloat v_abs(vfloat v) { return _mm256_andnot_ps(v_set(-0.0f), v); }
INLINE vfloat v_copy_sign(vfloat magnitude, vfloat sign) {
  const vfloat bit = v_set(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
INLINE vfloat v_round(vfloat v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vfloat power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
// In two halves, as 2^n alone has no normal float below n = -126.
INLINE vfloat v_scale(vfloat v, vfloat n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return v_mul(v_mul(v, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
}
INLINE vfloat v_fraction(vfloat v) { return v_sub(v, _mm256_floor_ps(v)); }
INLINE vfloat v_scale_by_floor(vfloat v, vfloat n) { return v_scale(v, _mm256_floor_ps(n)); }

INLINE float v_sum(vfloat v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE float v_largest(vfloat v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

INLINE vseen v_nothing_seen(void) { return _mm256_setzero_si256(); }
INLINE vseen v_nonfinite(vseen seen, vfloat v) {
  const __m256i largest = _mm256_set1_epi32(0x7f7fffff);  // bits of the largest finite float
  return _mm256_or_si256(seen, _mm256_cmpgt_epi32(_mm256_castps_si256(v_abs(v)), largest));
}
INLINE vseen v_between(vseen seen, vfloat v, float low, float high) {
  const vfloat least = _mm256_cmp_ps(v_abs(v), v_set(low), _CMP_GE_OQ);
  const vfloat below = _mm256_cmp_ps(v_abs(v), v_set(high), _CMP_LT_OQ);
  return _mm256_or_si256(seen, _mm256_castps_si256(_mm256_and_ps(least, below)));
}
INLINE bool v_any_seen(vseen seen) { return !_mm256_testz_si256(seen, seen); }

// LANES halves at source, as floats.
INLINE vfloat v_from_float16(const void *source) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source));
}
INLINE vfloat v_from_bfloat16(const void *source) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)source));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// `out` gets LANES halves, rounded to nearest even.
INLINE void v_to_float16(void *out, vfloat v) {
  _mm_storeu_si128((__m128i *)out, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE void v_to_bfloat16(void *out, vfloat v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
  _mm_storeu_si128((__m128i *)out, packed);
}

INLINE void v_round_to_bfloat16(void *out, vfloat v) { v_to_bfloat16(out, v); }
INLINE void v_round_to_bfloat16_of_2(void *out, vfloat first, vfloat second) {
  v_to_bfloat16(out, first);
  v_to_bfloat16((uint16_t *)out + LANES, second);
}

INLINE vfloat v_pair_halves(vfloat low, vfloat high) {
  const __m256i lower = _mm256_srli_epi32(_mm256_castps_si256(low), 16);
  return _mm256_castsi256_ps(_mm256_or_si256(lower, _mm256_castps_si256(high)));
}

typedef __m256d vdouble;
INLINE vdouble v_low(vfloat v) { return _mm256_cvtps_pd(_mm256_castps256_ps128(v)); }
INLINE vdouble v_high(vfloat v) { return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)); }
INLINE vdouble d_load(const double *p) { return _mm256_loadu_pd(p); }
INLINE void d_store(double *p, vdouble v) { _mm256_storeu_pd(p, v); }
INLINE vdouble d_add(vdouble a, vdouble b) { return _mm256_add_pd(a, b); }
INLINE vdouble d_sub(vdouble a, vdouble b) { return _mm256_sub_pd(a, b); }
INLINE vdouble d_fma(vdouble a, vdouble b, vdouble c) { return _mm256_fmadd_pd(a, b, c); }

typedef __m256i vint;
INLINE vint i_set(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vint i_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vint i_from_bits(vfloat v) { return _mm256_castps_si256(v); }
INLINE vint i_load_some(const bool whole, const int32_t *p, size_t n) {
  return whole ? i_load(p) : _mm256_maskload_epi32(p, lane_mask(n));
}
INLINE vint i_sub(vint a, vint b) { return _mm256_sub_epi32(a, b); }
INLINE vint i_and(vint a, vint b) { return _mm256_and_si256(a, b); }
INLINE vint i_or(vint a, vint b) { return _mm256_or_si256(a, b); }
INLINE vint i_shift_left_16(vint v) { return _mm256_slli_epi32(v, 16); }
INLINE vint i_shift_right_7(vint v) { return _mm256_srai_epi32(v, 7); }
INLINE vint i_add_products_of_16(vint s, vint a, vint b) { return _mm256_add_epi32(s, _mm256_madd_epi16(a, b)); }
INLINE vfloat v_from_int(vint v) { return _mm256_cvtepi32_ps(v); }

// `out` gets LANES floats of 0...255, rounded to nearest even.
INLINE __m128i words_of(vfloat v) {
  const __m256i wide = _mm256_cvtps_epi32(v);
  return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}
INLINE void v_to_bytes(void *out, vfloat v) {
  const __m128i words = words_of(v);
  _mm_storel_epi64((__m128i *)out, _mm_packus_epi16(words, words));
}
// Packing works within halves of a register, and so leaves words of 4 bytes in the order 0, 2, 4, 6, 1, 3, 5, 7.
INLINE void v_to_bytes_of_4(void *out, const vfloat v[4]) {
  const __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
  const __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256((__m256i *)out, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
}
INLINE void v_to_words(void *out, vfloat v) { _mm_storeu_si128((__m128i *)out, words_of(v)); }

// `out` gets LANES floats of -128...127, rounded to nearest even.
INLINE void v_to_signed_bytes(void *out, vfloat v) {
  const __m256i wide = _mm256_cvtps_epi32(v);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storel_epi64((__m128i *)out, _mm_packs_epi16(words, words));
}

// Exchanges rows and columns: pairs of rows, then of pairs, then of halves of a register.
INLINE void v_transpose(vfloat rows[LANES]) {
  vfloat t[LANES];
  for (size_t i = 0; i < LANES; i += 4) {
    const vfloat a = _mm256_unpacklo_ps(rows[i], rows[i + 1]), b = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    const vfloat c = _mm256_unpacklo_ps(rows[i + 2], rows[i + 3]), d = _mm256_unpackhi_ps(rows[i + 2], rows[i + 3]);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (size_t j = 0; j < 4; j++) {
    rows[j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x20);
    rows[4 + j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x31);
  }
}

#define TILE_ROWS 6
enum { TILE_STEPS = 4 };

INLINE bool tile_fetches(const tile_kind kind) { return kind == TILE_WORDS; }

INLINE vfloat tile_load(const tile_kind kind, const char *p) {
  switch (kind) {
    case TILE_ROUNDED: return v_from_bfloat16(p);
    case TILE_WORDS:
      return _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)));
    default: return v_load((const float *)p);
  }
}

INLINE vfloat tile_spread(const tile_kind kind, const char *p) {
  (void)kind;
  float group;
  memcpy(&group, p, sizeof group);
  return v_set(group);
}

// Without VNNI words, not bytes: `vpmaddubsw` would add two products in an int16 that cannot hold them, while a sum of two of
// `vpmaddwd` is at most 2 * 255 * 127 in an int32. It takes no more instructions.
INLINE vfloat tile_add_products(const tile_kind kind, vfloat s, vfloat x, vfloat w) {
#ifdef AVX2_HAS_VNNI
  if (kind == TILE_BYTES)
    return _mm256_castsi256_ps(
        _mm256_dpbusd_avx_epi32(_mm256_castps_si256(s), _mm256_castps_si256(x), _mm256_castps_si256(w)));
#endif
  if (kind != TILE_WORDS) return v_fma(x, w, s);
  const __m256i products = _mm256_madd_epi16(_mm256_castps_si256(x), _mm256_castps_si256(w));
  __m256i sum = _mm256_add_epi32(_mm256_castps_si256(s), products);
  // Else the compiler adds up the products of several steps first, which takes more registers than there are.
  __asm__("" : "+x"(sum));
  return _mm256_castsi256_ps(sum);
}
