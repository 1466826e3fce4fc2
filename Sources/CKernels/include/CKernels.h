/// Inner loops over float32 rows, one variant per instruction set.
///
/// Letters: R rows, D columns of a row. Matrices are row-major; a stride is the distance between the starts
/// of two rows, counted in floats. Float pointers need the alignment of a float and no more; R, D and counts
/// may be zero. Outputs may be the same memory as inputs (same pointer, same stride) and must not overlap
/// them in any other way.

#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CKernelsPeaks.h"
#include "CKernelsProducts.h"

#ifdef __clang__
#pragma clang assume_nonnull begin
#else
#define _Nullable
#endif

typedef enum {
  CKERNELS_PLAIN = 0,   ///< C without intrinsics: slow, always there, defines what is right
  CKERNELS_AVX2 = 1,    ///< AVX2, FMA and F16C: 8 lanes
  CKERNELS_AVX2_VNNI = 2,  ///< and AVX-VNNI: products of 8-bit integers
  CKERNELS_AVX512 = 3,  ///< AVX-512 F, BW, DQ and VL: 16 lanes, masked tails
  CKERNELS_AVX512_VNNI = 4,  ///< and VNNI: products of 8-bit integers
  CKERNELS_AVX512_BF16 = 5,  ///< and BF16: products of bfloat16
  CKERNELS_AMX = 6,  ///< and AMX: both in tiles of 16 rows
} ckernels_variant;

/// The operations of one variant.
typedef struct {
  /// out[r, :] = (x[r, :] - mean) / sqrt(variance + epsilon) * gamma + beta, with the biased variance of row
  /// r. x, out [R, D]; gamma, beta [D] or NULL for 1 and 0. Source: Ba, Kiros, Hinton, "Layer Normalization",
  /// arXiv:1607.06450, eq. 4.
  void (*layer_norm)(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                     size_t columns, const float *_Nullable gamma, const float *_Nullable beta,
                     float epsilon);

  /// out[r, :] = x[r, :] / sqrt(mean of squares + epsilon) * gamma. x, out [R, D]; gamma [D] or NULL for 1.
  /// Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4.
  void (*rms_norm)(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                   size_t columns, const float *_Nullable gamma, float epsilon);

  // Activations: x = f(v), v = x + bias. x [R, D]; bias [D] or NULL. They keep relative accuracy in the
  // negative tail, but for gelu with AVX-512 (1e-10); f(-inf) and f(inf) are the limits, NaN stays NaN.

  /// v * Phi(v), with Phi the standard normal distribution function: the exact (erf) form. Source: Hendrycks,
  /// Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415, section 2; so for the next two.
  void (*gelu)(float *x, size_t stride, size_t rows, size_t columns, const float *_Nullable bias);
  /// v / 2 * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 v^3)))
  void (*gelu_tanh)(float *x, size_t stride, size_t rows, size_t columns, const float *_Nullable bias);
  /// v / (1 + exp(-1.702 v))
  void (*quick_gelu)(float *x, size_t stride, size_t rows, size_t columns, const float *_Nullable bias);
  /// v / (1 + exp(-v))
  void (*silu)(float *x, size_t stride, size_t rows, size_t columns, const float *_Nullable bias);
  /// max(v, 0)
  void (*relu)(float *x, size_t stride, size_t rows, size_t columns, const float *_Nullable bias);
  /// tanh(v)
  void (*hyperbolic_tangent)(float *x, size_t stride, size_t rows, size_t columns,
                             const float *_Nullable bias);

  /// x[r, :] = softmax(scale * x[r, :]), with the maximum of the row subtracted first. x [R, D]; scale > 0.
  /// -inf becomes 0. A row with a NaN, with +inf, or of -inf alone becomes all NaN (as in PyTorch).
  void (*softmax)(float *x, size_t stride, size_t rows, size_t columns, float scale);

  /// x[r, :] += gamma * (y[r, :] + bias). x, y [R, D]; gamma (layer scale), bias [D] or NULL for 1 and 0.
  void (*add_residual)(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows,
                       size_t columns, const float *_Nullable gamma, const float *_Nullable bias);

  /// x[r, :] *= y[r, :]. x, y [R, D].
  void (*multiply)(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns);

  /// x[r, :] = max(x[r, :], y[r, :]); NaN if either is. x, y [R, D].
  void (*maximum)(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns);

  /// sums[:] += sum over r of (x[r, :] - center), squares[:] += sum over r of (x[r, :] - center)^2, in double
  /// precision. x [R, D]; center, sums, squares [D].
  void (*column_moments)(const float *x, size_t stride, size_t rows, size_t columns, const float *center,
                         double *sums, double *squares);

  /// out[r, :] = (x[r, :] - center) * scale + shift. x, out [R, D]; center, scale, shift [D].
  void (*normalize_columns)(const float *x, size_t x_stride, float *out, size_t out_stride, size_t rows,
                            size_t columns, const float *center, const float *scale, const float *shift);

  /// IEEE 754 binary16 to binary32, exact; a signalling NaN becomes quiet, payload kept. source: any
  /// alignment.
  void (*float16_to_float32)(const void *source, float *out, size_t count);

  /// bfloat16 (the upper half of a binary32) to binary32, exact, all bits kept. source: any alignment.
  void (*bfloat16_to_float32)(const void *source, float *out, size_t count);

  /// Binary32 to binary16, to nearest, ties to even; NaN becomes quiet, what fits of its payload kept. Returns
  /// false if a finite value became infinite. out: any alignment.
  bool (*float32_to_float16)(const float *x, void *out, size_t count);

  /// Binary32 to bfloat16, to nearest, ties to even; NaN becomes quiet, what fits of its payload kept. Returns
  /// false if a finite value became infinite. out: any alignment.
  bool (*float32_to_bfloat16)(const float *x, void *out, size_t count);

  /// Whether none of the values is NaN or infinite (true for none at all).
  bool (*all_finite)(const float *x, size_t count);

  /// 8-bit levels of each row: multipliers * x[r, :] is about scales[r] * (out[r, :] - zero_points[r]), levels 0...255 over
  /// the range of the row and 0, or at the scale and zero point that `levels` gives for all rows. A row that holds a NaN or an
  /// infinity gets a scale of NaN. zero_points: by `ckernels_zero_point`. x [R, D]; out [R, D] of uint8 or uint16, filled up with 0 to a multiple of 4 bytes;
  /// out_stride in bytes; scales, zero_points [R].
  void (*quantize)(const float *x, size_t stride, size_t rows, size_t columns, const ckernels_levels *levels,
                   ckernels_element element, void *out, size_t out_stride, float *scales, int32_t *zero_points);

  /// Rounds the rows of w [O, K] to int8, each by its own scale: out = round(w / scale) with scale = max |w| / 127,
  /// 1 for a row of zeros. Values are finite. stride, out_stride: elements between the starts of two rows.
  void (*quantize_weights)(const float *w, size_t stride, size_t outputs, size_t inner, int8_t *out,
                           size_t out_stride, float *scales);

  /// Each value rounded to bfloat16. x [R, D]; out [R, D] of bfloat16, filled up with 0 to a multiple of 4 bytes,
  /// or of float32 with such values; out_stride in bytes.
  void (*round_to_bfloat16)(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element,
                            void *out, size_t out_stride);

  /// out[c, r] = x[r, c], its elements float32, or rounded to bfloat16 as `round_to_bfloat16` has them, filled up to a pair; subnormal
  /// numbers may become 0 there. x [R, D], out [D, R], without overlap. out_stride: bytes.
  void (*transpose)(const float *x, size_t stride, size_t rows, size_t columns, ckernels_element element, void *out,
                    size_t out_stride);

  /// x[r, :] = exp(scale * (x[r, :] - max)), reciprocals[r] = 1 / their sum, 0 without columns: `softmax`
  /// without its last product. x [R, D], in place as float32 or as bfloat16 from the start of the row, filled up with 0 to a
  /// multiple of 4 bytes. Those to be rounded to bfloat16 are within 1e-4 of exp, relatively, before that.
  void (*exponentials)(float *x, size_t stride, size_t rows, size_t columns, float scale,
                       ckernels_element element, float *reciprocals);

  /// By precision.
  ckernels_product_kernel products[CKERNELS_PRECISIONS];
} ckernels_operations;

/// The operations of a variant, or NULL where the build, the processor or the operating system lacks it. Those of AMX: asks Linux for the tiles,
/// which is for all threads, and refused to a process with a stack for signals (`sigaltstack`) that they do not fit.
const ckernels_operations *_Nullable ckernels_operations_of(ckernels_variant variant);

/// The variant in use: the one that the environment variable VITRINE_KERNELS names (plain, avx2, avx2vnni,
/// avx512, avx512vnni, avx512bf16, amx) if it is supported, else the one that is fastest on this processor. Settled at the first call; later
/// changes of the environment are not seen.
ckernels_variant ckernels_active_variant(void);

/// The operations of the variant in use.
const ckernels_operations *ckernels_active_operations(void);

// Bound by memory: one variant is enough.

/// Binary64 to binary32, to nearest. source: any alignment.
void ckernels_float64_to_float32(const void *source, float *out, size_t count);

/// Makes the threads share one heap (glibc's `M_ARENA_MAX`); does nothing with other C libraries.
void ckernels_use_one_heap(void);

/// Gives pages of the heap that hold nothing back to the system (glibc's `malloc_trim`); does nothing with other C libraries.
void ckernels_trim_heap(void);

/// Takes the read-only pages of the program and its libraries out of the process, as far as they are as in their files; what is needed of them
/// comes back from the system's cache of files. Does nothing but on Linux.
void ckernels_let_go_of_code(void);

/// Cores in the affinity mask of the calling thread; 0 if unknown.
size_t ckernels_affinity_cores(void);

/// One turn of a waiting loop: tells the core that it has nothing to do.
static inline void ckernels_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

#ifdef __clang__
#pragma clang assume_nonnull end
#endif

#include "CKernelsTraining.h"

#endif
