#include <libfuzzer.h>

// From sanitizer/allocator_interface.h of compiler-rt; absent where nothing but the fuzzer is linked, and then nothing is counted.
__attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                                                    void (*on_free)(const volatile void *));
__attribute__((weak)) size_t __sanitizer_get_allocated_size(const volatile void *memory);

// Inputs are parsed by one thread.
static ptrdiff_t live, peak;

static void on_malloc(const volatile void *memory, size_t size) {
  (void)memory;
  live += (ptrdiff_t)size;
  if (live > peak) peak = live;
}

static void on_free(const volatile void *memory) {
  if (memory) live -= (ptrdiff_t)__sanitizer_get_allocated_size(memory);
}

void allocation_start(void) {
  static int is_installed;
  if (!is_installed && __sanitizer_install_malloc_and_free_hooks) {
    is_installed = 1;
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  }
  live = peak = 0;
}

size_t allocation_peak(void) { return (size_t)peak; }
