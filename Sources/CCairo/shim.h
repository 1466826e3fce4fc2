// Why this file exists: a module map names headers relative to itself, and cairo.h lives wherever the system
// keeps it; pkg-config supplies the search path.
#ifndef CCAIRO_SHIM_H
#define CCAIRO_SHIM_H

#include <cairo.h>

#endif
