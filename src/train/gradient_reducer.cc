#include "train/gradient_reducer.h"

#include <algorithm>
#include <span>

namespace bertie::train {

GradientReducer::GradientReducer(comm::Communicator& communicator,
                                 model::ParameterStore& parameters, const ReducerOptions& options)
    : communicator_(communicator), parameters_(parameters), options_(options) {
  const int64_t bucket =
      std::max<int64_t>(1, options.bucket_bytes / static_cast<int64_t>(sizeof(float)));
  const int64_t first = parameters.dense_begin();
  for (int64_t end = parameters.size(); end > first; end -= bucket) cuts_.push_back(end);
  cuts_.push_back(first);
  thread_ = std::thread([this] { Run(); });
}

GradientReducer::~GradientReducer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GradientReducer::Begin() {
  {
    std::lock_guard lock(mutex_);
    running_ = true;
    ready_from_ = parameters_.size();
  }
  changed_.notify_all();
}

void GradientReducer::Ready(int64_t from) {
  {
    std::lock_guard lock(mutex_);
    ready_from_ = std::min(ready_from_, from);
  }
  changed_.notify_all();
}

Status GradientReducer::Finish() {
  Ready(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !running_; });
  return status_;
}

void GradientReducer::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || running_; });
    if (stop_) return;
    Status status = status_;
    // The bucket [cuts_[i], cuts_[i - 1]) for each i, then the rows.
    for (size_t i = 1; i <= cuts_.size() && status.ok(); ++i) {
      const int64_t begin = i < cuts_.size() ? cuts_[i] : 0;
      changed_.wait(lock, [&] { return stop_ || ready_from_ <= begin; });
      if (stop_) return;
      lock.unlock();
      status = i < cuts_.size() ? SumOne(begin, cuts_[i - 1]) : SumWordRows();
      lock.lock();
    }
    status_ = status;
    running_ = false;
    changed_.notify_all();
  }
}

Status GradientReducer::SumOne(int64_t begin, int64_t end) {
  return communicator_.AllReduce(
      std::span(parameters_.gradients() + begin, static_cast<size_t>(end - begin)), options_.wire);
}

Status GradientReducer::SumWordRows() {
  if (!parameters_.trains_words()) return {};
  const auto& touched = parameters_.touched_rows();
  const int64_t width = parameters_.row_size();
  rows_.resize(touched.size() * static_cast<size_t>(width));
  float* gradients = parameters_.gradients();
  auto to = rows_.begin();
  for (int32_t row : touched) to = std::copy_n(gradients + row * width, width, to);
  BERTIE_RETURN_IF_ERROR(communicator_.AllReduce(std::span(rows_), options_.wire));
  auto from = rows_.cbegin();
  for (int32_t row : touched) {
    std::copy_n(from, width, gradients + row * width);
    from += width;
  }
  return {};
}

}  // namespace bertie::train
