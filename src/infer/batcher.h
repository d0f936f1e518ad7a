// Gathers what waits into batches and has the executor run them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "infer/executor.h"
#include "infer/request_queue.h"

namespace bertie::infer {

struct BatcherOptions {
  // Tokens computed at once: of one batch, or of all in flight where they share the machine. More
  // use the machine better, up to some 64 tokens a core: then each weight read from memory is used
  // often enough (bert-base and MiniLM-L6 on two cores give the same sentences/s at 128 as at 256,
  // a seventh fewer at 64). Beyond that they only make the next request wait longer. The
  // executor's own limit holds too.
  int64_t max_batch_tokens = 128;
  QueueLimits queue;
  // Called before each batch is begun, by the thread that begins it.
  std::function<void(const model::PackedBatch&)> on_batch;
};

// It never waits for a batch to fill: the requests that came while the executor had no place make
// up the next, so load alone sets the size. Whoever submits, or ends a batch, begins the next; a
// thread of its own only watches the time: nobody waits longer than his deadline, whatever the
// executor does.
class Batcher {
 public:
  // The executor must outlive the batcher.
  Batcher(Executor& executor, BatcherOptions options);
  // Waits for the batches under way; requests still waiting get kUnavailable.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // From any thread: nothing is taken any more, and what waits gets kUnavailable. Batches under way
  // are finished.
  void Close();

  // From any thread; never waits for the executor. On an error (RequestQueue::Push's, or
  // kUnavailable after the end began) `done` is not called.
  Status Submit(InferRequest request);

  bool available() const { return executor_.available(); }
  int64_t max_request_tokens() const { return options_.queue.max_tokens; }
  size_t queued_requests() const;
  int64_t queued_tokens() const;
  // Since the start, for metrics and tests.
  int64_t batches() const { return batches_; }
  int64_t computed_tokens() const { return computed_tokens_; }

 private:
  using Lock = std::unique_lock<std::mutex>;
  // Answers found under the mutex, given after it.
  struct Answer {
    std::shared_ptr<QueueEntry> entry;
    Result<InferResult> result;
  };

  void Loop();
  Clock::time_point NextDeadline() const;
  // These four are called with the mutex held; Pump lets it go while a batch begins.
  void Pump(Lock& lock);
  // `begun`: the turns that came before this one since a place became free.
  std::shared_ptr<Turn> NextTurn(int64_t begun, std::vector<Answer>& answers);
  int64_t NextTokens(int64_t begun) const;
  void TakeLate(std::vector<Answer>& answers);

  void Begin(const std::shared_ptr<Turn>& turn);
  void OnDone(const std::shared_ptr<Turn>& turn, Result<std::vector<float>> logits);
  void Deliver(const Turn& turn, const float* logits, std::vector<Answer>& answers);
  void GiveUp(const std::shared_ptr<Turn>& turn, const Error& error, std::vector<Answer>& answers);
  static void Give(std::vector<Answer> answers);

  Executor& executor_;
  const BatcherOptions options_;
  mutable std::mutex mutex_;      // guards all below down to pumping_, and every entry's results
  std::condition_variable wake_;  // of the thread, and of the end
  RequestQueue queue_;
  std::vector<std::shared_ptr<Turn>> in_flight_;
  std::vector<std::shared_ptr<Turn>> again_;  // parts of batches that failed, each by itself
  Clock::time_point watched_ = Clock::time_point::max();  // until when the thread sleeps
  bool stop_ = false;
  bool pumping_ = false;
  std::atomic<int64_t> batches_{0};
  std::atomic<int64_t> computed_tokens_{0};
  std::thread thread_;
};

}  // namespace bertie::infer
