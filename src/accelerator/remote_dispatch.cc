// Where RemoteExecutor's batches go, and when one is given up or begun again.
#include <algorithm>
#include <exception>
#include <utility>

#include "accelerator/remote_state.h"

namespace bertie::accelerator {
namespace {

constexpr double kMaxLoadFactor = 16;
// What counts as late while there are too few round trips to say.
constexpr std::chrono::seconds kFirstLate{1};

}  // namespace

void RemoteExecutor::Start(std::shared_ptr<const model::PackedBatch> batch,
                           Clock::time_point deadline, Done done) {
  auto flight = std::make_shared<Flight>();
  flight->batch = std::move(batch);
  flight->deadline = deadline;
  flight->done = std::move(done);
  Actions actions;
  {
    Lock lock(mutex_);
    flight->id = ++last_id_;
    flights_.emplace(flight->id, flight);
    if (Accelerator* accelerator = Pick(nullptr)) {
      hedges_left_ = std::min(kMaxHedges, hedges_left_ + kHedgeShare);
      SendTo(*accelerator, flight, actions);
    } else if (options_.fallback) {
      RunHere(flight, actions);
    } else {
      Answer(flight, Error{ErrorCode::kUnavailable, "no accelerator is attached"}, actions);
    }
    if (std::min(flight->late_at, deadline) < watched_) changed_.notify_all();
  }
  Run(actions);
}

void RemoteExecutor::Run(Actions& actions) {
  for (auto& action : actions) action();
}

RemoteExecutor::Accelerator* RemoteExecutor::Pick(const Accelerator* but) {
  Accelerator* best = nullptr;
  for (auto& each : accelerators_) {
    if (each.get() == but || !each->Usable()) continue;
    if (!best || each->open_tokens < best->open_tokens) best = each.get();
  }
  return best;
}

RemoteExecutor::Clock::duration RemoteExecutor::LateAfter(const Accelerator& accelerator) const {
  const auto p99 = accelerator.round_trips.p99();
  if (p99.count() == 0) return kFirstLate;
  // More work at once than of late takes longer without being late.
  const double load = static_cast<double>(accelerator.open_tokens) / accelerator.usual_tokens;
  return std::max<Clock::duration>(
      std::chrono::duration_cast<Clock::duration>(2 * p99 * std::clamp(load, 1.0, kMaxLoadFactor)),
      options_.min_late);
}

void RemoteExecutor::SendTo(Accelerator& accelerator, const FlightPtr& flight, Actions& actions) {
  const auto now = Clock::now();
  const int64_t tokens = flight->batch->tokens();
  accelerator.open.emplace(flight->id, Accelerator::Sent{now, tokens});
  accelerator.open_tokens += tokens;
  flight->at = &accelerator;
  // With as much time left for a second attempt, however little is known of round trips.
  flight->late_at = flight->again
                        ? Clock::time_point::max()
                        : now + std::min(LateAfter(accelerator), (flight->deadline - now) / 2);
  accelerator.usual_tokens +=
      0.05 * (static_cast<double>(accelerator.open_tokens) - accelerator.usual_tokens);
  accelerator.breaker.OnSent();
  ++stats_.sent_batches;
  std::chrono::microseconds timeout{0};
  if (flight->deadline != Clock::time_point::max()) {
    timeout =
        std::max(std::chrono::microseconds(1),
                 std::chrono::duration_cast<std::chrono::microseconds>(flight->deadline - now));
  }
  actions.push_back([session = accelerator.session, id = flight->id, batch = flight->batch,
                     timeout] { session->Send(id, *batch, timeout); });
}

void RemoteExecutor::RunHere(const FlightPtr& flight, Actions& actions) {
  flight->here = true;
  ++here_;
  actions.push_back([this, flight] { StartHere(flight); });
}

void RemoteExecutor::StartHere(const FlightPtr& flight) {
  if (Clock::now() >= flight->deadline) {
    return OnLocalDone(flight, Error{ErrorCode::kDeadlineExceeded, "no time was left"});
  }
  try {
    options_.fallback->Start(flight->batch, flight->deadline,
                             [this, flight](Result<std::vector<float>> logits) {
                               OnLocalDone(flight, std::move(logits));
                             });
  } catch (const std::exception&) {
    OnLocalDone(flight, infer::ErrorOfException());
  }
}

void RemoteExecutor::Answer(const FlightPtr& flight, Result<std::vector<float>> result,
                            Actions& actions) {
  if (flights_.erase(flight->id) == 0) return;
  flight->answered = true;
  if (!result.ok()) ++stats_.failed_batches;
  actions.push_back([flight, result = std::move(result)]() mutable {
    flight->done(std::move(result));
    flight->done = nullptr;
  });
}

void RemoteExecutor::CancelRemote(const FlightPtr& flight, Actions& actions) {
  if (!flight->at || !flight->at->session || !flight->at->open.contains(flight->id)) return;
  actions.push_back([session = flight->at->session, id = flight->id] { session->Cancel(id); });
}

// For a flight whose accelerator has failed it: elsewhere, once, if there is time.
void RemoteExecutor::TryAgain(const FlightPtr& flight, const Error& error, Actions& actions) {
  if (flight->here) return;  // it is tried again already
  const Error answer =
      IsPassing(error) || IsAboutTheBatch(error)
          ? error
          : Error{ErrorCode::kUnavailable, "the accelerator failed: " + error.message};
  if (IsAboutTheBatch(error) || flight->again) return Answer(flight, answer, actions);
  const Accelerator* failed = flight->at;
  if (options_.fallback) {
    flight->again = true;
    flight->late_at = Clock::time_point::max();
    return RunHere(flight, actions);
  }
  Accelerator* other = Pick(failed);
  if (!other || Clock::now() + other->round_trips.p99() > flight->deadline) {
    return Answer(flight, answer, actions);
  }
  flight->again = true;
  SendTo(*other, flight, actions);
}

// Every flight that the accelerator was to answer goes elsewhere.
void RemoteExecutor::LeaveAll(Accelerator& accelerator, const Error& error, Actions& actions) {
  std::vector<FlightPtr> left;
  for (const auto& [id, flight] : flights_) {
    if (flight->at == &accelerator) left.push_back(flight);
  }
  for (const FlightPtr& flight : left) TryAgain(flight, error, actions);
}

void RemoteExecutor::CountFailure(Accelerator& accelerator, const Error& error, Actions& actions) {
  if (!accelerator.breaker.OnFailure()) return;
  UpdateCapacity();
  const auto wait = accelerator.breaker.wait_before_probe();
  // The link outlives its events; in Begin it may not have been stored yet, but nothing has failed.
  actions.push_back([this, index = accelerator.index, wait, message = error.message] {
    options_.log(options_.addresses[index] + " is left alone until it answers a probe: " + message);
    links_[index]->Probe(wait);
  });
  if (options_.fallback || Pick(&accelerator)) LeaveAll(accelerator, error, actions);
}

void RemoteExecutor::OnLate(const FlightPtr& flight, Clock::time_point now, Actions& actions) {
  flight->late_at = Clock::time_point::max();
  Accelerator& accelerator = *flight->at;
  const Error error{ErrorCode::kDeadlineExceeded,
                    "answers take longer than twice their 99th percentile"};
  if (!options_.fallback && !Pick(&accelerator)) return;  // to wait is all that can be done
  if (hedges_left_ >= 1 && now < flight->deadline) {
    hedges_left_ -= 1;
    ++stats_.hedged_batches;
    TryAgain(flight, error, actions);
  }
  CountFailure(accelerator, error, actions);
}

void RemoteExecutor::WatchTime() {
  Lock lock(mutex_);
  while (!stop_) {
    const auto now = Clock::now();
    watched_ = Clock::time_point::max();
    std::vector<FlightPtr> due;
    for (const auto& [id, flight] : flights_) {
      const auto next = std::min(flight->late_at, flight->deadline);
      if (next <= now) {
        due.push_back(flight);
      } else {
        watched_ = std::min(watched_, next);
      }
    }
    Actions actions;
    for (const FlightPtr& flight : due) {
      if (flight->deadline <= now) {
        CancelRemote(flight, actions);
        Answer(flight,
               Error{ErrorCode::kDeadlineExceeded, "the accelerator did not answer in time"},
               actions);
      } else if (flight->late_at <= now) {
        OnLate(flight, now, actions);
      }
    }
    if (!due.empty()) {
      lock.unlock();
      Run(actions);
      lock.lock();
    } else if (watched_ == Clock::time_point::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, watched_);
    }
  }
}

}  // namespace bertie::accelerator
