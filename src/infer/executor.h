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

  // Begins a batch; `done` is called once, from any thread, perhaps before Start returns. A
  // sentence's logits do not depend on its batch. After `deadline` nobody waits for them.
  virtual void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point deadline,
                     Done done) = 0;

  // True when Start computes: one thread may then call it at a time, and waits. False: any thread,
  // and Start does not wait.
  virtual bool blocks() const = 0;

  // Batches that may have begun and not ended, at least 1; and the tokens of one. From any thread;
  // may change while batches are under way.
  virtual int max_in_flight() const { return 1; }
  virtual int64_t max_batch_tokens() const { return std::numeric_limits<int64_t>::max(); }

  // False while no batch could be computed. Any thread.
  virtual bool available() const { return true; }
};

// Computes on the caller's thread and those of a pool, when its turn comes.
class LocalExecutor : public Executor {
 public:
  // Both must outlive the executor.
  LocalExecutor(const model::Classifier& classifier, ComputePool& pool)
      : classifier_(classifier), pool_(pool) {}

  int64_t num_labels() const override { return classifier_.config().num_labels(); }
  bool blocks() const override { return true; }
  void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point /*deadline*/,
             Done done) override {
    done(Compute(*batch));
  }

 private:
  // Whoever waits for the threads does not wait for the answers to be written too.
  Result<std::vector<float>> Compute(const model::PackedBatch& batch) {
    const ComputePool::Turn turn(pool_);
    return classifier_.Forward(batch, turn.threads());
  }

  const model::Classifier& classifier_;
  ComputePool& pool_;
};

}  // namespace bertie::infer
