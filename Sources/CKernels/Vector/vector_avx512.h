/// The vector words (see vector.h and tile.h) in AVX-512 F, BW, DQ and VL, and what a translation unit adds.

#include "inlined.h"
#include "tile.h"
#include "vector.h"

/// What a translation unit needs beyond what every processor with AVX-512 but the first (Knights Landing) has.
#ifndef AVX512_EXTENSIONS
#define AVX512_EXTENSIONS
#endif
#define AVX512_FEATURES "avx512f,avx512bw,avx512dq,avx512vl" AVX512_EXTENSIONS
#define TARGET __attribute__((target(AVX512_FEATURES)))
#define INLINE static inline INLINED __attribute__((target(AVX512_FEATURES)))

enum { LANES = 16 };
typedef __m512 vfloat;
typedef __mmask16 vseen;

INLINE vfloat v_set(float x) { return _mm512_set1_ps(x); }
INLINE vfloat v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vfloat v) { _mm512_storeu_ps(p, v); }

INLINE __mmask16 lane_mask(size_t n) { return (__mmask16)((1u << n) - 1); }

INLINE vfloat v_load_tail(const float *p, size_t n, float fill) {
  return _mm512_mask_loadu_ps(v_set(fill), lane_mask(n), p);
}
INLINE void v_store_tail(float *p, vfloat v, size_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), v); }
INLINE vfloat v_keep(vfloat v, size_t n) { return _mm512_maskz_mov_ps(lane_mask(n), v); }

INLINE vfloat v_add(vfloat a, vfloat b) { return _mm512_add_ps(a, b); }
INLINE vfloat v_sub(vfloat a, vfloat b) { return _mm512_sub_ps(a, b); }
INLINE vfloat v_mul(vfloat a, vfloat b) { return _mm512_mul_ps(a, b); }
INLINE vfloat v_div(vfloat a, vfloat b) { return _mm512_div_ps(a, b); }
INLINE vfloat v_sqrt(vfloat v) { return _mm512_sqrt_ps(v); }
INLINE vfloat v_fma(vfloat a, vfloat b, vfloat c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vfloat v_fnma(vfloat a, vfloat b, vfloat c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE vfloat v_max(vfloat a, vfloat b) { return _mm512_max_ps(a, b); }
INLINE vfloat v_min(vfloat a, vfloat b) { return _mm512_min_ps(a, b); }
INLINE vfloat v_maximum(vfloat a, vfloat b) {
  return _mm512_mask_mov_ps(v_max(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}
INLINE vfloat v_where_below(vfloat v, float bound, vfloat a, vfloat b) {
  return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(v, v_set(bound), _CMP_LT_OQ), a);
}
INLINE vfloat v_abs(vfloat v) { return _mm512_abs_ps(v); }
INLINE vfloat v_copy_sign(vfloat magnitude, vfloat sign) {
  const __m512i bit = _mm512_set1_epi32(INT32_MIN);
  const __m512i low = _mm512_andnot_si512(bit, _mm512_castps_si512(magnitude));
  return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_and_si512(bit, _mm512_castps_si512(sign))));
}
INLINE vfloat v_round(vfloat v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat v_scale(vfloat v, vfloat n) { return _mm512_scalef_ps(v, n); }
INLINE vfloat v_fraction(vfloat v) { return _mm512_reduce_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
// The instruction takes the floor by itself.
INLINE vfloat v_scale_by_floor(vfloat v, vfloat n) { return _mm512_scalef_ps(v, n); }

#define V_HAS_TABLES
INLINE vfloat v_look_up(const float table[32], vfloat places) {
  return _mm512_permutex2var_ps(v_load(table), _mm512_castps_si512(places), v_load(table + LANES));
}

INLINE float v_sum(vfloat v) { return _mm512_reduce_add_ps(v); }
INLINE float v_largest(vfloat v) { return _mm512_reduce_max_ps(v); }

INLINE vseen v_nothing_seen(void) { return 0; }
INLINE vseen v_nonfinite(vseen seen, vfloat v) {
  const __m512i largest = _mm512_set1_epi32(0x7f7fffff);  // bits of the largest finite float
  return seen | _mm512_cmpgt_epi32_mask(_mm512_castps_si512(v_abs(v)), largest);
}
INLINE vseen v_between(vseen seen, vfloat v, float low, float high) {
  const __mmask16 least = _mm512_cmp_ps_mask(v_abs(v), v_set(low), _CMP_GE_OQ);
  return seen | _mm512_mask_cmp_ps_mask(least, v_abs(v), v_set(high), _CMP_LT_OQ);
}
INLINE bool v_any_seen(vseen seen) { return seen != 0; }

// LANES halves at source, as floats.
INLINE vfloat v_from_float16(const void *source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source));
}
INLINE vfloat v_from_bfloat16(const void *source) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)source));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// `out` gets LANES halves, rounded to nearest even.
INLINE void v_to_float16(void *out, vfloat v) {
  _mm256_storeu_si256((__m256i *)out, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE void v_to_bfloat16(void *out, vfloat v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i upper = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x00400000));
  _mm256_storeu_si256((__m256i *)out, _mm512_cvtepi32_epi16(_mm512_srli_epi32(upper, 16)));
}

// As v_to_bfloat16, but that numbers below the normal floats may become 0.
INLINE void v_round_to_bfloat16(void *out, vfloat v) {
#ifdef AVX512_HAS_BF16
  _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(v));
#else
  v_to_bfloat16(out, v);
#endif
}
INLINE void v_round_to_bfloat16_of_2(void *out, vfloat first, vfloat second) {
#ifdef AVX512_HAS_BF16
  _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(second, first));
#else
  v_to_bfloat16(out, first);
  v_to_bfloat16((uint16_t *)out + LANES, second);
#endif
}

INLINE vfloat v_pair_halves(vfloat low, vfloat high) {
  const __m512i lower = _mm512_srli_epi32(_mm512_castps_si512(low), 16);
  return _mm512_castsi512_ps(_mm512_or_si512(lower, _mm512_castps_si512(high)));
}

typedef __m512d vdouble;
INLINE vdouble v_low(vfloat v) { return _mm512_cvtps_pd(_mm512_castps512_ps256(v)); }
INLINE vdouble v_high(vfloat v) {
  return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
}
INLINE vdouble d_load(const double *p) { return _mm512_loadu_pd(p); }
INLINE void d_store(double *p, vdouble v) { _mm512_storeu_pd(p, v); }
INLINE vdouble d_add(vdouble a, vdouble b) { return _mm512_add_pd(a, b); }
INLINE vdouble d_sub(vdouble a, vdouble b) { return _mm512_sub_pd(a, b); }
INLINE vdouble d_fma(vdouble a, vdouble b, vdouble c) { return _mm512_fmadd_pd(a, b, c); }

typedef __m512i vint;
INLINE vint i_set(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vint i_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE vint i_from_bits(vfloat v) { return _mm512_castps_si512(v); }
INLINE vint i_load_some(const bool whole, const int32_t *p, size_t n) {
  return whole ? i_load(p) : _mm512_maskz_loadu_epi32(lane_mask(n), p);
}
INLINE vint i_sub(vint a, vint b) { return _mm512_sub_epi32(a, b); }
INLINE vint i_and(vint a, vint b) { return _mm512_and_si512(a, b); }
INLINE vint i_or(vint a, vint b) { return _mm512_or_si512(a, b); }
INLINE vint i_shift_left_16(vint v) { return _mm512_slli_epi32(v, 16); }
INLINE vint i_shift_right_7(vint v) { return _mm512_srai_epi32(v, 7); }
INLINE vint i_add_products_of_16(vint s, vint a, vint b) {
#ifdef AVX512_HAS_VNNI
  return _mm512_dpwssd_epi32(s, a, b);
#else
  return _mm512_add_epi32(s, _mm512_madd_epi16(a, b));
#endif
}
INLINE vfloat v_from_int(vint v) { return _mm512_cvtepi32_ps(v); }

// `out` gets LANES floats of 0...255, rounded to nearest even.
INLINE void v_to_bytes(void *out, vfloat v) {
  _mm_storeu_si128((__m128i *)out, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(v)));
}
// Packing works within quarters of a register, and so leaves words of 4 bytes in the order 0, 4, 8, 12, 1, 5, ...
INLINE void v_to_bytes_of_4(void *out, const vfloat v[4]) {
  const __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(v[0]), _mm512_cvtps_epi32(v[1]));
  const __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(v[2]), _mm512_cvtps_epi32(v[3]));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
}
INLINE void v_to_words(void *out, vfloat v) {
  _mm256_storeu_si256((__m256i *)out, _mm512_cvtusepi32_epi16(_mm512_cvtps_epi32(v)));
}

// `out` gets LANES floats of -128...127, rounded to nearest even.
INLINE void v_to_signed_bytes(void *out, vfloat v) {
  _mm_storeu_si128((__m128i *)out, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}

// Exchanges rows and columns: pairs of rows, then of pairs, then of quarters of a register.
INLINE void v_transpose(vfloat rows[LANES]) {
  vfloat t[LANES];
  for (size_t i = 0; i < LANES; i += 4) {
    const vfloat a = _mm512_unpacklo_ps(rows[i], rows[i + 1]), b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    const vfloat c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]), d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
    t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(c)));
    t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(c)));
    t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(b), _mm512_castps_pd(d)));
    t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(b), _mm512_castps_pd(d)));
  }
  // t[4 i + j] holds columns j, 4 + j, 8 + j, 12 + j of rows 4 i to 4 i + 3, a quarter each.
  for (size_t j = 0; j < 4; j++) {
    const vfloat a = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88), b = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xdd);
    const vfloat c = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88), d = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xdd);
    rows[j] = _mm512_shuffle_f32x4(a, c, 0x88);
    rows[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
    rows[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
    rows[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

#define TILE_ROWS 14
enum { TILE_STEPS = 1 };

INLINE bool tile_fetches(const tile_kind kind) {
  (void)kind;
  return true;
}

INLINE vfloat tile_load(const tile_kind kind, const char *p) {
  switch (kind) {
    case TILE_ROUNDED: return v_from_bfloat16(p);
    case TILE_WORDS:
      return _mm512_castsi512_ps(_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p)));
    default: return v_load((const float *)p);
  }
}

INLINE vfloat tile_spread(const tile_kind kind, const char *p) {
  (void)kind;
  float group;
  memcpy(&group, p, sizeof group);
  return v_set(group);
}

INLINE vfloat tile_add_products(const tile_kind kind, vfloat s, vfloat x, vfloat w) {
  const vint xi = _mm512_castps_si512(x), wi = _mm512_castps_si512(w), si = _mm512_castps_si512(s);
  (void)xi, (void)wi, (void)si;
  switch (kind) {
    case TILE_WORDS: return _mm512_castsi512_ps(_mm512_add_epi32(si, _mm512_madd_epi16(xi, wi)));
#ifdef AVX512_HAS_VNNI
    case TILE_BYTES: return _mm512_castsi512_ps(_mm512_dpbusd_epi32(si, xi, wi));
#endif
#ifdef AVX512_HAS_BF16
    case TILE_BFLOAT16: return _mm512_dpbf16_ps(s, (__m512bh)xi, (__m512bh)wi);
#endif
    default: return v_fma(x, w, s);
  }
}
