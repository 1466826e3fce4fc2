// The pages of the program's and its libraries' code.

#if defined(__linux__)
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "include/CKernels.h"

#if defined(__linux__)

typedef struct {
  uintptr_t page;
  int pagemap;  ///< /proc/self/pagemap: 8 bytes for each page of the address space
} code_pages;

/// Whether all pages of a range that are in memory are those of the file, so that nothing is lost with them. What was written to since it was
/// loaded, by a debugger or a tracer of probes, by the loader, or by whoever put other memory in the file's place, is not.
static bool is_as_in_file(const code_pages *pages, uintptr_t first, uintptr_t end) {
  const uint64_t present = 1ull << 63, swapped = 1ull << 62, of_file = 1ull << 61;
  uint64_t entries[512];
  const size_t most = sizeof entries / sizeof *entries;
  for (uintptr_t address = first; address < end;) {
    const size_t left = (end - address + pages->page - 1) / pages->page, count = left < most ? left : most;
    const off_t place = (off_t)(address / pages->page * sizeof *entries);
    if (pread(pages->pagemap, entries, count * sizeof *entries, place) != (ssize_t)(count * sizeof *entries)) return false;
    for (size_t i = 0; i < count; i++)
      if (entries[i] & (present | swapped) && !(entries[i] & of_file)) return false;
    address += count * pages->page;
  }
  return true;
}

/// Lets go of an object's segments that were loaded to be read and executed alone; those that may be written to hold what the loader has
/// relocated.
static int let_go_of_object(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  const code_pages *pages = context;
  for (size_t i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    const uintptr_t start = object->dlpi_addr + segment->p_vaddr, first = start & ~(pages->page - 1);
    const uintptr_t end = start + segment->p_filesz;
    if (is_as_in_file(pages, first, end)) madvise((void *)first, end - first, MADV_DONTNEED);
  }
  return 0;
}
#endif

void ckernels_let_go_of_code(void) {
#if defined(__linux__)
  code_pages pages = {.page = (uintptr_t)sysconf(_SC_PAGESIZE), .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
  if (pages.pagemap < 0) return;
  dl_iterate_phdr(let_go_of_object, &pages);
  close(pages.pagemap);
#endif
}
