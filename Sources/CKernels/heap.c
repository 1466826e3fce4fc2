#include "include/CKernels.h"

#if defined(__linux__)
#include <malloc.h>
#endif

void ckernels_use_one_heap(void) {
#if defined(M_ARENA_MAX)
  mallopt(M_ARENA_MAX, 1);
#endif
}

void ckernels_trim_heap(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
