// Why this file exists: a module map names headers relative to itself, and zlib.h lives wherever the system
// keeps it; pkg-config supplies the search path.
#ifndef CZLIB_SHIM_H
#define CZLIB_SHIM_H

#include <zlib.h>

#endif
