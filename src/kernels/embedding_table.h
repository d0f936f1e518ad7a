// A table of rows that are looked up one by one, in the precision asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/embedding.h"
#include "kernels/packed_matrix.h"

namespace bertie::kernels {

// Immutable; copies share the memory.
class EmbeddingTable {
 public:
  EmbeddingTable() = default;

  // values is [rows, columns], row-major. bf16 is rounded to nearest, ties to even; int8 has a
  // scale for each row, and every value must be finite.
  static EmbeddingTable Pack(const float* values, int64_t rows, int64_t columns, WeightType type,
                             ThreadPool& pool);

  // What bytes() of another table held, Bytes(type, rows, columns) of them; used in place where
  // they begin on a multiple of 4 (storage keeps them alive), else copied.
  static EmbeddingTable FromBytes(WeightType type, int64_t rows, int64_t columns,
                                  const std::byte* bytes, std::shared_ptr<const void> storage);

  // fp32 and bf16: the rows, one after another; int8: the rows' scales (float [rows]), then they.
  static int64_t Bytes(WeightType type, int64_t rows, int64_t columns);

  WeightType type() const { return type_; }
  std::span<const std::byte> bytes() const;
  // To be read while this table lives.
  WordRows rows() const;

 private:
  WeightType type_ = WeightType::kF32;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> storage_;
};

}  // namespace bertie::kernels
