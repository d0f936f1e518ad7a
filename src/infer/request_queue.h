// Requests that wait for the executor, and the choice of what goes into the next batch.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/status.h"
#include "infer/executor.h"
#include "model/batch.h"
#include "text/tokenizer.h"

namespace bertie::infer {

struct InferResult {
  std::vector<float> logits;   // [sequences, num_labels], row-major
  Clock::duration queue_time;  // from its coming to the start of its first batch
  Clock::duration total_time;  // to the end of its last
};

struct InferRequest {
  std::vector<text::Encoding> sequences;  // at least one, none empty
  Clock::time_point deadline = Clock::time_point::max();
  std::stop_token cancelled;
  // Called once, by a thread of the batcher's or the executor's; must not block. Errors:
  // kCancelled, kDeadlineExceeded, kUnavailable (shut down before its turn), or the executor's.
  std::function<void(Result<InferResult>)> done;
};

struct QueueLimits {
  size_t max_requests = 512;
  // Bounds the memory and the time that the queue stands for. A request over it is never taken.
  int64_t max_tokens = 65'536;
};

// A request in the queue, part of it perhaps computed.
struct QueueEntry {
  InferRequest request;
  Clock::time_point arrival;
  Clock::time_point start;     // of its first batch
  size_t taken = 0;            // sequences that went into batches
  size_t computed = 0;         // sequences whose logits are there
  bool ended = false;          // somebody has undertaken to answer
  int64_t tokens_waiting = 0;  // of the sequences not taken
  std::vector<float> logits;

  // True the first time: the caller, and nobody else, is then to call Respond, once.
  bool End() { return !std::exchange(ended, true); }
  void Respond(Result<InferResult> result);  // calls done
};

// Sequences [begin, end) of one entry, in the order they were put into a batch.
struct Slice {
  std::shared_ptr<QueueEntry> entry;
  size_t begin = 0;
  size_t end = 0;
};

struct Turn {
  model::PackedBatch batch;
  std::vector<Slice> slices;
  bool ended = false;  // the executor has answered
};

// Not safe for several threads: the batcher guards it. Requests take turns: each puts at most a
// quarter of a batch in before the next has its turn, and one that is part way through goes behind
// those that came while its last batch ran. So a request with a thousand sentences holds up one
// with a single sentence by the batch that runs, not by a thousand sentences.
class RequestQueue {
 public:
  explicit RequestQueue(const QueueLimits& limits) : limits_(limits) {}

  // kResourceExhausted when the queue is full, kInvalidArgument when the request alone is over
  // max_tokens; `done` is not called then.
  Status Push(InferRequest request, Clock::time_point now);

  // Takes out the entries whose clients have gone or whose deadline has passed. The caller finishes
  // them, with the error their state calls for (DropError).
  std::vector<std::shared_ptr<QueueEntry>> TakeDead(Clock::time_point now);
  std::vector<std::shared_ptr<QueueEntry>> TakeAll();
  // The earliest of those that wait; time_point::max() when there is none.
  Clock::time_point NextDeadline() const;

  // Sequences of at most max_tokens together, or one that is longer by itself. Empty when nothing
  // waits.
  Turn TakeBatch(int64_t max_tokens, Clock::time_point now);

  bool empty() const { return size() == 0; }
  size_t size() const { return entries_.size() + resumed_.size(); }
  int64_t tokens() const { return tokens_; }

 private:
  QueueLimits limits_;
  std::deque<std::shared_ptr<QueueEntry>> entries_;  // whose turn is next first
  std::deque<std::shared_ptr<QueueEntry>> resumed_;  // had a turn; join entries_ at the next
  int64_t tokens_ = 0;                               // not yet taken, over all entries
};

Error DropError(const QueueEntry& entry);

}  // namespace bertie::infer
