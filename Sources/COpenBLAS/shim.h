/// Debian and Homebrew keep OpenBLAS's cblas.h in a folder of its own, which pkg-config names. A module map
/// cannot ask pkg-config; a header included from here is found through it.

#include <cblas.h>

#ifndef OPENBLAS_VERSION
#error "cblas.h is not OpenBLAS's: install libopenblas-dev, and see that pkg-config finds openblas"
#endif
