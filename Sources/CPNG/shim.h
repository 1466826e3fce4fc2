// Why this file exists: a module map names headers relative to itself, and png.h lives wherever the system
// keeps it; pkg-config supplies the search path.
#ifndef CPNG_SHIM_H
#define CPNG_SHIM_H

#include <png.h>

#endif
