// Why this file exists: a module map names headers relative to itself, jpeglib.h lives wherever the system
// keeps it, and it uses FILE and size_t without including the headers that declare them.
#ifndef CJPEG_SHIM_H
#define CJPEG_SHIM_H

#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#endif
