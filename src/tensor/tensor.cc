#include "tensor/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace bertie {
namespace {

template <class T>
T Load(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// IEEE 754 binary16.
float HalfToFloat(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 0x1fu;
  uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  return sign ? -magnitude : magnitude;
}

}  // namespace

int64_t NumElements(const Shape& shape) {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

std::string ShapeString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

bool CopyToFloat(const TensorView& view, float* out) {
  const int64_t count = view.elements();
  switch (view.dtype) {
    case DType::kF32:
      std::memcpy(out, view.data, view.bytes());
      return true;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = HalfToFloat(Load<uint16_t>(view.data, i));
      return true;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) {
        out[i] = std::bit_cast<float>(static_cast<uint32_t>(Load<uint16_t>(view.data, i)) << 16);
      }
      return true;
    case DType::kF64:
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(Load<double>(view.data, i));
      return true;
    default:
      return false;
  }
}

}  // namespace bertie
