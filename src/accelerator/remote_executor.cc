#include "accelerator/remote_executor.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <utility>

namespace bertie::accelerator {
namespace {

// Batches here at a time where no accelerator takes any: one is computed, one is ready for its
// turn.
constexpr int kLocalInFlight = 2;
constexpr double kHedgeShare = 0.1;
constexpr double kMaxHedges = 10;
constexpr double kMaxLoadFactor = 16;
// What counts as late while there are too few round trips to say.
constexpr std::chrono::seconds kFirstLate{1};

bool IsAboutTheBatch(const Error& error) { return error.code == ErrorCode::kInvalidArgument; }

}  // namespace

// A batch that has not been answered.
struct RemoteExecutor::Flight {
  uint64_t id = 0;
  std::shared_ptr<const model::PackedBatch> batch;
  Clock::time_point deadline;
  Done done;
  std::atomic<bool> answered{false};  // set under the mutex

  // Guarded by the mutex.
  Accelerator* at = nullptr;  // where it was sent last; nullptr: it is here
  Clock::time_point late_at = Clock::time_point::max();
  bool again = false;  // it has been begun a second time
  bool here = false;   // it waits for this process's processors, or is with them
};

struct RemoteExecutor::Accelerator {
  struct Sent {
    Clock::time_point when;
    int64_t tokens = 0;
  };

  Accelerator(size_t number, std::string where, std::chrono::milliseconds probe_interval)
      : index(number), address(std::move(where)), breaker(probe_interval) {}

  bool Usable() const {
    return session && !lost && breaker.Allows() &&
           static_cast<int>(open.size()) < model.max_in_flight;
  }

  const size_t index;
  const std::string address;
  std::shared_ptr<RemoteSession> session;
  AttachedModel model;
  bool lost = false;
  bool tried = false;  // the first attempt to attach has ended
  Error first_error;
  std::unordered_map<uint64_t, Sent> open;  // sent and not replied to, though perhaps answered
  int64_t open_tokens = 0;
  double usual_tokens = 1;  // moving average of open_tokens whenever a batch is sent
  Breaker breaker;
  RoundTrips round_trips;
  uint64_t bytes_sent = 0;  // by sessions that have ended
  uint64_t bytes_received = 0;
};

Result<std::unique_ptr<RemoteExecutor>> RemoteExecutor::Create(RemoteOptions options) {
  std::unique_ptr<RemoteExecutor> executor(new RemoteExecutor(std::move(options)));
  executor->Begin();
  BERTIE_RETURN_IF_ERROR(executor->WaitForFirst());
  return executor;
}

RemoteExecutor::RemoteExecutor(RemoteOptions options)
    : options_(std::move(options)),
      max_batch_tokens_(std::numeric_limits<int64_t>::max()),
      hedges_left_(kMaxHedges) {
  for (size_t i = 0; i < options_.addresses.size(); ++i) {
    accelerators_.push_back(
        std::make_unique<Accelerator>(i, options_.addresses[i], options_.probe_interval));
  }
}

void RemoteExecutor::Begin() {
  if (options_.fallback) lane_ = std::make_unique<LocalLane>();
  clock_thread_ = std::thread([this] { WatchTime(); });
  for (auto& accelerator : accelerators_) {
    LinkOptions link{.address = accelerator->address,
                     .security = options_.security,
                     .attach = {.endpoint = options_.endpoint,
                                .accelerator_type = options_.accelerator_type,
                                .content_hash = options_.manifest.content_hash,
                                .precision = options_.precision},
                     .manifest = options_.manifest,
                     .model_dir = options_.model_dir,
                     .num_labels = options_.num_labels,
                     .vocab_size = options_.vocab_size,
                     .probe_interval = options_.probe_interval,
                     .log = options_.log};
    links_.push_back(std::make_unique<Link>(std::move(link), EventsOf(*accelerator)));
  }
}

LinkEvents RemoteExecutor::EventsOf(Accelerator& accelerator) {
  return {.on_attaching =
              [this, &accelerator] {
                Lock lock(mutex_);
                accelerator.lost = false;
              },
          .on_attached = [this, &accelerator](
                             const LinkAttached& attached) { OnAttached(accelerator, attached); },
          .on_attach_failed =
              [this, &accelerator](const Error& error) { OnAttachFailed(accelerator, error); },
          .on_reply = [this,
                       &accelerator](RemoteReply reply) { OnReply(accelerator, std::move(reply)); },
          .on_lost = [this, &accelerator](const Error& error) { OnLost(accelerator, error); },
          .on_detached =
              [this, &accelerator] {
                Lock lock(mutex_);
                if (accelerator.session) {
                  accelerator.bytes_sent += accelerator.session->bytes_sent();
                  accelerator.bytes_received += accelerator.session->bytes_received();
                }
                accelerator.session = nullptr;
                UpdateCapacity();
              },
          .on_probe_answered =
              [this, &accelerator] {
                Lock lock(mutex_);
                accelerator.breaker.OnProbeAnswered();
                UpdateCapacity();
              },
          .on_uploaded =
              [this](uint64_t bytes) {
                Lock lock(mutex_);
                stats_.upload_bytes += bytes;
              }};
}

Status RemoteExecutor::WaitForFirst() {
  Lock lock(mutex_);
  changed_.wait(lock, [this] {
    return usable_ || std::all_of(accelerators_.begin(), accelerators_.end(),
                                  [](const auto& each) { return each->tried; });
  });
  if (usable_) return {};
  for (const auto& each : accelerators_) {
    if (!IsPassing(each->first_error) || !options_.fallback) return each->first_error;
  }
  return {};
}

RemoteExecutor::~RemoteExecutor() {
  {
    Lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  links_.clear();
  lane_.reset();
  clock_thread_.join();
}

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
  actions.push_back([this, flight] {
    lane_->Add([this, flight] {
      if (flight->answered) return;
      if (Clock::now() >= flight->deadline) {
        return OnLocalDone(flight, Error{ErrorCode::kDeadlineExceeded, "no time was left"});
      }
      try {
        options_.fallback->Start(flight->batch, flight->deadline,
                                 [this, &flight](Result<std::vector<float>> logits) {
                                   OnLocalDone(flight, std::move(logits));
                                 });
      } catch (const std::bad_alloc&) {
        OnLocalDone(flight, Error{ErrorCode::kResourceExhausted, "not enough memory"});
      } catch (const std::exception& error) {
        OnLocalDone(flight, Error{ErrorCode::kInternal, error.what()});
      }
    });
  });
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

void RemoteExecutor::UpdateCapacity() {
  int capacity = 0;
  int64_t tokens = std::numeric_limits<int64_t>::max();
  for (const auto& each : accelerators_) {
    if (!each->session || each->lost || each->breaker.open()) continue;
    capacity +=
        each->breaker.closed() ? std::min(options_.max_in_flight, each->model.max_in_flight) : 1;
    tokens = std::min(tokens, each->model.max_batch_tokens);
  }
  usable_ = capacity > 0;
  max_batch_tokens_ = tokens;
  capacity_ = capacity > 0 ? capacity : kLocalInFlight;
}

void RemoteExecutor::OnAttached(Accelerator& accelerator, const LinkAttached& attached) {
  Lock lock(mutex_);
  accelerator.tried = true;
  if (!accelerator.lost) {
    accelerator.session = attached.session;
    accelerator.model = attached.model;
    accelerator.breaker = Breaker(options_.probe_interval);
    accelerator.open.clear();
    accelerator.open_tokens = 0;
    ++stats_.attachments;
    UpdateCapacity();
  }
  changed_.notify_all();
}

void RemoteExecutor::OnAttachFailed(Accelerator& accelerator, const Error& error) {
  bool first = false;
  {
    Lock lock(mutex_);
    first = !std::exchange(accelerator.tried, true);
    if (first) accelerator.first_error = error;
    changed_.notify_all();
  }
  options_.log("not attached: " + error.message);
}

void RemoteExecutor::OnLost(Accelerator& accelerator, const Error& error) {
  Actions actions;
  bool was_attached = false;
  {
    Lock lock(mutex_);
    was_attached = accelerator.session != nullptr && !accelerator.lost;
    accelerator.lost = true;
    accelerator.open.clear();
    accelerator.open_tokens = 0;
    UpdateCapacity();
    LeaveAll(accelerator, {ErrorCode::kUnavailable, error.message}, actions);
    if (stop_) was_attached = false;
  }
  if (was_attached) {
    options_.log("lost the accelerator: " + error.message +
                 (options_.fallback ? "; going on here" : "; requests get 503 until it is back"));
  }
  Run(actions);
}

void RemoteExecutor::OnReply(Accelerator& accelerator, RemoteReply reply) {
  Actions actions;
  {
    Lock lock(mutex_);
    const auto sent = accelerator.open.find(reply.id);
    if (sent == accelerator.open.end()) return;  // nothing of ours has this number
    const auto time = Clock::now() - sent->second.when;
    accelerator.open_tokens -= sent->second.tokens;
    accelerator.open.erase(sent);
    const auto found = flights_.find(reply.id);
    const FlightPtr flight = found == flights_.end() ? nullptr : found->second;
    if (reply.logits.ok() && reply.content_hash != options_.manifest.content_hash) {
      reply.logits = Error{ErrorCode::kInternal, "it answered for another model"};
    }
    if (reply.logits.ok() && flight &&
        reply.logits->size() != static_cast<size_t>(flight->batch->size() * num_labels())) {
      reply.logits = Error{ErrorCode::kInternal,
                           "it sent " + std::to_string(reply.logits->size()) + " logits for " +
                               std::to_string(flight->batch->size()) + " texts"};
    }
    if (reply.logits.ok()) {
      accelerator.round_trips.Add(time);
      if (accelerator.breaker.OnSuccess()) UpdateCapacity();
      if (flight) {
        ++stats_.remote_batches;
        if (flight->at != &accelerator) CancelRemote(flight, actions);
        Answer(flight, std::move(reply.logits), actions);
      }
    } else {
      const Error error = reply.logits.error();
      if (flight) TryAgain(flight, error, actions);
      if (IsAboutTheBatch(error)) {
        if (accelerator.breaker.OnSuccess()) UpdateCapacity();
      } else if (error.code != ErrorCode::kCancelled) {
        CountFailure(accelerator, error, actions);
      }
    }
  }
  Run(actions);
}

void RemoteExecutor::OnLocalDone(const FlightPtr& flight, Result<std::vector<float>> logits) {
  Actions actions;
  {
    Lock lock(mutex_);
    if (flight->answered) return;
    if (logits.ok()) ++stats_.fallback_batches;
    CancelRemote(flight, actions);
    Answer(flight, std::move(logits), actions);
  }
  Run(actions);
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

RemoteStats RemoteExecutor::stats() const {
  Lock lock(mutex_);
  RemoteStats stats = stats_;
  for (const auto& each : accelerators_) {
    const bool attached = each->session && !each->lost;
    stats.accelerators.push_back({.address = each->address,
                                  .attached = attached,
                                  .resting = attached && each->breaker.open(),
                                  .in_flight = static_cast<int>(each->open.size())});
    stats.bytes_sent += each->bytes_sent + (each->session ? each->session->bytes_sent() : 0);
    stats.bytes_received +=
        each->bytes_received + (each->session ? each->session->bytes_received() : 0);
    for (size_t i = 0; i < stats.round_trips.size(); ++i) {
      stats.round_trips[i] += each->round_trips.counts()[i];
    }
    stats.round_trip_seconds += each->round_trips.seconds();
  }
  return stats;
}

}  // namespace bertie::accelerator
