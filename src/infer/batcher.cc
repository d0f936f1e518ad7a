#include "infer/batcher.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

namespace bertie::infer {
namespace {

// Where so few tokens wait, all go into one batch: a large model's weights are read from memory for
// each batch, which two sentences share better than one waits for the other's place. (bert-base in
// bf16 at 70 % load: p50 12.5 ms; 16 with batches of half of what waits, however little.)
constexpr int64_t kLeastBesideOthers = 24;

Error ShuttingDown() { return {ErrorCode::kUnavailable, "the server is shutting down"}; }

// Whether the parts of a batch that failed so may do better by themselves. Where the executor is
// away or the time is up, trying again only adds to the trouble.
bool IsAboutTheBatch(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kInternal ||
         code == ErrorCode::kResourceExhausted;
}

Clock::time_point LastDeadline(const Turn& turn) {
  Clock::time_point last = Clock::time_point::min();
  for (const Slice& slice : turn.slices) last = std::max(last, slice.entry->request.deadline);
  return last;
}

// The slices of a turn as turns of their own.
std::vector<std::shared_ptr<Turn>> Split(const Turn& turn) {
  std::vector<std::shared_ptr<Turn>> turns;
  int64_t sequence = 0;
  for (const Slice& slice : turn.slices) {
    auto alone = std::make_shared<Turn>();
    for (size_t i = slice.begin; i < slice.end; ++i) alone->batch.AddFrom(turn.batch, sequence++);
    alone->slices.push_back(slice);
    turns.push_back(std::move(alone));
  }
  return turns;
}

}  // namespace

Batcher::Batcher(Executor& executor, BatcherOptions options)
    : executor_(executor), options_(std::move(options)), queue_(options_.queue) {
  thread_ = std::thread([this] { Loop(); });
}

Batcher::~Batcher() {
  Close();
  thread_.join();
}

void Batcher::Close() {
  std::vector<Answer> answers;
  {
    Lock lock(mutex_);
    stop_ = true;
    for (auto& entry : queue_.TakeAll()) {
      if (entry->End()) answers.push_back({std::move(entry), ShuttingDown()});
    }
    wake_.notify_all();
  }
  Give(std::move(answers));
}

Status Batcher::Submit(InferRequest request) {
  Lock lock(mutex_);
  if (stop_) return ShuttingDown();
  const auto deadline = request.deadline;
  BERTIE_RETURN_IF_ERROR(queue_.Push(std::move(request), Clock::now()));
  if (deadline < watched_) wake_.notify_all();
  Pump(lock);
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
  Lock lock(mutex_);
  while (!stop_ || pumping_ || !in_flight_.empty() || !again_.empty()) {
    watched_ = NextDeadline();
    if (watched_ == Clock::time_point::max()) {
      wake_.wait(lock);  // a time as far as that overflows in the library's conversions
    } else {
      wake_.wait_until(lock, watched_);
    }
    std::vector<Answer> answers;
    TakeLate(answers);
    if (!answers.empty()) {
      lock.unlock();
      Give(std::move(answers));
      lock.lock();
    }
  }
}

Clock::time_point Batcher::NextDeadline() const {
  auto next = queue_.NextDeadline();
  for (const auto* turns : {&in_flight_, &again_}) {
    for (const auto& turn : *turns) {
      for (const Slice& slice : turn->slices) {
        if (!slice.entry->ended) next = std::min(next, slice.entry->request.deadline);
      }
    }
  }
  return next;
}

void Batcher::TakeLate(std::vector<Answer>& answers) {
  const auto now = Clock::now();
  const auto end = [&](const std::shared_ptr<QueueEntry>& entry) {
    if (entry->End()) answers.push_back({entry, DropError(*entry)});
  };
  for (const auto& entry : queue_.TakeDead(now)) end(entry);
  for (const auto* turns : {&in_flight_, &again_}) {
    for (const auto& turn : *turns) {
      for (const Slice& slice : turn->slices) {
        if (slice.entry->request.deadline <= now) end(slice.entry);
      }
    }
  }
}

void Batcher::Pump(Lock& lock) {
  // One thread at a time begins batches; it sees what others add meanwhile.
  if (std::exchange(pumping_, true)) return;
  for (int64_t begun = 0;; ++begun) {
    std::vector<Answer> answers;
    auto turn = NextTurn(begun, answers);
    if (!turn && answers.empty()) break;
    lock.unlock();
    Give(std::move(answers));
    if (turn) Begin(turn);
    turn.reset();
    lock.lock();
  }
  pumping_ = false;
  if (stop_) wake_.notify_all();
}

int64_t Batcher::NextTokens(int64_t begun) const {
  const int64_t most = std::min(options_.max_batch_tokens, executor_.max_batch_tokens());
  if (!executor_.shares_batches()) return most;
  // Each place takes its part of what waits: those that are busy will soon be free for the rest,
  // and those that have just begun have theirs.
  const int64_t places = executor_.max_in_flight();
  const int64_t takers = std::max<int64_t>(1, places - begun);
  const bool beside_others = static_cast<int64_t>(in_flight_.size()) > begun;
  const int64_t part =
      std::max(beside_others ? kLeastBesideOthers : 1, (queue_.tokens() + takers - 1) / takers);
  return std::min(std::max<int64_t>(1, most / places), part);
}

std::shared_ptr<Turn> Batcher::NextTurn(int64_t begun, std::vector<Answer>& answers) {
  if (static_cast<int64_t>(in_flight_.size()) >= executor_.max_in_flight()) return nullptr;
  std::shared_ptr<Turn> turn;
  if (!again_.empty()) {
    turn = std::move(again_.front());
    again_.erase(again_.begin());
  } else {
    if (queue_.empty()) return nullptr;
    const auto now = Clock::now();
    for (auto& entry : queue_.TakeDead(now)) {
      if (entry->End()) answers.push_back({entry, DropError(*entry)});
    }
    turn = std::make_shared<Turn>(queue_.TakeBatch(NextTokens(begun), now));
    if (turn->slices.empty()) return nullptr;
  }
  in_flight_.push_back(turn);
  return turn;
}

void Batcher::Begin(const std::shared_ptr<Turn>& turn) {
  if (options_.on_batch) options_.on_batch(turn->batch);
  ++batches_;
  computed_tokens_ += turn->batch.tokens();
  try {
    executor_.Start(
        {turn, &turn->batch}, LastDeadline(*turn),
        [this, turn](Result<std::vector<float>> logits) { OnDone(turn, std::move(logits)); });
  } catch (const std::exception&) {
    OnDone(turn, ErrorOfException());
  }
}

void Batcher::OnDone(const std::shared_ptr<Turn>& turn, Result<std::vector<float>> logits) {
  const auto expected = static_cast<size_t>(turn->batch.size() * executor_.num_labels());
  if (logits.ok() && logits->size() != expected) {
    logits = Error{ErrorCode::kInternal, "the executor gave " + std::to_string(logits->size()) +
                                             " logits; expected " + std::to_string(expected)};
  }
  std::vector<Answer> answers;
  Lock lock(mutex_);
  const auto place = std::find(in_flight_.begin(), in_flight_.end(), turn);
  if (place == in_flight_.end() || std::exchange(turn->ended, true)) return;
  if (logits.ok()) {
    Deliver(*turn, logits->data(), answers);
  } else {
    GiveUp(turn, logits.error(), answers);
  }
  // Answered before it counts as ended, so that the end of the batcher does not overtake it.
  lock.unlock();
  Give(std::move(answers));
  lock.lock();
  in_flight_.erase(std::find(in_flight_.begin(), in_flight_.end(), turn));
  Pump(lock);
  // The last touch of the batcher: under the mutex, so that the thread cannot end before it.
  if (stop_) wake_.notify_all();
}

void Batcher::Deliver(const Turn& turn, const float* logits, std::vector<Answer>& answers) {
  const auto labels = static_cast<size_t>(executor_.num_labels());
  for (const Slice& slice : turn.slices) {
    const size_t count = slice.end - slice.begin;
    const float* first = std::exchange(logits, logits + count * labels);
    QueueEntry& entry = *slice.entry;
    if (entry.ended) continue;
    entry.logits.resize(entry.request.sequences.size() * labels);
    std::copy_n(first, count * labels,
                entry.logits.begin() + static_cast<std::ptrdiff_t>(slice.begin * labels));
    entry.computed += count;
    if (entry.computed < entry.request.sequences.size() || !entry.End()) continue;
    answers.push_back(
        {slice.entry, InferResult{std::move(entry.logits), entry.start - entry.arrival,
                                  Clock::now() - entry.arrival}});
  }
}

// One request's fault must not become its neighbours': each is tried by itself.
void Batcher::GiveUp(const std::shared_ptr<Turn>& turn, const Error& error,
                     std::vector<Answer>& answers) {
  if (turn->slices.size() > 1 && IsAboutTheBatch(error.code)) {
    for (auto& alone : Split(*turn)) again_.push_back(std::move(alone));
    return;
  }
  for (const Slice& slice : turn->slices) {
    if (slice.entry->End()) answers.push_back({slice.entry, error});
  }
}

void Batcher::Give(std::vector<Answer> answers) {
  for (Answer& answer : answers) answer.entry->Respond(std::move(answer.result));
}

}  // namespace bertie::infer
