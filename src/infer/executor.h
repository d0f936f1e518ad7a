// Whatever turns batches into logits: this process's processors, or another's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "base/status.h"
#include "infer/compute_pool.h"
#include "model/batch.h"
#include "model/classifier.h"

namespace bertie::infer {

using Clock = std::chrono::steady_clock;

class Executor {
 public:
  // Logits [batch.size(), num_labels()], row-major. kInvalidArgument, kInternal and
  // kResourceExhausted are about this batch, and smaller ones may do better; other errors would
  // meet any batch.
  using Done = std::function<void(Result<std::vector<float>>)>;

  virtual ~Executor() = default;

  virtual int64_t num_labels() const = 0;

  // Begins a batch and does not wait for it; `done` is called once, from any thread, perhaps before
  // Start returns. A sentence's logits do not depend on its batch. After `deadline` nobody waits
  // for them. Any thread.
  virtual void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point deadline,
                     Done done) = 0;

  // Batches that may have begun and not ended, at least 1; and the tokens of one. From any thread;
  // may change while batches are under way.
  virtual int max_in_flight() const { return 1; }
  virtual int64_t max_batch_tokens() const { return std::numeric_limits<int64_t>::max(); }

  // Whether the batches in flight have a part of the machine each, so that it computes as many
  // tokens at once as all of them hold.
  virtual bool shares_batches() const { return false; }

  // False while no batch could be computed. Any thread.
  virtual bool available() const { return true; }
};

// Called while an exception is handled that ended a batch: the error that the batch has.
Error ErrorOfException();

// Computes on the threads of a pool: a batch a thread, or one on several that would be idle.
class LocalExecutor : public Executor {
 public:
  // Both must outlive the executor.
  LocalExecutor(const model::Classifier& classifier, ComputePool& pool)
      : classifier_(classifier), pool_(pool) {}

  int64_t num_labels() const override { return classifier_.config().num_labels(); }
  int max_in_flight() const override { return pool_.size(); }
  bool shares_batches() const override { return true; }
  void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point deadline,
             Done done) override;

 private:
  Result<std::vector<float>> Compute(const model::PackedBatch& batch,
                                     ComputePool::Lane& lane) const;

  const model::Classifier& classifier_;
  ComputePool& pool_;
};

}  // namespace bertie::infer
