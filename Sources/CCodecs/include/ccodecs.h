// JPEG and PNG decoding to 8-bit RGB and PNG encoding behind calls that return errors, and the inner loops of
// resampling.
//
// libjpeg and libpng report failures by longjmp. Swift frames must never be jumped over, so each setjmp and
// its longjmp stay within one C function of this module; what leaves is a status and a sentence.
#ifndef CCODECS_H
#define CCODECS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  CCODECS_OK = 0,
  /// The bytes end before the image does.
  CCODECS_TRUNCATED,
  /// The bytes contradict the format.
  CCODECS_CORRUPT,
  /// Valid, but of a kind that is not decoded here (12-bit, lossless, two components).
  CCODECS_UNSUPPORTED,
  CCODECS_OUT_OF_MEMORY,
} ccodecs_status;

/// Why a call failed. Filled only where the status is not CCODECS_OK.
typedef struct {
  ccodecs_status status;
  /// Bytes of the input that were consumed before the failure.
  size_t offset;
  /// The library's own words, zero-terminated.
  char message[200];
} ccodecs_failure;

/// What a header states about an image.
typedef struct {
  uint32_t width;
  uint32_t height;
} ccodecs_header;

// MARK: JPEG (jpeg.c)

/// A JPEG image whose header has been read.
typedef struct ccodecs_jpeg ccodecs_jpeg;

/// Reads the header of a JPEG image. No memory in proportion to the image is taken.
///
/// `bytes` is borrowed until ccodecs_jpeg_close. Returns NULL on failure. Close the result with
/// ccodecs_jpeg_close.
ccodecs_jpeg *ccodecs_jpeg_open(const uint8_t *bytes, size_t count, ccodecs_header *header,
                                ccodecs_failure *failure);

/// Makes ccodecs_jpeg_decode write fewer pixels: blocks of 8x8 are transformed to `eighths` x `eighths`. Fills
/// `reduced` with the sides, each rounded up; the last row or column may stand for fewer than 8 / eighths
/// pixels. `eighths`: 1 to 8, of which libjpeg-turbo has 1, 2, 4 and 8 in fast loops.
ccodecs_status ccodecs_jpeg_reduce(ccodecs_jpeg *jpeg, unsigned eighths, ccodecs_header *reduced,
                                   ccodecs_failure *failure);

/// Decodes into `rgb`, uint8 [height, width, 3], as Pillow's `convert("RGB")` would: slow integer DCT, fancy
/// upsampling, four-component images taken for Adobe's inverted CMYK. To be called once.
ccodecs_status ccodecs_jpeg_decode(ccodecs_jpeg *jpeg, uint8_t *rgb, ccodecs_failure *failure);

/// Rows that ccodecs_jpeg_decode has written so far.
uint32_t ccodecs_jpeg_rows(const ccodecs_jpeg *jpeg);

void ccodecs_jpeg_close(ccodecs_jpeg *jpeg);

// MARK: PNG (png.c)

/// A PNG image whose header has been read.
typedef struct ccodecs_png ccodecs_png;

/// Reads the chunks of a PNG image up to the pixel data. No memory in proportion to the image is taken.
///
/// `bytes` is borrowed until ccodecs_png_close. Returns NULL on failure. Close the result with
/// ccodecs_png_close.
ccodecs_png *ccodecs_png_open(const uint8_t *bytes, size_t count, ccodecs_header *header,
                              ccodecs_failure *failure);

/// Decodes into `rgb`, uint8 [height, width, 3], as Pillow's `convert("RGB")` would: alpha, transparency and
/// gamma are ignored, 16-bit colour keeps its high byte, 16-bit grey is clipped to 255. To be called once.
ccodecs_status ccodecs_png_decode(ccodecs_png *png, uint8_t *rgb, ccodecs_failure *failure);

/// Complete rows that ccodecs_png_decode has written so far. Of an interlaced image only the last pass
/// counts.
uint32_t ccodecs_png_rows(const ccodecs_png *png);

void ccodecs_png_close(ccodecs_png *png);

// MARK: Writing PNG (png_writer.c)

/// The samples of the rows to be written.
typedef enum {
  /// uint8 [height, width, 3].
  CCODECS_ROWS_RGB,
  /// uint8 [height, width]: indices of a palette.
  CCODECS_ROWS_INDEXED,
} ccodecs_row_format;

/// How much work compression does, which suits what the picture holds.
typedef enum {
  /// Photographs: rows filtered in the way that seems best, little effort of zlib, which gains nothing here.
  CCODECS_CONTENT_PHOTO,
  /// Areas of one colour, lines and text: no filter, all the effort of zlib.
  CCODECS_CONTENT_DRAWING,
} ccodecs_content;

/// Takes the next bytes of a file; returns 0 to stop.
typedef int (*ccodecs_sink)(void *context, const uint8_t *bytes, size_t count);

/// A picture to be written.
typedef struct {
  const uint8_t *rows;
  uint32_t width;
  uint32_t height;
  ccodecs_row_format format;
  ccodecs_content content;
  /// uint8 [palette_count, 3], of at most 256 colours; with CCODECS_ROWS_INDEXED alone.
  const uint8_t *palette;
  size_t palette_count;
} ccodecs_picture;

/// Writes a PNG file to `sink`: 8 bits in RGB, or 1, 2, 4 or 8 bits with a palette, no metadata, so that the
/// same picture always gives the same bytes of the same libraries.
ccodecs_status ccodecs_png_write(const ccodecs_picture *picture, ccodecs_sink sink, void *context,
                                 ccodecs_failure *failure);

// MARK: Resampling (resample.c)

/// Coefficients are fixed-point numbers with this many fractional bits.
#define CCODECS_RESAMPLE_BITS 22

/// One row, horizontally: `out[x]` = the weighted sum of `counts[x]` pixels from `starts[x]` on.
///
/// - row: uint8 [*, 3]; with the vector variant 16 bytes behind the last pixel used must be readable
/// - out: uint8 [width, 3]
/// - starts, counts: [width]
/// - weights: [width, stride]; stride a multiple of 4, unused weights zero
typedef void (*ccodecs_resample_horizontal)(const uint8_t *row, uint8_t *out, size_t width,
                                            const int32_t *starts, const int32_t *counts,
                                            const int32_t *weights, size_t stride);

/// One row, vertically: `out[i]` = the sum over r of `weights[r] * rows[r][i]`.
///
/// - rows: `row_count` pointers to uint8 [length]
/// - out: uint8 [length]
typedef void (*ccodecs_resample_vertical)(const uint8_t *const *rows, const int32_t *weights,
                                          size_t row_count, uint8_t *out, size_t length);

/// The loops of one instruction set.
typedef struct {
  const char *name;
  ccodecs_resample_horizontal horizontal;
  ccodecs_resample_vertical vertical;
} ccodecs_resample_kernels;

/// The loops that define what is right.
ccodecs_resample_kernels ccodecs_resample_kernels_plain(void);

/// The fastest loops that this machine runs.
ccodecs_resample_kernels ccodecs_resample_kernels_best(void);

#ifdef __cplusplus
}
#endif

#endif
