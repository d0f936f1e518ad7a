// Whose batch is computed next: weighted fair queueing over sessions.
//
// Start-time fair queueing (Goyal, Vin, Cheng, 1996): a session's virtual time advances by the cost
// of what it was given over its weight; the one whose virtual time is least is next. One that had
// nothing to do begins at the present virtual time, so idling earns no credit.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "accelerator/loaded_models.h"
#include "base/status.h"
#include "model/batch.h"

namespace bertie::accelerator {

using Clock = std::chrono::steady_clock;

struct WorkResult {
  std::vector<float> logits;     // [sentences, num_labels], row-major
  Clock::duration queue_time;    // from its arrival to its computing
  Clock::duration compute_time;  // of the batches it was computed in
};

// What a session asks to have computed at once.
struct Work {
  uint64_t id = 0;
  model::PackedBatch batch;
  Clock::time_point deadline = Clock::time_point::max();
  // Called once, by the scheduler's thread or by whoever cancels; must not block.
  std::function<void(Result<WorkResult>)> done;

  // The queue's own.
  Clock::time_point arrival;
  Clock::time_point start;
  Clock::duration compute_time{0};
  int64_t taken = 0;     // sentences that went into batches
  int64_t computed = 0;  // sentences whose logits are there
  bool ended = false;    // done was called, or is about to be
  std::vector<float> logits;

  int64_t SentenceTokens(int64_t sentence) const;
};
using WorkPtr = std::shared_ptr<Work>;

struct QueueLimits {
  size_t max_works = 32;
  int64_t max_tokens = 65'536;
};

// What a session was given, guarded as its place in the queue is.
struct SessionUse {
  static constexpr size_t kRecent = 1000;
  static constexpr int64_t kShareSeconds = 10;

  // Of the time spent computing, at that moment.
  void AddBusy(double seconds, Clock::time_point now);
  double RecentBusy(Clock::time_point now) const;  // seconds of the last kShareSeconds
  void AddTimes(double queue_seconds, double total_seconds);

  uint64_t batches = 0;
  uint64_t sentences = 0;
  uint64_t tokens = 0;
  uint64_t failures = 0;
  double busy_seconds = 0;
  std::vector<float> queue_seconds;  // of the last kRecent batches, in no order
  std::vector<float> total_seconds;

 private:
  struct Second {
    int64_t number = -1;  // of the clock
    double busy = 0;
  };
  std::array<Second, kShareSeconds> seconds_;
  size_t next_ = 0;
};

// One session's place in the queue.
struct SessionQueue {
  SessionQueue(double units, ModelPtr of, const QueueLimits& most)
      : weight(units), model(std::move(of)), limits(most) {}

  const double weight;
  const ModelPtr model;
  const QueueLimits limits;

  // Guarded by whoever guards the FairQueue.
  double virtual_time = 0;
  std::deque<WorkPtr> waiting;
  int64_t tokens = 0;         // not yet taken
  std::vector<WorkPtr> open;  // not ended: waiting or being computed
  Clock::time_point asked;    // when the last work came
  SessionUse use;
};
using SessionPtr = std::shared_ptr<SessionQueue>;

// Sentences [begin, end) of one work.
struct Slice {
  SessionPtr session;
  WorkPtr work;
  int64_t begin = 0;
  int64_t end = 0;
};

struct Turn {
  ModelPtr model;
  model::PackedBatch batch;
  std::vector<Slice> slices;
};

// Not safe for several threads: the scheduler guards it.
class FairQueue {
 public:
  explicit FairQueue(int64_t max_batch_tokens) : max_batch_tokens_(max_batch_tokens) {}

  void Add(SessionPtr session) { sessions_.push_back(std::move(session)); }
  // The works that had not ended, for the caller to end.
  std::vector<WorkPtr> Remove(const SessionPtr& session);

  // kResourceExhausted when the session has as much waiting as it may.
  Status Push(SessionQueue& session, WorkPtr work, Clock::time_point now);

  // Takes out what waits of a work that has ended.
  void Forget(SessionQueue& session, const WorkPtr& work);

  // Works that are past their deadline, taken out and marked as ended, for the caller to tell them.
  std::vector<WorkPtr> TakeExpired(Clock::time_point now);

  // Sentences of one model, of at most max_batch_tokens together, or one that is longer by itself:
  // the session that is first chooses the model, and all that have it fill the batch in the order
  // of their virtual times. When the first asks for a quarter of a batch or less, only those fill
  // it that do too: one that floods would make it wait for a full batch. No slices when nothing
  // waits.
  Turn TakeBatch(Clock::time_point now);

  // What may be computed in the middle of a turn that runs: work of sessions that are behind all of
  // that turn's, half as large at most. So one that asks for little does not wait for one that asks
  // for much.
  Turn TakeUrgent(const Turn& running, Clock::time_point now);

  int64_t waiting_tokens() const { return tokens_; }
  size_t waiting_works() const;
  const std::vector<SessionPtr>& sessions() const { return sessions_; }

 private:
  SessionPtr First(const std::function<bool(const SessionQueue&)>& fits) const;
  Turn Fill(SessionPtr first, int64_t max_tokens,
            const std::function<bool(const SessionQueue&)>& fits, Clock::time_point now);

  const int64_t max_batch_tokens_;
  std::vector<SessionPtr> sessions_;
  double virtual_time_ = 0;  // of the session that was served last, when it was
  int64_t tokens_ = 0;
};

}  // namespace bertie::accelerator
