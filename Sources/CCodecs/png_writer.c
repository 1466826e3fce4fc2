#include <setjmp.h>

#include <png.h>
#include <zlib.h>

#include "ccodecs.h"
#include "failure.h"

// What is given to the sink at once.
#define PIECE_BYTES (1 << 16)

typedef struct {
  ccodecs_sink sink;
  void *context;
  size_t written;
  char message[160];
} writer;

// MARK: Callbacks of libpng

static void fail(png_structp encoder, png_const_charp message) {
  writer *writer = png_get_error_ptr(encoder);
  strncpy(writer->message, message, sizeof(writer->message) - 1);
  png_longjmp(encoder, 1);
}

static void ignore_warning(png_structp encoder, png_const_charp message) {
  (void)encoder;
  (void)message;
}

static void write_bytes(png_structp encoder, png_bytep bytes, size_t count) {
  writer *writer = png_get_io_ptr(encoder);
  if (!writer->sink(writer->context, bytes, count)) {
    png_error(encoder, "out of memory for the file");
  }
  writer->written += count;
}

static void flush(png_structp encoder) { (void)encoder; }

// MARK: Writing

/// Bits that hold an index of a palette, of those that PNG has.
static int index_bits(size_t palette_count) {
  return palette_count <= 2 ? 1 : palette_count <= 4 ? 2 : palette_count <= 16 ? 4 : 8;
}

static void set_header(png_structp encoder, png_infop info, const ccodecs_picture *picture) {
  int is_indexed = picture->format == CCODECS_ROWS_INDEXED;
  // The caller has made the pixels, of whatever size they are.
  png_set_user_limits(encoder, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(encoder, info, picture->width, picture->height,
               is_indexed ? index_bits(picture->palette_count) : 8,
               is_indexed ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (is_indexed) {
    png_color palette[256];
    for (size_t i = 0; i < picture->palette_count && i < 256; i++) {
      palette[i].red = picture->palette[3 * i];
      palette[i].green = picture->palette[3 * i + 1];
      palette[i].blue = picture->palette[3 * i + 2];
    }
    png_set_PLTE(encoder, info, palette, (int)picture->palette_count);
  }
  if (picture->content == CCODECS_CONTENT_PHOTO) {
    // Of photographs all filters at level 6 make files no smaller, in six times the time.
    png_set_filter(encoder, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB | PNG_FILTER_UP);
    png_set_compression_level(encoder, 2);
  } else {
    png_set_filter(encoder, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_compression_level(encoder, 9);
  }
  png_set_compression_strategy(encoder, Z_DEFAULT_STRATEGY);
  png_set_compression_buffer_size(encoder, PIECE_BYTES);
  png_write_info(encoder, info);
  // Indices come one a byte.
  png_set_packing(encoder);
}

static ccodecs_status encode(png_structp encoder, png_infop info, const ccodecs_picture *picture,
                             writer *writer, ccodecs_failure *failure) {
  if (setjmp(png_jmpbuf(encoder))) {
    ccodecs_status status = strstr(writer->message, "emory") ? CCODECS_OUT_OF_MEMORY : CCODECS_UNSUPPORTED;
    ccodecs_fail(failure, status, writer->written, writer->message);
    return status;
  }
  png_set_write_fn(encoder, writer, write_bytes, flush);
  set_header(encoder, info, picture);
  size_t stride = (size_t)picture->width * (picture->format == CCODECS_ROWS_INDEXED ? 1 : 3);
  for (size_t y = 0; y < picture->height; y++) {
    png_write_row(encoder, picture->rows + y * stride);
  }
  png_write_end(encoder, NULL);
  return CCODECS_OK;
}

ccodecs_status ccodecs_png_write(const ccodecs_picture *picture, ccodecs_sink sink, void *context,
                                 ccodecs_failure *failure) {
  writer writer = {.sink = sink, .context = context};
  png_structp encoder = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, fail, ignore_warning);
  png_infop info = encoder ? png_create_info_struct(encoder) : NULL;
  ccodecs_status status = CCODECS_OUT_OF_MEMORY;
  if (info) {
    status = encode(encoder, info, picture, &writer, failure);
  } else {
    ccodecs_fail(failure, status, 0, "no memory for an encoder");
  }
  png_destroy_write_struct(&encoder, &info);
  return status;
}
