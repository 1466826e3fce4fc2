// The scheduler's affinity mask: behind _GNU_SOURCE, where Swift does not see it.

#if defined(__linux__)
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#endif

#include "include/CKernels.h"

size_t ckernels_affinity_cores(void) {
#if defined(__linux__)
  // The kernel refuses a set that is smaller than its own: double it until it fits.
  for (size_t cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t *set = CPU_ALLOC(cpus);
    if (!set) return 0;
    const size_t size = CPU_ALLOC_SIZE(cpus);
    const int status = sched_getaffinity(0, size, set);
    const bool too_small = status != 0 && errno == EINVAL;
    const size_t count = status == 0 ? (size_t)CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (!too_small) return count;
  }
#endif
  return 0;
}
