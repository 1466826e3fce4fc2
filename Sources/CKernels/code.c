// The pages of the program's and its libraries' code.

#if defined(__linux__)
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "include/CKernels.h"

#if defined(__linux__)

/// Whether the object's read-only pages were written to all the same, when it was loaded.
static bool has_text_relocations(const struct dl_phdr_info *object) {
  for (size_t i = 0; i < object->dlpi_phnum; i++) {
    if (object->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++)
      if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL)) return true;
  }
  return false;
}

static int let_go_of_object(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  const uintptr_t page = *(const uintptr_t *)context;
  if (object->dlpi_phnum == 0 || has_text_relocations(object)) return 0;
  for (size_t i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    const uintptr_t first = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
    // The kernel's own object, which is no file.
    if (first == getauxval(AT_SYSINFO_EHDR)) return 0;
    const uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
    madvise((void *)first, end - first, MADV_DONTNEED);
  }
  return 0;
}

/// A debugger's breakpoints are written into the code.
static bool is_traced(void) {
  char status[2048];
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return true;
  const ssize_t count = read(file, status, sizeof status - 1);
  close(file);
  if (count <= 0) return true;
  status[count] = 0;
  return !strstr(status, "TracerPid:\t0\n");
}
#endif

void ckernels_let_go_of_code(void) {
#if defined(__linux__)
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  if (!is_traced()) dl_iterate_phdr(let_go_of_object, &page);
#endif
}
