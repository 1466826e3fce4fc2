#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

#include "ccodecs.h"
#include "failure.h"

// A file of some kilobytes may hold tens of thousands of scans, each of which costs a walk over the whole
// image. Encoders write at most a few dozen.
#define MAXIMUM_SCANS 1000

struct ccodecs_jpeg {
  struct jpeg_decompress_struct decompressor;
  struct jpeg_error_mgr errors;
  struct jpeg_source_mgr source;
  struct jpeg_progress_mgr progress;
  jmp_buf failed;
  char message[JMSG_LENGTH_MAX];
  int message_code;
  size_t count;
  uint32_t rows;
};

// MARK: Callbacks of libjpeg

static void error_exit(j_common_ptr common) {
  ccodecs_jpeg *jpeg = common->client_data;
  jpeg->message_code = common->err->msg_code;
  common->err->format_message(common, jpeg->message);
  longjmp(jpeg->failed, 1);
}

/// Corrupt data that libjpeg can make up for. Nothing is printed: the pixels are those that Pillow shows.
static void emit_message(j_common_ptr common, int level) {
  if (level < 0) {
    common->err->num_warnings++;
  }
}

static void output_message(j_common_ptr common) { (void)common; }

static void source_event(j_decompress_ptr decompressor) { (void)decompressor; }

/// All bytes are in memory, so a request for more means that the file is truncated. "Suspend" makes libjpeg
/// return where the default source would invent an end marker and grey out the rest.
static boolean fill_input_buffer(j_decompress_ptr decompressor) {
  (void)decompressor;
  return FALSE;
}

static void skip_input_data(j_decompress_ptr decompressor, long count) {
  struct jpeg_source_mgr *source = decompressor->src;
  if (count <= 0) {
    return;
  }
  size_t skipped = (size_t)count;
  if (skipped > source->bytes_in_buffer) {
    skipped = source->bytes_in_buffer;
  }
  source->next_input_byte += skipped;
  source->bytes_in_buffer -= skipped;
}

static void monitor_progress(j_common_ptr common) {
  ccodecs_jpeg *jpeg = common->client_data;
  if (jpeg->decompressor.input_scan_number > MAXIMUM_SCANS) {
    snprintf(jpeg->message, sizeof(jpeg->message), "more than %d scans", MAXIMUM_SCANS);
    longjmp(jpeg->failed, 1);
  }
}

// MARK: Failures

static size_t consumed(const ccodecs_jpeg *jpeg) { return jpeg->count - jpeg->source.bytes_in_buffer; }

static ccodecs_status fail_truncated(const ccodecs_jpeg *jpeg, ccodecs_failure *failure) {
  ccodecs_fail(failure, CCODECS_TRUNCATED, jpeg->count, "the data ends before the image does");
  return CCODECS_TRUNCATED;
}

static ccodecs_status fail_with_message(const ccodecs_jpeg *jpeg, ccodecs_failure *failure) {
  ccodecs_status status;
  switch (jpeg->message_code) {
    case JERR_OUT_OF_MEMORY:
      status = CCODECS_OUT_OF_MEMORY;
      break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
      status = CCODECS_UNSUPPORTED;
      break;
    default:
      status = CCODECS_CORRUPT;
  }
  ccodecs_fail(failure, status, consumed(jpeg), jpeg->message);
  return status;
}

// MARK: CMYK

/// `a * b / 255`, rounded, for a and b of 8 bits.
static inline int multiply_divide_255(int a, int b) {
  int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
  // Adobe stores 255 - ink, so a stored value is light and not ink.
  for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
    int light = cmyk[3];
    for (int c = 0; c < 3; c++) {
      rgb[c] = (uint8_t)(light - multiply_divide_255(255 - cmyk[c], light));
    }
  }
}

// MARK: Interface

ccodecs_jpeg *ccodecs_jpeg_open(const uint8_t *bytes, size_t count, ccodecs_header *header,
                                ccodecs_failure *failure) {
  ccodecs_jpeg *jpeg = calloc(1, sizeof(ccodecs_jpeg));
  if (!jpeg) {
    ccodecs_fail(failure, CCODECS_OUT_OF_MEMORY, 0, "no memory for a decoder");
    return NULL;
  }
  jpeg->count = count;
  jpeg->decompressor.err = jpeg_std_error(&jpeg->errors);
  jpeg->decompressor.client_data = jpeg;
  jpeg->errors.error_exit = error_exit;
  jpeg->errors.emit_message = emit_message;
  jpeg->errors.output_message = output_message;

  if (setjmp(jpeg->failed)) {
    fail_with_message(jpeg, failure);
    ccodecs_jpeg_close(jpeg);
    return NULL;
  }
  jpeg_create_decompress(&jpeg->decompressor);
  jpeg->source.next_input_byte = bytes;
  jpeg->source.bytes_in_buffer = count;
  jpeg->source.init_source = source_event;
  jpeg->source.term_source = source_event;
  jpeg->source.fill_input_buffer = fill_input_buffer;
  jpeg->source.skip_input_data = skip_input_data;
  jpeg->source.resync_to_restart = jpeg_resync_to_restart;
  jpeg->decompressor.src = &jpeg->source;
  jpeg->progress.progress_monitor = monitor_progress;
  jpeg->decompressor.progress = &jpeg->progress;

  int result;
  do {
    result = jpeg_read_header(&jpeg->decompressor, FALSE);
  } while (result == JPEG_HEADER_TABLES_ONLY);
  if (result != JPEG_HEADER_OK) {
    fail_truncated(jpeg, failure);
    ccodecs_jpeg_close(jpeg);
    return NULL;
  }
  switch (jpeg->decompressor.num_components) {
    case 1:
      // libjpeg-turbo repeats grey over three channels by itself, which costs less than doing it here.
    case 3:
      jpeg->decompressor.out_color_space = JCS_RGB;
      break;
    case 4:
      jpeg->decompressor.out_color_space = JCS_CMYK;
      break;
    default:
      snprintf(jpeg->message, sizeof(jpeg->message), "%d colour components",
               jpeg->decompressor.num_components);
      ccodecs_fail(failure, CCODECS_UNSUPPORTED, consumed(jpeg), jpeg->message);
      ccodecs_jpeg_close(jpeg);
      return NULL;
  }
  header->width = jpeg->decompressor.image_width;
  header->height = jpeg->decompressor.image_height;
  return jpeg;
}

ccodecs_status ccodecs_jpeg_reduce(ccodecs_jpeg *jpeg, unsigned eighths, ccodecs_header *reduced,
                                   ccodecs_failure *failure) {
  if (setjmp(jpeg->failed)) {
    return fail_with_message(jpeg, failure);
  }
  jpeg->decompressor.scale_num = eighths;
  jpeg->decompressor.scale_denom = 8;
  jpeg_calc_output_dimensions(&jpeg->decompressor);
  reduced->width = jpeg->decompressor.output_width;
  reduced->height = jpeg->decompressor.output_height;
  return CCODECS_OK;
}

ccodecs_status ccodecs_jpeg_decode(ccodecs_jpeg *jpeg, uint8_t *rgb, ccodecs_failure *failure) {
  j_decompress_ptr decompressor = &jpeg->decompressor;
  if (setjmp(jpeg->failed)) {
    return fail_with_message(jpeg, failure);
  }
  if (!jpeg_start_decompress(decompressor)) {
    return fail_truncated(jpeg, failure);
  }
  size_t width = decompressor->output_width;
  JSAMPARRAY cmyk = NULL;
  if (decompressor->out_color_space == JCS_CMYK) {
    // Freed with the decompressor, also after a longjmp.
    cmyk = decompressor->mem->alloc_sarray((j_common_ptr)decompressor, JPOOL_IMAGE,
                                           (JDIMENSION)(width * 4), 1);
  }
  while (decompressor->output_scanline < decompressor->output_height) {
    uint8_t *row = rgb + (size_t)decompressor->output_scanline * width * 3;
    JSAMPROW target = cmyk ? cmyk[0] : row;
    if (jpeg_read_scanlines(decompressor, &target, 1) != 1) {
      return fail_truncated(jpeg, failure);
    }
    if (cmyk) {
      cmyk_to_rgb(target, row, width);
    }
    jpeg->rows++;
  }
  // What follows the last row is of no interest: a missing end marker does not harm the picture.
  return CCODECS_OK;
}

uint32_t ccodecs_jpeg_rows(const ccodecs_jpeg *jpeg) { return jpeg->rows; }

void ccodecs_jpeg_close(ccodecs_jpeg *jpeg) {
  if (jpeg) {
    jpeg_destroy_decompress(&jpeg->decompressor);
    free(jpeg);
  }
}
