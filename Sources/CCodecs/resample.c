// The inner loops of Pillow's resampling of 8-bit images: weights of 22 fractional bits, sums that start at
// one half, results clipped to a byte. All sums are exact in 32 bits, so every variant yields the same bytes.
#include "ccodecs.h"

static inline uint8_t clip(int32_t sum) {
  int32_t value = sum >> CCODECS_RESAMPLE_BITS;
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static const int32_t half = 1 << (CCODECS_RESAMPLE_BITS - 1);

// MARK: Plain

static void horizontal_plain(const uint8_t *row, uint8_t *out, size_t width, const int32_t *starts,
                             const int32_t *counts, const int32_t *weights, size_t stride) {
  for (size_t x = 0; x < width; x++, weights += stride, out += 3) {
    const uint8_t *pixel = row + 3 * (size_t)starts[x];
    int32_t red = half, green = half, blue = half;
    for (int32_t i = 0; i < counts[x]; i++, pixel += 3) {
      red += pixel[0] * weights[i];
      green += pixel[1] * weights[i];
      blue += pixel[2] * weights[i];
    }
    out[0] = clip(red);
    out[1] = clip(green);
    out[2] = clip(blue);
  }
}

static void vertical_plain(const uint8_t *const *rows, const int32_t *weights, size_t row_count, uint8_t *out,
                           size_t length) {
  for (size_t i = 0; i < length; i++) {
    int32_t sum = half;
    for (size_t r = 0; r < row_count; r++) {
      sum += rows[r][i] * weights[r];
    }
    out[i] = clip(sum);
  }
}

ccodecs_resample_kernels ccodecs_resample_kernels_plain(void) {
  return (ccodecs_resample_kernels){"plain", horizontal_plain, vertical_plain};
}

// MARK: AVX2

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static void horizontal_avx2(const uint8_t *row, uint8_t *out, size_t width, const int32_t *starts,
                                 const int32_t *counts, const int32_t *weights, size_t stride) {
  // Four pixels are 12 bytes. Each shuffle widens two of them to [R G B 0 | R G B 0] of 32 bits.
  const __m256i first = _mm256_setr_epi8(0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1, -1,  //
                                         3, -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, -1, -1, -1, -1);
  const __m256i second = _mm256_setr_epi8(6, -1, -1, -1, 7, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1,  //
                                          9, -1, -1, -1, 10, -1, -1, -1, 11, -1, -1, -1, -1, -1, -1, -1);
  const __m256i first_weights = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i second_weights = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  for (size_t x = 0; x < width; x++, weights += stride, out += 3) {
    const uint8_t *pixel = row + 3 * (size_t)starts[x];
    __m256i sum0 = _mm256_setzero_si256(), sum1 = _mm256_setzero_si256();
    for (int32_t i = 0; i < counts[x]; i += 4, pixel += 12) {
      __m256i pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pixel));
      __m256i four = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(weights + i)));
      __m256i k0 = _mm256_permutevar8x32_epi32(four, first_weights);
      __m256i k1 = _mm256_permutevar8x32_epi32(four, second_weights);
      sum0 = _mm256_add_epi32(sum0, _mm256_mullo_epi32(_mm256_shuffle_epi8(pixels, first), k0));
      sum1 = _mm256_add_epi32(sum1, _mm256_mullo_epi32(_mm256_shuffle_epi8(pixels, second), k1));
    }
    sum0 = _mm256_add_epi32(sum0, sum1);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sum0), _mm256_extracti128_si256(sum0, 1));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(half)), CCODECS_RESAMPLE_BITS);
    sum = _mm_packs_epi32(sum, sum);
    uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
    memcpy(out, &rgb, 3);
  }
}

AVX2 static void vertical_avx2(const uint8_t *const *rows, const int32_t *weights, size_t row_count,
                               uint8_t *out, size_t length) {
  size_t i = 0;
  for (; i + 32 <= length; i += 32) {
    __m256i sums[4];
    for (int part = 0; part < 4; part++) {
      sums[part] = _mm256_set1_epi32(half);
    }
    for (size_t r = 0; r < row_count; r++) {
      __m256i weight = _mm256_set1_epi32(weights[r]);
      const uint8_t *row = rows[r] + i;
      for (int part = 0; part < 4; part++) {
        __m256i values = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(row + 8 * part)));
        sums[part] = _mm256_add_epi32(sums[part], _mm256_mullo_epi32(values, weight));
      }
    }
    for (int part = 0; part < 4; part++) {
      sums[part] = _mm256_srai_epi32(sums[part], CCODECS_RESAMPLE_BITS);
    }
    // Both packs work within halves: the final permutation puts the groups of four bytes in order.
    __m256i low = _mm256_packs_epi32(sums[0], sums[1]);
    __m256i high = _mm256_packs_epi32(sums[2], sums[3]);
    __m256i bytes = _mm256_packus_epi16(low, high);
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(out + i), bytes);
  }
  for (; i < length; i++) {
    int32_t sum = half;
    for (size_t r = 0; r < row_count; r++) {
      sum += rows[r][i] * weights[r];
    }
    out[i] = clip(sum);
  }
}
#endif

ccodecs_resample_kernels ccodecs_resample_kernels_best(void) {
#if defined(__x86_64__)
  // Asks the operating system, too, whether it saves the wide registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) {
    return (ccodecs_resample_kernels){"AVX2", horizontal_avx2, vertical_avx2};
  }
#endif
  return ccodecs_resample_kernels_plain();
}
