// The one thread that computes: batch after batch, on all of the accelerator's threads.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "accelerator/fair_queue.h"
#include "base/status.h"
#include "base/thread_pool.h"

namespace bertie::accelerator {

struct SchedulerOptions {
  int threads = 1;
  int64_t max_batch_tokens = 64;  // of what is computed at once; see infer::BatcherOptions
};

// Totals since the start, and what waits now.
struct SchedulerTotals {
  static constexpr size_t kSizes = 14;  // batches of up to 8, 16, ... 65,536 tokens; the last: more

  uint64_t batches = 0;
  uint64_t sentences = 0;
  uint64_t tokens = 0;
  uint64_t urgent = 0;    // batches that were computed in the middle of another
  uint64_t failures = 0;  // works that ended with an error
  double busy_seconds = 0;
  std::array<uint64_t, kSizes + 1> batch_tokens{};
  uint64_t queued_works = 0;
  int64_t queued_tokens = 0;
};

// Any thread. It never waits for a batch to fill. Sessions are served as FairQueue says, and when
// more than one has asked for something in the last seconds, small works of one that is behind are
// computed between two layers of a running batch.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);
  // Lets the batch that runs end; what still waits ends with kUnavailable.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void Add(const SessionPtr& session);
  // Whatever the session still waits for is forgotten; the `done` of a work that ends at this
  // moment may still be called.
  void Remove(const SessionPtr& session);

  // The ids and lengths are checked first. On an error (kInvalidArgument: an id out of its table,
  // no sentence, a work with that id is open; FairQueue::Push's; kUnavailable after the end began)
  // `done` is not called.
  Status Submit(const SessionPtr& session, WorkPtr work);

  // Ends the work with kCancelled, if it is open.
  void Cancel(const SessionPtr& session, uint64_t id);

  SchedulerTotals Totals() const;

  // Copies, in the order the sessions came in.
  struct Use {
    SessionPtr session;
    SessionUse use;
    int64_t queued_tokens = 0;
    double recent_busy = 0;
  };
  std::vector<Use> Uses() const;

 private:
  void Loop();
  void RunTurn(const Turn& turn, bool may_be_interrupted);
  void RunUrgent(const Turn& running);
  void RunSlicesAlone(const Turn& turn);
  void Deliver(const Turn& turn, const std::vector<float>& logits, Clock::duration took);
  void Fail(const Slice& slice, const Error& error);
  static void EndExpired(const std::vector<WorkPtr>& expired);
  bool Shared(Clock::time_point now) const;

  const SchedulerOptions options_;
  ThreadPool pool_;
  Clock::duration urgent_time_{0};  // the loop's own: what was computed inside the turn that runs
  mutable std::mutex mutex_;        // guards all below, and the sessions' places
  std::condition_variable wake_;
  FairQueue queue_;
  SchedulerTotals totals_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace bertie::accelerator
