#include "kernels/embedding_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/bf16.h"
#include "tensor/buffer.h"

namespace bertie::kernels {
namespace {

// Returns the scale.
float QuantizeRow(const float* from, int64_t count, int8_t* out) {
  float largest = 0;
  for (int64_t j = 0; j < count; ++j) largest = std::max(largest, std::abs(from[j]));
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  for (int64_t j = 0; j < count; ++j) {
    out[j] = static_cast<int8_t>(std::lrintf(from[j] * inverse));
  }
  return largest / 127.0f;
}

void PackRow(WeightType type, const float* from, int64_t row, int64_t rows, int64_t columns,
             std::byte* out) {
  switch (type) {
    case WeightType::kF32:
      std::copy_n(from, columns, reinterpret_cast<float*>(out) + row * columns);
      break;
    case WeightType::kBF16:
      std::transform(from, from + columns, reinterpret_cast<uint16_t*>(out) + row * columns,
                     ToBF16);
      break;
    case WeightType::kI8: {
      auto* scales = reinterpret_cast<float*>(out);
      scales[row] =
          QuantizeRow(from, columns, reinterpret_cast<int8_t*>(scales + rows) + row * columns);
      break;
    }
  }
}

std::shared_ptr<Buffer> Allocate(int64_t bytes) {
  return std::make_shared<Buffer>((bytes + 3) / 4);
}

}  // namespace

int64_t EmbeddingTable::Bytes(WeightType type, int64_t rows, int64_t columns) {
  switch (type) {
    case WeightType::kF32:
      return 4 * rows * columns;
    case WeightType::kBF16:
      return 2 * rows * columns;
    case WeightType::kI8:
      break;
  }
  return rows * (4 + columns);
}

EmbeddingTable EmbeddingTable::Pack(const float* values, int64_t rows, int64_t columns,
                                    WeightType type, ThreadPool& pool) {
  auto buffer = Allocate(Bytes(type, rows, columns));
  auto* out = reinterpret_cast<std::byte*>(buffer->data());
  constexpr int64_t kChunk = 256;
  pool.ParallelFor((rows + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
    for (int64_t row = chunk * kChunk; row < std::min(rows, (chunk + 1) * kChunk); ++row) {
      PackRow(type, values + row * columns, row, rows, columns, out);
    }
  });
  return FromBytes(type, rows, columns, out, std::move(buffer));
}

EmbeddingTable EmbeddingTable::FromBytes(WeightType type, int64_t rows, int64_t columns,
                                         const std::byte* bytes,
                                         std::shared_ptr<const void> storage) {
  EmbeddingTable table;
  table.type_ = type;
  table.rows_ = rows;
  table.columns_ = columns;
  if (reinterpret_cast<uintptr_t>(bytes) % alignof(float) == 0) {
    table.data_ = bytes;
    table.storage_ = std::move(storage);
    return table;
  }
  const int64_t count = Bytes(type, rows, columns);
  auto copy = Allocate(count);
  std::memcpy(copy->data(), bytes, static_cast<size_t>(count));
  table.data_ = reinterpret_cast<const std::byte*>(copy->data());
  table.storage_ = std::move(copy);
  return table;
}

std::span<const std::byte> EmbeddingTable::bytes() const {
  return {data_, static_cast<size_t>(Bytes(type_, rows_, columns_))};
}

WordRows EmbeddingTable::rows() const {
  if (type_ != WeightType::kI8) return {data_, type_, nullptr};
  const auto* scales = reinterpret_cast<const float*>(data_);
  return {scales + rows_, type_, scales};
}

}  // namespace bertie::kernels
