// Gathers what waits into batches and runs them on the executor, one batch after another.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "infer/executor.h"
#include "infer/request_queue.h"

namespace bertie::infer {

struct BatcherOptions {
  // Tokens of one batch. Larger batches use the machine better, up to some 64 tokens a core: then
  // each weight read from memory is used often enough (bert-base and MiniLM-L6 on two cores give
  // the same sentences/s at 128 as at 256, a seventh fewer at 64). Beyond that they only make the
  // next request wait longer.
  int64_t max_batch_tokens = 128;
  QueueLimits queue;
  // Called by the batcher's thread before each batch is run.
  std::function<void(const model::PackedBatch&)> on_batch;
};

// The thread it starts is the executor's only caller. It never waits for a batch to fill: the
// requests that came while one batch ran make up the next, so load alone sets the size.
class Batcher {
 public:
  // The executor must outlive the batcher.
  Batcher(Executor& executor, BatcherOptions options);
  // Lets the batch that runs end; requests still waiting get kUnavailable.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // From any thread; never waits for the executor. On an error (RequestQueue::Push's, or
  // kUnavailable after the end began) `done` is not called.
  Status Submit(InferRequest request);

  size_t queued_requests() const;
  int64_t queued_tokens() const;
  // Since the start, for metrics and tests.
  int64_t batches() const { return batches_; }
  int64_t computed_tokens() const { return computed_tokens_; }

 private:
  void Loop();
  void RunTurn(const Turn& turn);
  void RunSlice(const Turn& turn, size_t slice, size_t first_sequence);
  void Deliver(const Slice& slice, const float* logits);

  Executor& executor_;
  const BatcherOptions options_;
  mutable std::mutex mutex_;  // guards queue_ and stop_
  std::condition_variable wake_;
  RequestQueue queue_;
  bool stop_ = false;
  std::atomic<int64_t> batches_{0};
  std::atomic<int64_t> computed_tokens_{0};
  std::thread thread_;
};

}  // namespace bertie::infer
