#include <setjmp.h>
#include <stdlib.h>

#include <png.h>

#include "ccodecs.h"
#include "failure.h"

// What libpng reads of pixel data at once.
#define LARGEST_READ 8192

struct ccodecs_png {
  png_structp decoder;
  png_infop info;
  const uint8_t *bytes;
  size_t count;
  size_t offset;
  uint8_t *row;
  /// Where the row goes that is being read, while it is being read.
  uint8_t *target;
  size_t columns;
  size_t step;
  uint32_t rows;
  int is_cut;
  int truncated;
  char message[160];
};

// MARK: Callbacks of libpng

static void fail(png_structp decoder, png_const_charp message) {
  ccodecs_png *png = png_get_error_ptr(decoder);
  strncpy(png->message, message, sizeof(png->message) - 1);
  png_longjmp(decoder, 1);
}

static void ignore_warning(png_structp decoder, png_const_charp message) {
  (void)decoder;
  (void)message;
}

/// Whether a chunk reaches beyond the end.
static int is_cut(const uint8_t *bytes, size_t count) {
  size_t offset = 8;
  while (offset + 12 <= count) {
    size_t end = offset + 12 + png_get_uint_32(bytes + offset);
    if (memcmp(bytes + offset + 4, "IEND", 4) == 0) {
      return 0;
    }
    offset = end;
  }
  return offset != count;
}

static void read_bytes(png_structp decoder, png_bytep target, size_t count) {
  ccodecs_png *png = png_get_io_ptr(decoder);
  if (png->is_cut && png->count - png->offset < 2 * LARGEST_READ) {
    // libpng asks for pixel data in large pieces, of which the last would be refused as a whole. Byte by byte
    // it gets at every row that is there.
    png_set_compression_buffer_size(decoder, 1);
  }
  if (count > png->count - png->offset) {
    png->offset = png->count;
    png->truncated = 1;
    png_error(decoder, "the data ends before the image does");
  }
  memcpy(target, png->bytes + png->offset, count);
  png->offset += count;
}

// MARK: Failures

static ccodecs_status fail_with_message(const ccodecs_png *png, ccodecs_failure *failure) {
  ccodecs_status status = CCODECS_CORRUPT;
  if (png->truncated) {
    status = CCODECS_TRUNCATED;
  } else if (strcmp(png->message, "Out of memory") == 0 || strcmp(png->message, "out of memory") == 0) {
    status = CCODECS_OUT_OF_MEMORY;
  }
  ccodecs_fail(failure, status, png->offset, png->message);
  return status;
}

// MARK: Pixels

/// What turns stored samples into RGB.
typedef struct {
  int color_type;
  /// Bytes of one pixel in a row of libpng's, whose samples below 8 bits are unpacked to one byte each.
  size_t pixel_bytes;
  int is_16_bit;
  /// [256, 3]: the colour of each palette index, or of each grey level below 16 bits.
  uint8_t colors[256 * 3];
} pixel_format;

static pixel_format make_pixel_format(const ccodecs_png *png) {
  pixel_format format = {.color_type = png_get_color_type(png->decoder, png->info)};
  int depth = png_get_bit_depth(png->decoder, png->info);
  format.is_16_bit = depth == 16;
  format.pixel_bytes = png_get_channels(png->decoder, png->info) * (depth == 16 ? 2u : 1u);
  png_colorp palette = NULL;
  int palette_count = 0;
  if (format.color_type != PNG_COLOR_TYPE_PALETTE) {
    int scale = depth >= 8 ? 1 : 255 / ((1 << depth) - 1);
    for (int i = 0; i < 256; i++) {
      memset(format.colors + 3 * i, i * scale, 3);
    }
  } else if (png_get_PLTE(png->decoder, png->info, &palette, &palette_count)) {
    // An index that the palette lacks stays black, as in Pillow.
    for (int i = 0; i < palette_count && i < 256; i++) {
      format.colors[3 * i] = palette[i].red;
      format.colors[3 * i + 1] = palette[i].green;
      format.colors[3 * i + 2] = palette[i].blue;
    }
  }
  return format;
}

/// Writes the row that was read where it belongs.
static void write_row(ccodecs_png *png, const pixel_format *format) {
  const uint8_t *row = png->row;
  uint8_t *rgb = png->target;
  size_t count = png->columns;
  size_t step = png->step * 3;
  size_t pixel_bytes = format->pixel_bytes;
  png->target = NULL;
  if (format->color_type & PNG_COLOR_MASK_COLOR && !(format->color_type & PNG_COLOR_MASK_PALETTE)) {
    // Colour: the high byte of 16.
    size_t sample_bytes = format->is_16_bit ? 2 : 1;
    for (size_t x = 0; x < count; x++, row += pixel_bytes, rgb += step) {
      rgb[0] = row[0];
      rgb[1] = row[sample_bytes];
      rgb[2] = row[2 * sample_bytes];
    }
  } else if (format->is_16_bit && !(format->color_type & PNG_COLOR_MASK_ALPHA)) {
    // Pillow holds 16-bit grey in 16 bits and clips it on the way to 8. Only grey with alpha keeps the high
    // byte.
    for (size_t x = 0; x < count; x++, row += pixel_bytes, rgb += step) {
      memset(rgb, row[0] ? 255 : row[1], 3);
    }
  } else {
    for (size_t x = 0; x < count; x++, row += pixel_bytes, rgb += step) {
      memcpy(rgb, format->colors + 3 * (size_t)row[0], 3);
    }
  }
}

/// Reads a row of `columns` pixels and writes them to `target`, `step` pixels apart.
static void read_row(ccodecs_png *png, const pixel_format *format, uint8_t *target, size_t columns,
                     size_t step) {
  png->target = target;
  png->columns = columns;
  png->step = step;
  png_read_row(png->decoder, png->row, NULL);
  write_row(png, format);
}

// MARK: Interface

ccodecs_png *ccodecs_png_open(const uint8_t *bytes, size_t count, ccodecs_header *header,
                              ccodecs_failure *failure) {
  ccodecs_png *png = calloc(1, sizeof(ccodecs_png));
  if (!png) {
    ccodecs_fail(failure, CCODECS_OUT_OF_MEMORY, 0, "no memory for a decoder");
    return NULL;
  }
  png->bytes = bytes;
  png->count = count;
  png->is_cut = is_cut(bytes, count);
  png->decoder = png_create_read_struct(PNG_LIBPNG_VER_STRING, png, fail, ignore_warning);
  png->info = png->decoder ? png_create_info_struct(png->decoder) : NULL;
  if (!png->info) {
    ccodecs_fail(failure, CCODECS_OUT_OF_MEMORY, 0, "no memory for a decoder");
    ccodecs_png_close(png);
    return NULL;
  }
  if (setjmp(png_jmpbuf(png->decoder))) {
    fail_with_message(png, failure);
    ccodecs_png_close(png);
    return NULL;
  }
  png_set_read_fn(png->decoder, png, read_bytes);
  // The caller has a limit of its own, in pixels, and words for it.
  png_set_user_limits(png->decoder, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_benign_errors(png->decoder, 1);
#ifdef PNG_MAXIMUM_INFLATE_WINDOW
  // Some encoders understate the window of their compressed data.
  png_set_option(png->decoder, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
#endif
  // Only IHDR, PLTE, IDAT and IEND make the picture: everything else is skipped unread.
  static const png_byte skipped[] =
      "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0tEXt\0tIME\0"
      "tRNS\0zTXt";
  png_set_keep_unknown_chunks(png->decoder, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  png_set_keep_unknown_chunks(png->decoder, PNG_HANDLE_CHUNK_NEVER, skipped, sizeof(skipped) / 5);
  png_read_info(png->decoder, png->info);
  // From here on there is pixel data, whose checksum Pillow does not compare.
  png_set_crc_action(png->decoder, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  png_set_packing(png->decoder);
  header->width = png_get_image_width(png->decoder, png->info);
  header->height = png_get_image_height(png->decoder, png->info);
  return png;
}

ccodecs_status ccodecs_png_decode(ccodecs_png *png, uint8_t *rgb, ccodecs_failure *failure) {
  png_structp decoder = png->decoder;
  size_t width = png_get_image_width(decoder, png->info);
  size_t height = png_get_image_height(decoder, png->info);
  int is_interlaced = png_get_interlace_type(decoder, png->info) != PNG_INTERLACE_NONE;
  pixel_format format = make_pixel_format(png);

  if (setjmp(png_jmpbuf(decoder))) {
    // libpng looks behind the last row before it returns that row; the picture is complete all the same.
    int is_complete = is_interlaced ? png_get_current_pass_number(decoder) == PNG_INTERLACE_ADAM7_PASSES
                                    : png_get_current_row_number(decoder) == height;
    if (!is_complete) {
      return fail_with_message(png, failure);
    }
    if (png->target) {
      write_row(png, &format);
    }
    return CCODECS_OK;
  }
  // Without interlace handling libpng yields each pass as a small image; its pixels are spread out here.
  png_start_read_image(decoder);
  png->row = malloc(width * format.pixel_bytes);
  if (!png->row) {
    ccodecs_fail(failure, CCODECS_OUT_OF_MEMORY, png->offset, "no memory for a row");
    return CCODECS_OUT_OF_MEMORY;
  }
  if (!is_interlaced) {
    for (size_t y = 0; y < height; y++) {
      read_row(png, &format, rgb + y * width * 3, width, 1);
      png->rows = (uint32_t)y + 1;
    }
    return CCODECS_OK;
  }
  for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
    size_t columns = PNG_PASS_COLS(width, pass);
    size_t rows = columns ? PNG_PASS_ROWS(height, pass) : 0;
    for (size_t i = 0; i < rows; i++) {
      size_t y = PNG_PASS_START_ROW(pass) + (i << PNG_PASS_ROW_SHIFT(pass));
      uint8_t *target = rgb + (y * width + PNG_PASS_START_COL(pass)) * 3;
      read_row(png, &format, target, columns, (size_t)1 << PNG_PASS_COL_SHIFT(pass));
      // The last pass holds every other row and completes the row above.
      png->rows = pass == PNG_INTERLACE_ADAM7_PASSES - 1 ? (uint32_t)y + 1 : 0;
    }
  }
  return CCODECS_OK;
}

uint32_t ccodecs_png_rows(const ccodecs_png *png) { return png->rows; }

void ccodecs_png_close(ccodecs_png *png) {
  if (png) {
    free(png->row);
    png_destroy_read_struct(&png->decoder, &png->info, NULL);
    free(png);
  }
}
