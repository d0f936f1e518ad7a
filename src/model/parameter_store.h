// A model's parameters and their gradients in flat memory, for training.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "tensor/buffer.h"

namespace bertie::model {

// One parameter's place in the flat buffers.
struct ParameterSlot {
  std::string name;
  Shape shape;
  int64_t offset = 0;
  int64_t count = 0;
  bool no_decay = false;
};

// Values and gradients of every parameter. The query, key and value weights of a layer lie end to
// end, as do their biases, so that one product computes all three; the word embeddings come first,
// since of their rows only those that batches name ever have a gradient.
//
// Not thread-safe.
class ParameterStore {
 public:
  static Result<ParameterStore> Create(const Checkpoint& checkpoint);

  std::span<const ParameterSlot> slots() const { return slots_; }
  int64_t size() const { return size_; }
  // The place of a parameter, which must exist.
  int64_t offset(const std::string& name) const;

  float* values() { return values_.data(); }
  const float* values() const { return values_.data(); }
  float* gradients() { return gradients_.data(); }
  const float* gradients() const { return gradients_.data(); }

  // Word embeddings: [0, word_size()) of the flat buffers, rows of row_size() floats.
  int64_t word_size() const { return slots_.front().count; }
  int64_t row_size() const { return slots_.front().shape[1]; }
  // Says that the batch's gradients will touch these rows.
  void TouchRows(std::span<const int32_t> token_ids);
  // Rows touched since ZeroGradients, and rows touched ever, both ascending.
  const std::vector<int32_t>& touched_rows() const { return touched_; }
  const std::vector<int32_t>& ever_touched_rows() const { return ever_touched_; }
  bool ever_touched(int64_t row) const { return was_ever_touched_[static_cast<size_t>(row)]; }

  // All gradients to zero.
  void ZeroGradients(ThreadPool& pool);
  // The 2-norm of all gradients.
  double GradientNorm(ThreadPool& pool) const;

  // A view of the current values as a checkpoint (valid while the store lives), in
  // ParameterSpecs' order where order matters.
  Checkpoint View(const Config& config) const;
  std::vector<NamedTensor> NamedTensors(const Config& config) const;

 private:
  std::vector<ParameterSlot> slots_;
  int64_t size_ = 0;
  Buffer values_;
  Buffer gradients_;
  std::vector<int32_t> touched_;
  std::vector<int32_t> ever_touched_;
  std::vector<bool> is_touched_;
  std::vector<bool> was_ever_touched_;
};

}  // namespace bertie::model
