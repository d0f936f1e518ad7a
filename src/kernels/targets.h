// Which instruction sets the kernels are compiled for. Included before any Highway header.
//
// Every kernel source is compiled once for each, and the best that the processor has is chosen at
// run time (Highway's dynamic dispatch), so that one binary serves all x86-64 machines.
#pragma once

// SSSE3 adds nothing over SSE4 on machines still alive, AVX3_DL nothing over AVX3 in fp32.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
