/// The tables of all variants, for dispatch.c alone.

#ifndef CKERNELS_VARIANTS_H
#define CKERNELS_VARIANTS_H

#include "include/CKernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CKERNELS_X86 1
#else
#define CKERNELS_X86 0
#endif

extern const ckernels_operations ckernels_plain_operations;
#if CKERNELS_X86
extern const ckernels_operations ckernels_avx2_operations;
extern const ckernels_operations ckernels_avx2vnni_operations;
extern const ckernels_operations ckernels_avx512_operations;
extern const ckernels_operations ckernels_avx512vnni_operations;
extern const ckernels_operations ckernels_avx512bf16_operations;
extern const ckernels_operations ckernels_amx_operations;
#endif

#endif
