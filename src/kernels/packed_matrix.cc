#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/ceil_div.h"
#include "kernels/bf16.h"
#include "kernels/int8_matmul.h"
#include "kernels/matmul_tiles.h"

namespace bertie::kernels {
namespace {


// Rows of a panel, those added as zeros among them. Int8 kernels take eight at once.
int64_t PaddedDepth(WeightType type, int64_t depth, const PanelLayout& layout) {
  const int64_t multiple = type == WeightType::kI8 ? 8 : layout.group;
  return CeilDiv(depth, multiple) * multiple;
}

int64_t ElementBytes(WeightType type) {
  return type == WeightType::kF32 ? 4 : type == WeightType::kBF16 ? 2 : 1;
}

int64_t ElementIndex(const PanelLayout& layout, int64_t k, int64_t column) {
  return (k / layout.group * layout.width + column) * layout.group + k % layout.group;
}

void PackBF16Panel(const MatrixView& b, int64_t column0, const PanelLayout& layout,
                   std::byte* panel) {
  auto* out = reinterpret_cast<uint16_t*>(panel);
  const int64_t columns = std::min(layout.width, b.columns - column0);
  for (int64_t j = 0; j < columns; ++j) {
    const float* from = b.data + (column0 + j) * b.column_stride;
    for (int64_t k = 0; k < b.rows; ++k) {
      out[ElementIndex(layout, k, j)] = ToBF16(from[k * b.row_stride]);
    }
  }
}

// Sums of the positive and of the negative parts of q, each over the steps whose products meet in
// one 16-bit number (int8_matmul.h).
struct FourSums {
  int32_t positive[2] = {0, 0};
  int32_t negative[2] = {0, 0};

  void Add(int64_t k, int32_t q) {
    positive[k / 2 % 2] += std::max(q, 0);
    negative[k / 2 % 2] += std::max(-q, 0);
  }
  int32_t largest() const { return std::max({positive[0], positive[1], negative[0], negative[1]}); }
};

// Quantises one column with 1 / scale = inverse; false where four of its q are too much together.
bool QuantizeColumn(int64_t depth, const float* from, int64_t stride, float inverse, int8_t* q) {
  for (int64_t k0 = 0; k0 < depth; k0 += 8) {
    FourSums sums;
    for (int64_t k = k0; k < std::min(depth, k0 + 8); ++k) {
      q[k] = static_cast<int8_t>(std::lrintf(from[k * stride] * inverse));
      sums.Add(k, q[k]);
    }
    if (sums.largest() > kMostOfFour) return false;
  }
  return true;
}

// The largest 1 / scale with which no q and no four of them leave their ranges, but for rounding.
float InverseScale(int64_t depth, const float* from, int64_t stride) {
  float largest = 0, largest_four = 0;
  for (int64_t k0 = 0; k0 < depth; k0 += 8) {
    float positive[2] = {0, 0}, negative[2] = {0, 0};
    for (int64_t k = k0; k < std::min(depth, k0 + 8); ++k) {
      const float value = from[k * stride];
      largest = std::max(largest, std::abs(value));
      positive[k / 2 % 2] += std::max(value, 0.0f);
      negative[k / 2 % 2] += std::max(-value, 0.0f);
    }
    largest_four = std::max({largest_four, positive[0], positive[1], negative[0], negative[1]});
  }
  if (largest == 0) return 0;
  return std::min(127.0f / largest, static_cast<float>(kMostOfFour) / largest_four);
}

void PackI8Panel(const MatrixView& b, int64_t column0, const PanelLayout& layout,
                 std::byte* panel) {
  const int64_t columns = std::min(layout.width, b.columns - column0);
  const int64_t elements = PaddedDepth(WeightType::kI8, b.rows, layout) * layout.width;
  auto* out = reinterpret_cast<int8_t*>(panel);
  auto* scales = reinterpret_cast<float*>(panel + elements);
  auto* sums = reinterpret_cast<int32_t*>(scales + layout.width);
  std::vector<int8_t> q(static_cast<size_t>(b.rows));
  for (int64_t j = 0; j < columns; ++j) {
    const float* from = b.data + (column0 + j) * b.column_stride;
    float inverse = InverseScale(b.rows, from, b.row_stride);
    // Rounding can lift the sum of four a little over what the unrounded ones have.
    while (!QuantizeColumn(b.rows, from, b.row_stride, inverse, q.data())) inverse *= 0.998f;
    for (int64_t k = 0; k < b.rows; ++k) {
      out[ElementIndex(layout, k, j)] = q[static_cast<size_t>(k)];
      sums[j] += q[static_cast<size_t>(k)];
    }
    scales[j] = inverse > 0 ? 1.0f / inverse : 0.0f;
  }
}

// One panel's elements from one layout into another whose panels are of another width.
void ConvertPanel(WeightType type, int64_t depth, int64_t columns, const PanelLayout& from,
                  const std::byte* bytes, const PanelLayout& to, int64_t panel, std::byte* out) {
  const int64_t size = ElementBytes(type);
  const int64_t from_panel = PanelBytes(type, depth, from);
  const int64_t from_elements = PaddedDepth(type, depth, from) * from.width * size;
  const int64_t to_elements = PaddedDepth(type, depth, to) * to.width * size;
  for (int64_t j = 0; j < std::min(to.width, columns - panel * to.width); ++j) {
    const int64_t column = panel * to.width + j;
    const std::byte* source = bytes + column / from.width * from_panel;
    const int64_t within = column % from.width;
    for (int64_t k = 0; k < depth; ++k) {
      std::memcpy(out + ElementIndex(to, k, j) * size,
                  source + ElementIndex(from, k, within) * size, static_cast<size_t>(size));
    }
    if (type != WeightType::kI8) continue;
    for (int64_t table = 0; table < 2; ++table) {  // scales, sums
      std::memcpy(out + to_elements + (table * to.width + j) * 4,
                  source + from_elements + (table * from.width + within) * 4, 4);
    }
  }
}

// Aligned memory, zeroed panel by panel on the threads that will fill it.
struct Owned {
  explicit Owned(int64_t bytes)
      : buffer(std::make_shared<Buffer>(CeilDiv(bytes, 4))),
        data(reinterpret_cast<std::byte*>(buffer->data())) {}
  std::shared_ptr<Buffer> buffer;
  std::byte* data;
};

}  // namespace

PanelLayout NativeLayout(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return {PanelColumns(), 1};
    case WeightType::kBF16:
      return {PanelColumns(), 2};
    case WeightType::kI8:
      break;
  }
  return {PanelColumns(), 4};
}

int64_t PanelBytes(WeightType type, int64_t depth, const PanelLayout& layout) {
  const int64_t elements = PaddedDepth(type, depth, layout) * layout.width;
  return elements * ElementBytes(type) + (type == WeightType::kI8 ? 8 * layout.width : 0);
}

int64_t PackedBytes(WeightType type, int64_t depth, int64_t columns, const PanelLayout& layout) {
  return CeilDiv(columns, layout.width) * PanelBytes(type, depth, layout);
}

PackedMatrix PackedMatrix::Pack(const MatrixView& b, WeightType type, ThreadPool& pool) {
  const PanelLayout layout = NativeLayout(type);
  const int64_t panel_bytes = PanelBytes(type, b.rows, layout);
  const Owned memory(PackedBytes(type, b.rows, b.columns, layout));
  pool.ParallelFor(CeilDiv(b.columns, layout.width), [&](int64_t panel, int) {
    std::byte* out = memory.data + panel * panel_bytes;
    if (type == WeightType::kF32) {
      return PackPanels(b, panel, panel + 1, reinterpret_cast<float*>(memory.data));
    }
    std::memset(out, 0, static_cast<size_t>(panel_bytes));
    if (type == WeightType::kBF16) return PackBF16Panel(b, panel * layout.width, layout, out);
    PackI8Panel(b, panel * layout.width, layout, out);
  });
  PackedMatrix packed;
  packed.type_ = type;
  packed.depth_ = b.rows;
  packed.columns_ = b.columns;
  packed.data_ = memory.data;
  packed.storage_ = memory.buffer;
  return packed;
}

PackedMatrix PackedMatrix::FromBytes(WeightType type, int64_t depth, int64_t columns,
                                     const PanelLayout& layout, const std::byte* bytes,
                                     std::shared_ptr<const void> storage, ThreadPool& pool) {
  PackedMatrix packed;
  packed.type_ = type;
  packed.depth_ = depth;
  packed.columns_ = columns;
  const PanelLayout native = NativeLayout(type);
  if (layout == native && reinterpret_cast<uintptr_t>(bytes) % 64 == 0) {
    packed.data_ = bytes;
    packed.storage_ = std::move(storage);
    return packed;
  }
  const int64_t panel_bytes = PanelBytes(type, depth, native);
  const Owned memory(PackedBytes(type, depth, columns, native));
  pool.ParallelFor(CeilDiv(columns, native.width), [&](int64_t panel, int) {
    std::byte* out = memory.data + panel * panel_bytes;
    std::memset(out, 0, static_cast<size_t>(panel_bytes));
    ConvertPanel(type, depth, columns, layout, bytes, native, panel, out);
  });
  packed.data_ = memory.data;
  packed.storage_ = memory.buffer;
  return packed;
}

std::span<const std::byte> PackedMatrix::bytes() const {
  if (data_ == nullptr) return {};
  return {data_, static_cast<size_t>(PackedBytes(type_, depth_, columns_, NativeLayout(type_)))};
}

}  // namespace bertie::kernels
