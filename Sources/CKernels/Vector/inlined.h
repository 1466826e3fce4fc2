/// Whether what is meant to be part of its callers is forced to be.

#ifndef CKERNELS_VECTOR_INLINED_H
#define CKERNELS_VECTOR_INLINED_H

// A compiler that does not optimise gives the variables of each inlined copy a place of their own on the stack: the loops for AVX-512 would need
// more than the 8 MB that a thread has.
#ifdef __OPTIMIZE__
#define INLINED __attribute__((always_inline))
#else
#define INLINED
#endif

#endif
