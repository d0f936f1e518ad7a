// Instructions beyond Highway's targets of this version, which our kernels use by intrinsics. Each
// answer is found once and stays; all four imply AVX-512, and so panels of 32 columns.
//
// For tests and comparisons the environment forbids what a processor has:
//   BERTIE_INT8  quads: neither of int8's; vnni: no AMX
//   BERTIE_BF16  widen: neither of bf16's; dot: no AMX (emulate: mixed_matmul.h)
#pragma once

namespace bertie::kernels {

bool UseVnni();     // AVX512_VNNI: bytes multiplied by fours
bool UseBF16Dot();  // AVX512_BF16: bf16 multiplied by pairs
// AMX: the same on tiles of 16 rows. Asks Linux for the state that the tiles take, at the first
// call of either.
bool UseAmxInt8();
bool UseAmxBF16();

}  // namespace bertie::kernels
