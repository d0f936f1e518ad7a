// Whatever turns batches into logits: this process's processors, or another's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/batch.h"
#include "model/classifier.h"

namespace bertie::infer {

class Executor {
 public:
  virtual ~Executor() = default;

  virtual int64_t num_labels() const = 0;

  // Logits [batch.size(), num_labels()], row-major; a sentence's do not depend on its batch. Called
  // by one thread at a time; blocks until the logits are there. An error is about the whole batch.
  virtual Result<std::vector<float>> Run(const model::PackedBatch& batch) = 0;
};

class LocalExecutor : public Executor {
 public:
  // Both must outlive the executor, which is the pool's only user meanwhile.
  LocalExecutor(const model::Classifier& classifier, ThreadPool& pool)
      : classifier_(classifier), pool_(pool) {}

  int64_t num_labels() const override { return classifier_.config().num_labels(); }
  Result<std::vector<float>> Run(const model::PackedBatch& batch) override {
    return classifier_.Forward(batch, pool_);
  }

 private:
  const model::Classifier& classifier_;
  ThreadPool& pool_;
};

}  // namespace bertie::infer
