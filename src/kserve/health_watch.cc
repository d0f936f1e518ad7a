#include "kserve/health_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kserve/unary_call.h"

namespace bertie::kserve {
namespace {

using grpc::health::v1::HealthCheckResponse;

constexpr size_t kMaxWatches = 1000;
constexpr std::chrono::seconds kPeriod{1};

}  // namespace

Health HealthNow(const serve::ServeContext& context) {
  return context.NotReady() ? HealthCheckResponse::NOT_SERVING : HealthCheckResponse::SERVING;
}

HealthWatch::HealthWatch(serve::ServeContext& context, std::shared_ptr<HealthWatchers> watchers,
                         grpc::CallbackServerContext& call, bool known)
    : counted_(context),
      watchers_(std::move(watchers)),
      known_(known),
      record_(context, "/grpc.health.v1.Health/Watch", CallFacts(call).request) {
  if (!known) wanted_ = HealthCheckResponse::SERVICE_UNKNOWN;
}

void HealthWatch::Begin() {
  self_ = shared_from_this();
  if (!watchers_->Add(self_)) {
    // Clients take this for "healthy as far as is known", and any other error for "down".
    Drop(501, {grpc::StatusCode::UNIMPLEMENTED,
               "too many watch this server's health: ask by Check instead"});
  }
  Go();
}

void HealthWatch::Want(Health health) {
  std::lock_guard lock(mutex_);
  if (known_ && !end_) wanted_ = health;
}

void HealthWatch::WantLast() {
  std::lock_guard lock(mutex_);
  if (end_) return;
  if (known_) wanted_ = HealthCheckResponse::NOT_SERVING;
  end_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down");
}

void HealthWatch::Drop(int status, grpc::Status end) {
  std::lock_guard lock(mutex_);
  wanted_ = said_;
  if (end_) return;
  end_ = std::move(end);
  end_status_ = status;
}

// What is to be done is done by the caller, and by nobody else meanwhile: gRPC is called without
// the mutex.
HealthWatch::Step HealthWatch::NextStep() {
  std::lock_guard lock(mutex_);
  if (writing_ || finished_) return Step::kNothing;
  if (wanted_ != said_) {
    said_ = wanted_;
    message_.set_status(*wanted_);
    writing_ = true;
    return Step::kWrite;
  }
  finished_ = end_.has_value();
  return finished_ ? Step::kFinish : Step::kNothing;
}

void HealthWatch::Go() {
  const Step step = NextStep();
  if (step == Step::kWrite) StartWrite(&message_);
  if (step == Step::kFinish) Finish(*end_);
}

void HealthWatch::OnWriteDone(bool ok) {
  if (!ok) Drop(200, grpc::Status::CANCELLED);
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
  }
  Go();
}

void HealthWatch::OnCancel() {
  Drop(200, grpc::Status::CANCELLED);
  Go();
}

void HealthWatch::OnDone() {
  const std::shared_ptr<HealthWatch> self = std::move(self_);
  watchers_->Remove(self);  // whoever reads the log finds its place free
  EndRecord(record_, end_status_, *end_);
}

bool HealthWatchers::Add(const std::shared_ptr<HealthWatch>& watch) {
  std::lock_guard lock(mutex_);
  if (watches_.size() >= kMaxWatches) return false;
  watches_.push_back(watch);
  if (draining_) {
    watch->WantLast();
  } else {
    watch->Want(HealthNow(context_));
  }
  if (!timer_) SetTimer();
  return true;
}

void HealthWatchers::Remove(const std::shared_ptr<HealthWatch>& watch) {
  std::lock_guard lock(mutex_);
  std::erase(watches_, watch);
  if (watches_.empty()) timer_.reset();
}

void HealthWatchers::BeginDrain() {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const auto watches = watches_;
  for (const auto& watch : watches) watch->WantLast();
  lock.unlock();
  for (const auto& watch : watches) watch->Go();
}

void HealthWatchers::SetTimer() {
  timer_.emplace();
  timer_->Set(std::chrono::system_clock::now() + kPeriod, [weak = weak_from_this()](bool due) {
    const auto watchers = weak.lock();
    if (due && watchers) watchers->OnTimer();
  });
}

void HealthWatchers::OnTimer() {
  std::unique_lock lock(mutex_);
  if (watches_.empty()) return;
  const auto watches = watches_;
  const Health health = HealthNow(context_);
  for (const auto& watch : watches) watch->Want(health);
  SetTimer();
  lock.unlock();
  for (const auto& watch : watches) watch->Go();
}

}  // namespace bertie::kserve
