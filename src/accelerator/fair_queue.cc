#include "accelerator/fair_queue.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace bertie::accelerator {

int64_t Work::SentenceTokens(int64_t sentence) const {
  const auto i = static_cast<size_t>(sentence);
  return batch.cumulative_seq_lengths[i + 1] - batch.cumulative_seq_lengths[i];
}

void SessionUse::AddBusy(double seconds, Clock::time_point now) {
  const int64_t number = duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  Second& second = seconds_[static_cast<size_t>(number % kShareSeconds)];
  if (second.number != number) second = {number, 0};
  second.busy += seconds;
  busy_seconds += seconds;
}

double SessionUse::RecentBusy(Clock::time_point now) const {
  const int64_t number = duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  double busy = 0;
  for (const Second& second : seconds_) {
    if (second.number > number - kShareSeconds) busy += second.busy;
  }
  return busy;
}

void SessionUse::AddTimes(double queue, double total) {
  if (queue_seconds.size() < kRecent) {
    queue_seconds.push_back(static_cast<float>(queue));
    total_seconds.push_back(static_cast<float>(total));
    return;
  }
  queue_seconds[next_] = static_cast<float>(queue);
  total_seconds[next_] = static_cast<float>(total);
  next_ = (next_ + 1) % kRecent;
}

std::vector<WorkPtr> FairQueue::Remove(const SessionPtr& session) {
  std::erase(sessions_, session);
  tokens_ -= session->tokens;
  session->tokens = 0;
  session->waiting.clear();
  return std::exchange(session->open, {});
}

Status FairQueue::Push(SessionQueue& session, WorkPtr work, Clock::time_point now) {
  const int64_t tokens = work->batch.tokens();
  if (session.open.size() >= session.limits.max_works ||
      session.tokens + tokens > session.limits.max_tokens) {
    return Error{ErrorCode::kResourceExhausted,
                 "the session has " + std::to_string(session.open.size()) + " batches of " +
                     std::to_string(session.tokens) + " tokens waiting; at most " +
                     std::to_string(session.limits.max_works) + " and " +
                     std::to_string(session.limits.max_tokens) + " may"};
  }
  if (session.waiting.empty()) {
    session.virtual_time = std::max(session.virtual_time, virtual_time_);
  }
  work->arrival = now;
  session.asked = now;
  session.tokens += tokens;
  tokens_ += tokens;
  session.open.push_back(work);
  session.waiting.push_back(std::move(work));
  return {};
}

void FairQueue::Forget(SessionQueue& session, const WorkPtr& work) {
  if (std::erase(session.waiting, work) == 0) return;
  for (int64_t i = work->taken; i < work->batch.size(); ++i) {
    session.tokens -= work->SentenceTokens(i);
    tokens_ -= work->SentenceTokens(i);
  }
}

std::vector<WorkPtr> FairQueue::TakeExpired(Clock::time_point now) {
  std::vector<WorkPtr> expired;
  for (const SessionPtr& session : sessions_) {
    const size_t before = expired.size();
    for (const WorkPtr& work : session->waiting) {
      if (work->deadline <= now) expired.push_back(work);
    }
    for (size_t i = before; i < expired.size(); ++i) {
      expired[i]->ended = true;
      Forget(*session, expired[i]);
      std::erase(session->open, expired[i]);
      ++session->use.failures;
    }
  }
  return expired;
}

SessionPtr FairQueue::First(const std::function<bool(const SessionQueue&)>& fits) const {
  SessionPtr first;
  for (const SessionPtr& session : sessions_) {
    if (session->waiting.empty() || !fits(*session)) continue;
    if (first == nullptr || session->virtual_time < first->virtual_time) first = session;
  }
  return first;
}

Turn FairQueue::Fill(SessionPtr first, int64_t max_tokens,
                     const std::function<bool(const SessionQueue&)>& fits, Clock::time_point now) {
  Turn turn;
  if (first == nullptr) return turn;
  turn.model = first->model;
  virtual_time_ = std::max(virtual_time_, first->virtual_time);
  for (SessionPtr session = std::move(first); session != nullptr;
       session = First([&](const SessionQueue& s) { return s.model == turn.model && fits(s); })) {
    const WorkPtr work = session->waiting.front();
    const int64_t size = work->SentenceTokens(work->taken);
    // Nobody smaller is let past: the session would be late by that much each time.
    if (turn.batch.tokens() > 0 && turn.batch.tokens() + size > max_tokens) break;
    turn.batch.AddFrom(work->batch, work->taken);
    if (work->taken == 0) work->start = now;
    turn.slices.push_back({session, work, work->taken, work->taken + 1});
    session->tokens -= size;
    tokens_ -= size;
    session->virtual_time += turn.model->Cost(size) / session->weight;
    if (++work->taken == work->batch.size()) session->waiting.pop_front();
  }
  return turn;
}

Turn FairQueue::TakeBatch(Clock::time_point now) {
  const auto any = [](const SessionQueue&) { return true; };
  const auto light = [&](const SessionQueue& session) {
    return 4 * session.tokens <= max_batch_tokens_;
  };
  SessionPtr first = First(any);
  if (first != nullptr && light(*first)) return Fill(first, max_batch_tokens_, light, now);
  return Fill(first, max_batch_tokens_, any, now);
}

Turn FairQueue::TakeUrgent(const Turn& running, Clock::time_point now) {
  double behind = std::numeric_limits<double>::max();
  double cost = 0;
  for (const Slice& slice : running.slices) {
    behind = std::min(behind, slice.session->virtual_time);
    cost += running.model->Cost(slice.work->SentenceTokens(slice.begin));
  }
  const auto urgent = [&](const SessionQueue& session) {
    if (session.virtual_time >= behind) return false;
    const WorkPtr& work = session.waiting.front();
    if (session.model->Cost(work->SentenceTokens(work->taken)) > cost / 2) return false;
    return std::none_of(running.slices.begin(), running.slices.end(),
                        [&](const Slice& slice) { return slice.session.get() == &session; });
  };
  return Fill(First(urgent), running.batch.tokens() / 2, urgent, now);
}

size_t FairQueue::waiting_works() const {
  size_t works = 0;
  for (const SessionPtr& session : sessions_) works += session->waiting.size();
  return works;
}

}  // namespace bertie::accelerator
