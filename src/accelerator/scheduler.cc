#include "accelerator/scheduler.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/elapsed.h"
#include "infer/executor.h"

namespace bertie::accelerator {
namespace {

// between_layers, where there is one, may use the pool too.
Result<std::vector<float>> Compute(const Turn& turn, ThreadPool& pool,
                                   const std::function<void()>& between_layers) {
  try {
    if (!between_layers) return turn.model->classifier.Forward(turn.batch, pool);
    return turn.model->classifier.Forward(turn.batch, [&]() -> ThreadPool& {
      between_layers();
      return pool;
    });
  } catch (const std::exception&) {
    return infer::ErrorOfException();
  }
}

void Settle(Work& work, Result<WorkResult> result) {
  const auto done = std::exchange(work.done, nullptr);
  try {
    done(std::move(result));
  } catch (const std::exception&) {
    // Want of memory while an answer is written ends that work, not the scheduler.
  }
}

size_t SizeClass(int64_t tokens) {
  size_t index = 0;
  for (int64_t bound = 8; index < SchedulerTotals::kSizes && tokens > bound; bound *= 2) ++index;
  return index;
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.threads), queue_(options.max_batch_tokens) {
  thread_ = std::thread([this] { Loop(); });
}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  std::vector<WorkPtr> works;
  for (const SessionPtr& session : std::vector(queue_.sessions())) {
    for (WorkPtr& work : queue_.Remove(session)) works.push_back(std::move(work));
  }
  for (const WorkPtr& work : works) {
    Settle(*work, Error{ErrorCode::kUnavailable, "the accelerator is shutting down"});
  }
}

void Scheduler::Add(const SessionPtr& session) {
  std::lock_guard lock(mutex_);
  queue_.Add(session);
}

void Scheduler::Remove(const SessionPtr& session) {
  std::vector<WorkPtr> forgotten;  // destroyed outside the lock
  std::lock_guard lock(mutex_);
  forgotten = queue_.Remove(session);
  for (const WorkPtr& work : forgotten) work->ended = true;
}

Status Scheduler::Submit(const SessionPtr& session, WorkPtr work) {
  if (work->batch.size() == 0) {
    return Error{ErrorCode::kInvalidArgument, "found no sentence in the batch"};
  }
  BERTIE_RETURN_IF_ERROR(model::CheckBatch(work->batch, session->model->config()));
  {
    std::lock_guard lock(mutex_);
    if (stop_) return Error{ErrorCode::kUnavailable, "the accelerator is shutting down"};
    for (const WorkPtr& open : session->open) {
      if (open->id == work->id) {
        return Error{ErrorCode::kInvalidArgument,
                     "batch " + std::to_string(work->id) + " is under way already"};
      }
    }
    BERTIE_RETURN_IF_ERROR(queue_.Push(*session, std::move(work), Clock::now()));
  }
  wake_.notify_one();
  return {};
}

void Scheduler::Cancel(const SessionPtr& session, uint64_t id) {
  WorkPtr work;
  {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(session->open.begin(), session->open.end(),
                                    [&](const WorkPtr& open) { return open->id == id; });
    if (found == session->open.end()) return;
    work = *found;
    work->ended = true;
    session->open.erase(found);
    queue_.Forget(*session, work);
    ++session->use.failures;
    ++totals_.failures;
  }
  Settle(*work, Error{ErrorCode::kCancelled, "the endpoint has cancelled the batch"});
}

void Scheduler::Loop() {
  while (true) {
    std::vector<WorkPtr> expired;
    Turn turn;
    bool shared = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || queue_.waiting_tokens() > 0; });
      if (stop_) return;
      const auto now = Clock::now();
      expired = queue_.TakeExpired(now);
      totals_.failures += expired.size();
      turn = queue_.TakeBatch(now);
      shared = Shared(now);
    }
    EndExpired(expired);
    if (turn.slices.empty()) continue;
    urgent_time_ = Clock::duration{0};
    RunTurn(turn, shared);
  }
}

// Whether somebody else may ask for something while a batch of one session runs.
bool Scheduler::Shared(Clock::time_point now) const {
  constexpr std::chrono::seconds kRecent{5};
  int asking = 0;
  for (const SessionPtr& session : queue_.sessions()) asking += now - session->asked < kRecent;
  return asking > 1;
}

void Scheduler::RunTurn(const Turn& turn, bool may_be_interrupted) {
  std::function<void()> between_layers;
  if (may_be_interrupted) between_layers = [this, &turn] { RunUrgent(turn); };
  const auto begin = Clock::now();
  const auto logits = Compute(turn, pool_, between_layers);
  if (!logits.ok()) {
    // One batch's fault must not become its neighbours': each sentence is tried by itself.
    if (turn.slices.size() > 1) return RunSlicesAlone(turn);
    return Fail(turn.slices.front(), logits.error());
  }
  auto took = Clock::now() - begin;
  if (may_be_interrupted) took -= urgent_time_;
  Deliver(turn, *logits, took);
}

void Scheduler::RunUrgent(const Turn& running) {
  const auto begin = Clock::now();
  std::vector<WorkPtr> expired;
  Turn turn;
  {
    std::lock_guard lock(mutex_);
    if (stop_ || queue_.waiting_tokens() == 0) return;
    expired = queue_.TakeExpired(begin);
    totals_.failures += expired.size();
    turn = queue_.TakeUrgent(running, begin);
    if (!turn.slices.empty()) ++totals_.urgent;
  }
  EndExpired(expired);
  if (!turn.slices.empty()) RunTurn(turn, false);
  urgent_time_ += Clock::now() - begin;
}

void Scheduler::RunSlicesAlone(const Turn& turn) {
  for (size_t i = 0; i < turn.slices.size(); ++i) {
    Turn alone;
    alone.model = turn.model;
    alone.slices.push_back(turn.slices[i]);
    alone.batch.AddFrom(turn.batch, static_cast<int64_t>(i));
    RunTurn(alone, false);
  }
}

void Scheduler::Deliver(const Turn& turn, const std::vector<float>& logits, Clock::duration took) {
  std::vector<std::pair<WorkPtr, WorkResult>> finished;
  const auto labels = static_cast<size_t>(turn.model->config().num_labels());
  const auto now = Clock::now();
  {
    std::lock_guard lock(mutex_);
    ++totals_.batches;
    totals_.sentences += turn.slices.size();
    totals_.tokens += static_cast<uint64_t>(turn.batch.tokens());
    totals_.busy_seconds += InSeconds(took);
    ++totals_.batch_tokens[SizeClass(turn.batch.tokens())];
    for (size_t i = 0; i < turn.slices.size(); ++i) {
      const Slice& slice = turn.slices[i];
      Work& work = *slice.work;
      SessionUse& use = slice.session->use;
      const int64_t tokens = work.SentenceTokens(slice.begin);
      use.AddBusy(
          InSeconds(took) * static_cast<double>(tokens) / static_cast<double>(turn.batch.tokens()),
          now);
      ++use.sentences;
      use.tokens += static_cast<uint64_t>(tokens);
      if (work.ended) continue;
      if (i == 0 || turn.slices[i - 1].work != slice.work) work.compute_time += took;
      work.logits.resize(static_cast<size_t>(work.batch.size()) * labels);
      std::copy_n(logits.data() + i * labels, labels,
                  work.logits.data() + static_cast<size_t>(slice.begin) * labels);
      if (++work.computed < work.batch.size()) continue;
      work.ended = true;
      std::erase(slice.session->open, slice.work);
      ++use.batches;
      use.AddTimes(InSeconds(work.start - work.arrival), InSeconds(now - work.arrival));
      finished.emplace_back(slice.work, WorkResult{std::move(work.logits),
                                                   work.start - work.arrival, work.compute_time});
    }
  }
  for (auto& [work, result] : finished) Settle(*work, std::move(result));
}

void Scheduler::Fail(const Slice& slice, const Error& error) {
  {
    std::lock_guard lock(mutex_);
    if (slice.work->ended) return;
    slice.work->ended = true;
    std::erase(slice.session->open, slice.work);
    queue_.Forget(*slice.session, slice.work);
    ++slice.session->use.failures;
    ++totals_.failures;
  }
  Settle(*slice.work, error);
}

void Scheduler::EndExpired(const std::vector<WorkPtr>& expired) {
  for (const WorkPtr& work : expired) {
    Settle(*work, Error{ErrorCode::kDeadlineExceeded, "the batch's time ran out while it waited"});
  }
}

SchedulerTotals Scheduler::Totals() const {
  std::lock_guard lock(mutex_);
  SchedulerTotals totals = totals_;
  totals.queued_works = queue_.waiting_works();
  totals.queued_tokens = queue_.waiting_tokens();
  return totals;
}

std::vector<Scheduler::Use> Scheduler::Uses() const {
  std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  std::vector<Use> uses;
  for (const SessionPtr& session : queue_.sessions()) {
    uses.push_back({session, session->use, session->tokens, session->use.RecentBusy(now)});
  }
  return uses;
}

}  // namespace bertie::accelerator
