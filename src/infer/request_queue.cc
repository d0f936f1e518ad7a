#include "infer/request_queue.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

namespace bertie::infer {
namespace {

int64_t CountTokens(const InferRequest& request) {
  int64_t tokens = 0;
  for (const auto& sequence : request.sequences) {
    tokens += static_cast<int64_t>(sequence.ids.size());
  }
  return tokens;
}

}  // namespace

void QueueEntry::Respond(Result<InferResult> result) {
  try {
    request.done(std::move(result));
  } catch (const std::exception&) {
    // Want of memory while an answer is written ends that request, not the batcher.
    request.done = nullptr;
  }
}

Error DropError(const QueueEntry& entry) {
  if (entry.request.cancelled.stop_requested()) {
    return {ErrorCode::kCancelled, "the client has gone"};
  }
  return {ErrorCode::kDeadlineExceeded, "the request's time ran out while it waited"};
}

Status RequestQueue::Push(InferRequest request, Clock::time_point now) {
  int64_t tokens = CountTokens(request);
  if (tokens > limits_.max_tokens) {
    return Error{ErrorCode::kInvalidArgument, "the texts have " + std::to_string(tokens) +
                                                  " tokens together; the limit is " +
                                                  std::to_string(limits_.max_tokens)};
  }
  if (size() >= limits_.max_requests || tokens_ + tokens > limits_.max_tokens) {
    return Error{ErrorCode::kResourceExhausted, "the queue is full with " + std::to_string(size()) +
                                                    " requests and " + std::to_string(tokens_) +
                                                    " tokens"};
  }
  auto entry = std::make_shared<QueueEntry>();
  entry->request = std::move(request);
  entry->arrival = now;
  entry->tokens_waiting = tokens;
  entries_.push_back(std::move(entry));
  tokens_ += tokens;
  return {};
}

std::vector<std::shared_ptr<QueueEntry>> RequestQueue::TakeDead(Clock::time_point now) {
  std::vector<std::shared_ptr<QueueEntry>> dead;
  const auto take = [&](const std::shared_ptr<QueueEntry>& entry) {
    bool drop =
        entry->ended || entry->request.deadline <= now || entry->request.cancelled.stop_requested();
    if (drop) {
      tokens_ -= entry->tokens_waiting;
      dead.push_back(entry);
    }
    return drop;
  };
  std::erase_if(entries_, take);
  std::erase_if(resumed_, take);
  return dead;
}

std::vector<std::shared_ptr<QueueEntry>> RequestQueue::TakeAll() {
  tokens_ = 0;
  auto entries = std::exchange(entries_, {});
  entries.insert(entries.end(), resumed_.begin(), resumed_.end());
  resumed_.clear();
  return {entries.begin(), entries.end()};
}

Clock::time_point RequestQueue::NextDeadline() const {
  auto next = Clock::time_point::max();
  for (const auto& entry : entries_) next = std::min(next, entry->request.deadline);
  for (const auto& entry : resumed_) next = std::min(next, entry->request.deadline);
  return next;
}

Turn RequestQueue::TakeBatch(int64_t max_tokens, Clock::time_point now) {
  const int64_t share = max_tokens / 4;
  entries_.insert(entries_.end(), resumed_.begin(), resumed_.end());
  resumed_.clear();
  Turn turn;
  while (!entries_.empty()) {
    std::shared_ptr<QueueEntry> entry = entries_.front();
    const int64_t before = turn.batch.tokens();
    const auto fits = [&](int64_t size) {
      if (turn.batch.tokens() == 0) return true;
      if (turn.batch.tokens() + size > max_tokens) return false;
      return turn.batch.tokens() == before || turn.batch.tokens() - before + size <= share;
    };
    Slice slice{entry, entry->taken, entry->taken};
    const auto& sequences = entry->request.sequences;
    while (slice.end < sequences.size() &&
           fits(static_cast<int64_t>(sequences[slice.end].ids.size()))) {
      turn.batch.Add(sequences[slice.end].ids, sequences[slice.end].type_ids);
      ++slice.end;
    }
    if (slice.begin == slice.end) break;  // the batch is full; this one is first in the next
    int64_t added = turn.batch.tokens() - before;
    if (entry->taken == 0) entry->start = now;
    entry->taken = slice.end;
    entry->tokens_waiting -= added;
    tokens_ -= added;
    turn.slices.push_back(std::move(slice));
    entries_.pop_front();
    if (entry->taken < sequences.size()) entries_.push_back(std::move(entry));
  }
  // Those who had no turn yet stay in front; the others let newcomers pass.
  std::erase_if(entries_, [&](const std::shared_ptr<QueueEntry>& entry) {
    bool had_turn = std::any_of(turn.slices.begin(), turn.slices.end(),
                                [&](const Slice& slice) { return slice.entry == entry; });
    if (had_turn) resumed_.push_back(entry);
    return had_turn;
  });
  return turn;
}

}  // namespace bertie::infer
