#include "cli/attached_executors.h"

#include <algorithm>
#include <utility>

namespace bertie::cli {
namespace {

using accelerator::RemoteStats;

void AddAccelerator(const RemoteStats::Accelerator& each, RemoteStats& sum) {
  auto found = std::find_if(sum.accelerators.begin(), sum.accelerators.end(),
                            [&](const auto& other) { return other.address == each.address; });
  if (found == sum.accelerators.end()) return sum.accelerators.push_back(each);
  // One client that gets answers shows that the accelerator takes batches.
  const bool takes = (found->attached && !found->resting) || (each.attached && !each.resting);
  found->attached = found->attached || each.attached;
  found->resting = found->attached && !takes;
  found->in_flight += each.in_flight;
}

void AddStats(const RemoteStats& each, RemoteStats& sum) {
  for (const auto& accelerator : each.accelerators) AddAccelerator(accelerator, sum);
  for (const auto count :
       {&RemoteStats::remote_batches, &RemoteStats::fallback_batches, &RemoteStats::failed_batches,
        &RemoteStats::hedged_batches, &RemoteStats::sent_batches, &RemoteStats::attachments,
        &RemoteStats::upload_bytes, &RemoteStats::bytes_sent, &RemoteStats::bytes_received}) {
    sum.*count += each.*count;
  }
  for (size_t i = 0; i < sum.round_trips.size(); ++i) sum.round_trips[i] += each.round_trips[i];
  sum.round_trip_seconds += each.round_trip_seconds;
}

}  // namespace

class AttachedExecutors::Counted : public infer::Executor {
 public:
  Counted(AttachedExecutors& all, std::unique_ptr<accelerator::RemoteExecutor> executor)
      : all_(all), executor_(std::move(executor)) {
    std::lock_guard lock(all_.mutex_);
    all_.executors_.insert(executor_.get());
  }
  ~Counted() override {
    std::lock_guard lock(all_.mutex_);
    all_.executors_.erase(executor_.get());
  }

  int64_t num_labels() const override { return executor_->num_labels(); }
  void Start(std::shared_ptr<const model::PackedBatch> batch, infer::Clock::time_point deadline,
             Done done) override {
    executor_->Start(std::move(batch), deadline, std::move(done));
  }
  int max_in_flight() const override { return executor_->max_in_flight(); }
  int64_t max_batch_tokens() const override { return executor_->max_batch_tokens(); }
  bool shares_batches() const override { return executor_->shares_batches(); }
  bool available() const override { return executor_->available(); }

 private:
  AttachedExecutors& all_;
  const std::unique_ptr<accelerator::RemoteExecutor> executor_;
};

std::unique_ptr<infer::Executor> AttachedExecutors::Add(
    std::unique_ptr<accelerator::RemoteExecutor> executor) {
  return std::make_unique<Counted>(*this, std::move(executor));
}

bool AttachedExecutors::empty() const {
  std::lock_guard lock(mutex_);
  return executors_.empty();
}

RemoteStats AttachedExecutors::Sum() const {
  std::lock_guard lock(mutex_);
  RemoteStats sum;
  for (const auto* executor : executors_) AddStats(executor->stats(), sum);
  return sum;
}

}  // namespace bertie::cli
