#include "infer/batcher.h"

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <utility>

namespace bertie::infer {
namespace {

Result<std::vector<float>> RunChecked(Executor& executor, const model::PackedBatch& batch) {
  try {
    auto logits = executor.Run(batch);
    if (!logits.ok()) return logits;
    size_t expected = static_cast<size_t>(batch.size() * executor.num_labels());
    if (logits->size() == expected) return logits;
    return Error{ErrorCode::kInternal, "the executor gave " + std::to_string(logits->size()) +
                                           " logits; expected " + std::to_string(expected)};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, "not enough memory for this batch"};
  } catch (const std::exception& error) {
    return Error{ErrorCode::kInternal, std::string("the executor threw: ") + error.what()};
  }
}

}  // namespace

Batcher::Batcher(Executor& executor, BatcherOptions options)
    : executor_(executor), options_(std::move(options)), queue_(options_.queue) {
  thread_ = std::thread([this] { Loop(); });
}

Batcher::~Batcher() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  for (auto& entry : queue_.TakeAll()) {
    entry->Finish(Error{ErrorCode::kUnavailable, "the server is shutting down"});
  }
}

Status Batcher::Submit(InferRequest request) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) return Error{ErrorCode::kUnavailable, "the server is shutting down"};
    BERTIE_RETURN_IF_ERROR(queue_.Push(std::move(request), Clock::now()));
  }
  wake_.notify_one();
  return {};
}

size_t Batcher::queued_requests() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

int64_t Batcher::queued_tokens() const {
  std::lock_guard lock(mutex_);
  return queue_.tokens();
}

void Batcher::Loop() {
  while (true) {
    std::vector<std::shared_ptr<QueueEntry>> dead;
    Turn turn;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      auto now = Clock::now();
      dead = queue_.TakeDead(now);
      turn = queue_.TakeBatch(options_.max_batch_tokens, now);
    }
    for (auto& entry : dead) entry->Finish(DropError(*entry));
    if (!turn.slices.empty()) RunTurn(turn);
  }
}

void Batcher::RunTurn(const Turn& turn) {
  if (options_.on_batch) options_.on_batch(turn.batch);
  auto logits = RunChecked(executor_, turn.batch);
  ++batches_;
  computed_tokens_ += turn.batch.tokens();
  if (logits.ok()) {
    const float* next = logits->data();
    for (const Slice& slice : turn.slices) {
      Deliver(slice, next);
      next += static_cast<int64_t>(slice.end - slice.begin) * executor_.num_labels();
    }
    return;
  }
  if (turn.slices.size() == 1) return turn.slices[0].entry->Finish(logits.error());
  // One request's fault must not become its neighbours': each is tried by itself.
  size_t first_sequence = 0;
  for (size_t i = 0; i < turn.slices.size(); ++i) {
    RunSlice(turn, i, first_sequence);
    first_sequence += turn.slices[i].end - turn.slices[i].begin;
  }
}

void Batcher::RunSlice(const Turn& turn, size_t index, size_t first_sequence) {
  const Slice& slice = turn.slices[index];
  Turn alone;
  const auto& ends = turn.batch.cumulative_seq_lengths;
  for (size_t i = first_sequence; i < first_sequence + (slice.end - slice.begin); ++i) {
    auto begin = static_cast<size_t>(ends[i]);
    auto size = static_cast<size_t>(ends[i + 1]) - begin;
    alone.batch.Add(std::span(turn.batch.token_ids).subspan(begin, size),
                    std::span(turn.batch.type_ids).subspan(begin, size));
  }
  alone.slices.push_back(slice);
  RunTurn(alone);
}

void Batcher::Deliver(const Slice& slice, const float* logits) {
  QueueEntry& entry = *slice.entry;
  if (entry.ended) return;
  const auto labels = static_cast<size_t>(executor_.num_labels());
  entry.logits.resize(entry.request.sequences.size() * labels);
  std::copy_n(logits, (slice.end - slice.begin) * labels,
              entry.logits.begin() + static_cast<std::ptrdiff_t>(slice.begin * labels));
  entry.computed += slice.end - slice.begin;
  if (entry.computed < entry.request.sequences.size()) return;
  auto now = Clock::now();
  entry.Finish(
      InferResult{std::move(entry.logits), entry.start - entry.arrival, now - entry.arrival});
}

}  // namespace bertie::infer
