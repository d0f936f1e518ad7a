// Element types of stored tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertie {

enum class DType { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool };

// Bytes of one element.
size_t DTypeSize(DType type);
// "F32", "BF16", ...: the names that safetensors uses.
const char* DTypeName(DType type);

}  // namespace bertie
