/// Where the 16-bit formats end.

#ifndef CKERNELS_HALVES_H
#define CKERNELS_HALVES_H

/// The least magnitudes that round to infinity: half a unit above the largest finite number (ties go to even,
/// which is infinity's side).
#define LEAST_INFINITE_FLOAT16 65520.0f
#define LEAST_INFINITE_BFLOAT16 0x1.ffp127f

#endif
