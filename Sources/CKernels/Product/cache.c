// Sizes of the machine's caches.

#include <pthread.h>
#include <unistd.h>

#include "../include/CKernelsProducts.h"

static size_t second_level = 512 * 1024;  // where the system does not tell
static pthread_once_t once = PTHREAD_ONCE_INIT;

// The C library asks the processor each time, and a virtual machine may take microseconds to answer.
static void ask(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (size > 0) second_level = (size_t)size;
#endif
}

size_t ckernels_second_level_cache(void) {
  pthread_once(&once, ask);
  return second_level;
}
