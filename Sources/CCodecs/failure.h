// Shared by the decoders: filling a ccodecs_failure.
#ifndef CCODECS_FAILURE_H
#define CCODECS_FAILURE_H

#include <string.h>

#include "ccodecs.h"

static inline void ccodecs_fail(ccodecs_failure *failure, ccodecs_status status, size_t offset,
                                const char *message) {
  failure->status = status;
  failure->offset = offset;
  size_t length = strlen(message);
  if (length >= sizeof(failure->message)) {
    length = sizeof(failure->message) - 1;
  }
  memcpy(failure->message, message, length);
  failure->message[length] = 0;
}

#endif
