#include "accelerator/link.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "accelerator/upload.h"
#include "base/elapsed.h"
#include "base/figures.h"

namespace bertie::accelerator {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a refusal stands: somebody has to do something before it can change.
constexpr milliseconds kAfterRefusal{5000};
constexpr milliseconds kFirstRetry{100};

}  // namespace

Link::Link(LinkOptions options, LinkEvents events)
    : options_(std::move(options)), events_(std::move(events)) {
  thread_ = std::thread([this] { Loop(); });
}

Link::~Link() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    if (connection_) connection_->Stop();
    wake_.notify_all();
  }
  thread_.join();
}

void Link::Probe(milliseconds wait) {
  std::lock_guard lock(mutex_);
  probe_wait_ = wait;
  probe_at_ = Clock::now() + wait;
  wake_.notify_all();
}

bool Link::Sleep(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return stop_; });
}

void Link::Loop() {
  milliseconds wait = kFirstRetry;
  std::string last_failure;
  while (true) {
    Connection connection(options_.address, options_.security);
    {
      std::lock_guard lock(mutex_);
      if (stop_) return;
      connection_ = &connection;
      lost_ = false;
      probe_at_ = Clock::time_point::max();
    }
    events_.on_attaching();
    auto attached = Attach(connection);
    if (attached.ok()) {
      Serve(connection, *std::move(attached));
      wait = kFirstRetry;
      last_failure.clear();
    }
    if (!attached.ok() && attached.error().message != last_failure) {
      last_failure = attached.error().message;
      events_.on_attach_failed(attached.error());
    }
    {
      std::lock_guard lock(mutex_);
      connection_ = nullptr;
    }
    const bool refused = !attached.ok() && !IsPassing(attached.error());
    if (!Sleep(refused ? kAfterRefusal : wait)) return;
    wait = std::min(2 * wait, options_.probe_interval);
  }
}

Result<Connection::Attached> Link::Attach(Connection& connection) {
  const auto begin = Clock::now();
  auto next_line = begin + std::chrono::seconds(2);
  BERTIE_ASSIGN_OR_RETURN(const uint64_t sent,
                          UploadModel(connection, options_.manifest, options_.model_dir,
                                      [&](const UploadProgress& progress) {
                                        if (Clock::now() < next_line) return;
                                        next_line = Clock::now() + std::chrono::seconds(5);
                                        options_.log("uploading to " + options_.address + ": " +
                                                     FormatMegabytes(progress.done) + " of " +
                                                     FormatMegabytes(progress.total));
                                      }));
  const double uploading = SecondsSince(begin);
  if (sent > 0) {
    events_.on_uploaded(sent);
    options_.log("uploaded " + FormatMegabytes(sent) + " to " + options_.address + " in " +
                 FormatSeconds(uploading));
  }
  SessionEvents events{.on_reply = events_.on_reply, .on_end = [this](const Error& error) {
                         events_.on_lost(error);
                         std::lock_guard lock(mutex_);
                         lost_ = true;
                         wake_.notify_all();
                       }};
  BERTIE_ASSIGN_OR_RETURN(
      Connection::Attached attached,
      connection.Attach(options_.attach, std::move(events), options_.attach_timeout));
  BERTIE_RETURN_IF_ERROR(CheckModel(attached.model));
  LogAttached(attached.model, sent, SecondsSince(begin));
  return attached;
}

Status Link::CheckModel(const AttachedModel& model) const {
  const std::string where = "the accelerator at " + options_.address;
  if (model.content_hash != options_.attach.content_hash) {
    return Error{ErrorCode::kInternal, where + " attached another model than the one asked for"};
  }
  if (model.num_labels != options_.num_labels || model.vocab_size != options_.vocab_size) {
    return Error{ErrorCode::kInternal,
                 where + " read the model differently: " + std::to_string(model.num_labels) +
                     " labels and " + std::to_string(model.vocab_size) + " tokens; expected " +
                     std::to_string(options_.num_labels) + " and " +
                     std::to_string(options_.vocab_size) + ". Run the same version on both ends"};
  }
  if (!options_.attach.precision.empty() && model.precision != options_.attach.precision) {
    return Error{ErrorCode::kInternal, where + " computes in " + model.precision + "; asked for " +
                                           options_.attach.precision};
  }
  if (model.max_in_flight < 1 || model.max_batch_tokens < 1) {
    return Error{ErrorCode::kInternal, where + " takes no batches"};
  }
  return {};
}

void Link::LogAttached(const AttachedModel& model, uint64_t sent, double seconds) const {
  options_.log("attached to " + options_.address + " (" + model.accelerator + ") as " +
               options_.attach.accelerator_type + ", " + model.precision + ", in " +
               FormatSeconds(seconds) + "; the model " +
               (sent > 0 ? "was uploaded" : "was there already"));
}

void Link::Serve(Connection& connection, Connection::Attached attached) {
  std::shared_ptr<RemoteSession> session = std::move(attached.session);
  events_.on_attached({session, std::move(attached.model)});
  std::unique_lock lock(mutex_);
  while (!lost_ && !stop_) {
    if (probe_at_ == Clock::time_point::max()) {
      wake_.wait(lock);
      continue;
    }
    if (wake_.wait_until(lock, probe_at_) == std::cv_status::no_timeout) continue;
    probe_at_ = Clock::time_point::max();
    const milliseconds wait = probe_wait_;
    lock.unlock();
    // Whatever it says of the model: it lives.
    const auto found = connection.FindModel(options_.manifest, options_.probe_interval);
    if (found.ok()) {
      events_.on_probe_answered();
    } else {
      Probe(wait);
    }
    lock.lock();
  }
  lock.unlock();
  events_.on_detached();
  session->End();
  // Whoever is sending has it still; its destructor must not run on a thread of its own events.
  while (session.use_count() > 1) std::this_thread::sleep_for(milliseconds(1));
}

}  // namespace bertie::accelerator
