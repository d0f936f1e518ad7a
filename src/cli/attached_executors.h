// The accelerators' clients of a server's models.
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "accelerator/remote_executor.h"
#include "infer/executor.h"

namespace bertie::cli {

// Knows which there are, to tell of all of them together. Outlives them. Any thread.
class AttachedExecutors {
 public:
  // The executor, as one that is counted here for as long as it lives.
  std::unique_ptr<infer::Executor> Add(std::unique_ptr<accelerator::RemoteExecutor> executor);

  bool empty() const;
  // Sums; of an accelerator, those of all its clients here, and attached where one is.
  accelerator::RemoteStats Sum() const;

 private:
  class Counted;

  mutable std::mutex mutex_;  // guards the set, and its members' lives
  std::set<const accelerator::RemoteExecutor*> executors_;
};

}  // namespace bertie::cli
