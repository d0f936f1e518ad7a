#include "accelerator/remote_executor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "accelerator/remote_state.h"

namespace bertie::accelerator {

Result<std::unique_ptr<RemoteExecutor>> RemoteExecutor::Create(RemoteOptions options) {
  std::unique_ptr<RemoteExecutor> executor(new RemoteExecutor(std::move(options)));
  executor->Begin();
  BERTIE_RETURN_IF_ERROR(executor->WaitForFirst());
  return executor;
}

RemoteExecutor::RemoteExecutor(RemoteOptions options)
    : options_(std::move(options)),
      capacity_(LocalCapacity()),
      max_batch_tokens_(std::numeric_limits<int64_t>::max()),
      hedges_left_(kMaxHedges) {
  for (size_t i = 0; i < options_.addresses.size(); ++i) {
    accelerators_.push_back(
        std::make_unique<Accelerator>(i, options_.addresses[i], options_.probe_interval));
  }
}

void RemoteExecutor::Begin() {
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
  clock_thread_.join();
  // An answer from an accelerator does not end what the fallback began.
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return here_ == 0; });
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
  capacity_ = capacity > 0 ? capacity : LocalCapacity();
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

// Makes an error of an answer that is not for this batch of this model.
void RemoteExecutor::CheckReply(RemoteReply& reply, const FlightPtr& flight) const {
  if (!reply.logits.ok()) return;
  if (reply.content_hash != options_.manifest.content_hash) {
    reply.logits = Error{ErrorCode::kInternal, "it answered for another model"};
  } else if (flight &&
             reply.logits->size() != static_cast<size_t>(flight->batch->size() * num_labels())) {
    reply.logits = Error{ErrorCode::kInternal,
                         "it sent " + std::to_string(reply.logits->size()) + " logits for " +
                             std::to_string(flight->batch->size()) + " texts"};
  }
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
    CheckReply(reply, flight);
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
    if (--here_ == 0 && stop_) changed_.notify_all();
    if (flight->answered) return;
    if (logits.ok()) ++stats_.fallback_batches;
    CancelRemote(flight, actions);
    Answer(flight, std::move(logits), actions);
  }
  Run(actions);
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
