// A model's parameters and their gradients in flat memory, for training.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "model/tuning.h"
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
// since of their rows only those that batches name ever have a gradient. The pooler, the classifier
// and then the adapters come last. What is not trained is therefore one run at the front: no loop
// over gradients or moments touches it, so that its gradients cost no memory.
//
// Not thread-safe.
class ParameterStore {
 public:
  static Result<ParameterStore> Create(const Checkpoint& checkpoint,
                                       const TuningOptions& tuning = {});

  std::span<const ParameterSlot> slots() const { return slots_; }
  int64_t size() const { return size_; }
  // The parameters that are trained lie in [frozen_size(), size()) of the flat buffers. Gradients
  // before that are not even initialised.
  int64_t frozen_size() const { return frozen_size_; }
  std::span<const ParameterSlot> trained_slots() const;
  bool trains_words() const { return frozen_size_ == 0; }
  // Where those begin that have a gradient after every batch: all that are trained but the word
  // embeddings.
  int64_t dense_begin() const { return trains_words() ? word_size() : frozen_size_; }
  const TuningOptions& tuning() const { return tuning_; }
  // The place of a parameter, which must exist.
  int64_t offset(const std::string& name) const;

  // Whoever takes values to write them makes rounded() out of date.
  float* values() {
    is_rounded_ = false;
    return values_.data();
  }
  const float* values() const { return values_.data(); }
  float* gradients() { return gradients_.data(); }
  const float* gradients() const { return gradients_.data(); }

  // The values in bfloat16 at the same offsets, where tuning().bf16, else null; of the word
  // embeddings, which are in no product, nothing is kept. RoundValues brings them up to date,
  // unless the optimiser wrote them with the values and said so.
  uint16_t* rounded();
  void RoundValues(ThreadPool& pool);
  void MarkRounded() { is_rounded_ = true; }

  // Word embeddings: [0, word_size()) of the flat buffers, rows of row_size() floats.
  int64_t word_size() const { return slots_.front().count; }
  int64_t row_size() const { return slots_.front().shape[1]; }
  // Says that the batch's gradients will touch these rows.
  void TouchRows(std::span<const int32_t> token_ids);
  // Rows touched since their gradients were zero, and rows touched ever, both ascending.
  const std::vector<int32_t>& touched_rows() const { return touched_; }
  const std::vector<int32_t>& ever_touched_rows() const { return ever_touched_; }
  bool ever_touched(int64_t row) const { return was_ever_touched_[static_cast<size_t>(row)]; }

  // All gradients to zero, as they are at first.
  void ZeroGradients(ThreadPool& pool);
  // Says that the touched rows' gradients have become zero.
  void ForgetTouchedRows();
  // The 2-norm of all gradients.
  double GradientNorm(ThreadPool& pool) const;

  // A view of the current values as a checkpoint (valid while the store lives and until the next
  // view is made), in ParameterSpecs' order where order matters. Adapters are merged into the
  // weights they stand beside: the checkpoint has no others than a plain model's.
  Checkpoint View(const Config& config);
  std::vector<NamedTensor> NamedTensors(const Config& config);

 private:
  void AddSlots(const Config& config);
  void AddAdapterSlots(const Config& config);
  // adapters.cc has these two.
  void InitializeAdapters();
  void MergeAdapters(Checkpoint& checkpoint);

  TuningOptions tuning_;
  std::vector<ParameterSlot> slots_;
  int64_t size_ = 0;
  int64_t frozen_size_ = 0;
  Buffer values_;
  Buffer gradients_;
  Buffer rounded_;
  bool is_rounded_ = false;
  std::vector<int32_t> touched_;
  std::vector<int32_t> ever_touched_;
  std::vector<bool> is_touched_;
  std::vector<bool> was_ever_touched_;
  Buffer merged_;  // the weights that have adapters, with them
};

}  // namespace bertie::model
