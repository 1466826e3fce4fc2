// Sizes of the machine's caches.

#include <unistd.h>

#include "../include/CKernelsProducts.h"

size_t ckernels_second_level_cache(void) {
  static const size_t usual = 512 * 1024;
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (size > 0) return (size_t)size;
#endif
  return usual;
}
