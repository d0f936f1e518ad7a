// Weights packed once, to be multiplied many times: in the order in which the kernels read them,
// and in fewer bits where that is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/matrix_view.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

// How the elements are stored. Products with any of them take and give fp32.
enum class WeightType {
  kF32,
  // Rounded to nearest, ties to even; multiplied as the fp32 numbers they stand for.
  kBF16,
  // Each column by itself, w = scale q with q in [-127, 127] and a scale that suits the kernels
  // (int8_matmul.h). The other factor is quantised row by row, so that a row's result does not
  // depend on the rows beside it.
  kI8,
};

// How elements lie in memory: panels of `width` columns, each [ceil(depth / group)][width][group].
// Rows of a group beyond the depth and columns beyond the last are zero; int8 panels have rows up
// to a multiple of 8. An int8 panel's elements are followed by its columns' scales (float [width])
// and sums of q (int32 [width]).
struct PanelLayout {
  int64_t width = 0;
  int64_t group = 1;

  bool operator==(const PanelLayout&) const = default;
};

// The layout that this processor's kernels read.
PanelLayout NativeLayout(WeightType type);

int64_t PanelBytes(WeightType type, int64_t depth, const PanelLayout& layout);
int64_t PackedBytes(WeightType type, int64_t depth, int64_t columns, const PanelLayout& layout);

// Immutable; copies share the memory.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  // b is [depth, columns]. For kI8 every element must be finite.
  static PackedMatrix Pack(const MatrixView& b, WeightType type, ThreadPool& pool);

  // What bytes() of a matrix packed elsewhere held: used in place where it is in the native layout
  // and begins on a multiple of 64 (storage keeps it alive), else copied. The number of bytes is
  // PackedBytes(type, depth, columns, layout).
  static PackedMatrix FromBytes(WeightType type, int64_t depth, int64_t columns,
                                const PanelLayout& layout, const std::byte* bytes,
                                std::shared_ptr<const void> storage, ThreadPool& pool);

  WeightType type() const { return type_; }
  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  // In the native layout; begins on a multiple of 64.
  std::span<const std::byte> bytes() const;

 private:
  WeightType type_ = WeightType::kF32;
  int64_t depth_ = 0;
  int64_t columns_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> storage_;
};

}  // namespace bertie::kernels
