// Views over memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace bertie {

using Shape = std::vector<int64_t>;

// Product of the sizes; 1 for a scalar's empty shape.
int64_t NumElements(const Shape& shape);
// "[2, 3]".
std::string ShapeString(const Shape& shape);

// A dense row-major tensor in memory that outlives the view. data may be unaligned for its type
// (safetensors promises no alignment), so read it with memcpy.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;

  int64_t elements() const { return NumElements(shape); }
  size_t bytes() const { return static_cast<size_t>(elements()) * DTypeSize(dtype); }
};

// Converts a floating tensor (F32, F16, BF16, F64) to out[elements()]. False for other types.
bool CopyToFloat(const TensorView& view, float* out);

}  // namespace bertie
