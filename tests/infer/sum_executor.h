// An executor whose answers can be checked by hand: a sentence's logits are the sum of its ids and
// the sum of id times (position + 1), so that a mixed-up order or boundary shows.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "infer/executor.h"

namespace bertie::infer {

inline std::vector<float> SumLogits(const std::vector<int32_t>& ids) {
  float sum = 0;
  float weighted = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    sum += static_cast<float>(ids[i]);
    weighted += static_cast<float>(ids[i]) * static_cast<float>(i + 1);
  }
  return {sum, weighted};
}

class SumExecutor : public Executor {
 public:
  static constexpr int32_t kPoison = 666;  // a batch that holds it fails

  int64_t num_labels() const override { return 2; }

  void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point /*deadline*/,
             Done done) override {
    pool_.Run([this, batch = std::move(batch), done = std::move(done)](ComputePool::Lane&) {
      done(Compute(*batch));
    });
  }

  // A closed gate holds each batch where it is until the gate opens.
  void CloseGate() {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  void OpenGate() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void WaitUntilRunning() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }
  std::vector<model::PackedBatch> batches() {
    std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  Result<std::vector<float>> Compute(const model::PackedBatch& batch) {
    std::unique_lock lock(mutex_);
    batches_.push_back(batch);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
    std::vector<float> logits;
    for (int64_t i = 0; i < batch.size(); ++i) {
      auto first = batch.token_ids.begin() + batch.cumulative_seq_lengths[i];
      auto last = batch.token_ids.begin() + batch.cumulative_seq_lengths[i + 1];
      std::vector<int32_t> ids(first, last);
      for (int32_t id : ids) {
        if (id == kPoison) return Error{ErrorCode::kInternal, "poison"};
      }
      for (float logit : SumLogits(ids)) logits.push_back(logit);
    }
    return logits;
  }

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool open_ = true;
  int waiting_ = 0;
  std::vector<model::PackedBatch> batches_;
  ComputePool pool_{1};  // ends first
};

}  // namespace bertie::infer
