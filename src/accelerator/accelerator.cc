#include "accelerator/accelerator.h"

#include <algorithm>
#include <map>
#include <utility>

#include "accelerator/protocol.h"
#include "base/elapsed.h"
#include "base/quote.h"

namespace bertie::accelerator {
namespace {

constexpr size_t kMaxEndpointLength = 128;
constexpr double kUnitSlack = 1e-9;

// In milliseconds; sorts.
double Percentile(std::vector<float>& seconds, double part) {
  if (seconds.empty()) return 0;
  const auto index = static_cast<size_t>(part * static_cast<double>(seconds.size() - 1) + 0.5);
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(index),
                   seconds.end());
  return static_cast<double>(seconds[index]) * 1e3;
}

Result<Session::Init> Check(AttachRequest request) {
  if (request.protocol != kProtocolVersion) {
    return Error{ErrorCode::kUnsupported,
                 "the endpoint speaks version " + std::to_string(request.protocol) +
                     " of the protocol, the accelerator version " +
                     std::to_string(kProtocolVersion) + ": both need the same bertie"};
  }
  BERTIE_ASSIGN_OR_RETURN(const Size size, FindSize(request.accelerator_type));
  const bool plain = std::none_of(request.endpoint.begin(), request.endpoint.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (request.endpoint.empty() || request.endpoint.size() > kMaxEndpointLength || !plain) {
    return Error{ErrorCode::kInvalidArgument,
                 "found the endpoint name " + Quote(request.endpoint) + "; expected 1 to " +
                     std::to_string(kMaxEndpointLength) + " bytes without control characters"};
  }
  if (!request.precision.empty() && !model::ParsePrecision(request.precision)) {
    return Error{ErrorCode::kInvalidArgument, "found the precision " + Quote(request.precision) +
                                                  "; expected fp32, bf16, int8 or none"};
  }
  return Session::Init{std::move(request), size};
}

}  // namespace

Session::Session(Accelerator& owner, const Init& init)
    : owner_(owner), request_(init.request), size_(init.size) {}

Session::~Session() { owner_.Release(*this); }

Status Session::Submit(WorkPtr work) {
  const int64_t most = owner_.MaxTokensOf(*this);
  if (work->batch.tokens() > most) {
    return Error{ErrorCode::kInvalidArgument,
                 "the batch has " + std::to_string(work->batch.tokens()) + " tokens; at most " +
                     std::to_string(most) + " may be sent at once"};
  }
  return owner_.scheduler_->Submit(queue_, std::move(work));
}

void Session::Cancel(uint64_t id) { owner_.scheduler_->Cancel(queue_, id); }

void Session::CountBytes(uint64_t in, uint64_t out) {
  bytes_in_ += in;
  bytes_out_ += out;
}

Accelerator::Accelerator(AcceleratorOptions options, std::unique_ptr<ModelStore> store)
    : options_(std::move(options)), store_(std::move(store)) {
  models_ = std::make_unique<LoadedModels>(
      *store_, LoadedModels::Options{options_.capacity.threads, options_.max_batch_tokens,
                                     options_.keep_models});
  scheduler_ = std::make_unique<Scheduler>(
      SchedulerOptions{options_.capacity.threads, options_.max_batch_tokens});
  loader_ = std::make_unique<TaskThread>();
}

Result<std::unique_ptr<Accelerator>> Accelerator::Create(AcceleratorOptions options) {
  if (options.max_batch_tokens == 0) {
    options.max_batch_tokens = int64_t{64} * options.capacity.threads;
  }
  BERTIE_ASSIGN_OR_RETURN(auto store, ModelStore::Open(options.store));
  return std::unique_ptr<Accelerator>(new Accelerator(std::move(options), std::move(store)));
}

int64_t Accelerator::MaxTokensOf(const Session& session) const {
  return std::max(4 * options_.max_batch_tokens, session.model().config().max_position_embeddings);
}

void Accelerator::Attach(AttachRequest request,
                         std::function<void(Result<std::unique_ptr<Session>>)> done) {
  auto init = Check(std::move(request));
  if (!init.ok()) return done(init.error());
  auto session =
      std::make_shared<std::unique_ptr<Session>>(std::make_unique<Session>(*this, *init));
  if (const Status reserved = Reserve(**session); !reserved.ok()) return done(reserved.error());
  loader_->Post([this, session, done = std::move(done)] {
    if (const Status loaded = Load(**session); !loaded.ok()) {
      session->reset();
      return done(loaded.error());
    }
    done(std::move(*session));
  });
}

Status Accelerator::Reserve(Session& session) {
  std::lock_guard lock(mutex_);
  const Capacity& capacity = options_.capacity;
  if (sessions_.size() >= options_.max_sessions) {
    return Error{ErrorCode::kResourceExhausted,
                 "the accelerator has no capacity left: " + std::to_string(sessions_.size()) +
                     " endpoints are attached, as many as it takes"};
  }
  const double units_left = capacity.units - units_used_;
  const uint64_t memory_left = capacity.memory_bytes - memory_used_;
  if (session.size_.units > units_left + kUnitSlack || session.size_.memory_bytes > memory_left) {
    return Error{ErrorCode::kResourceExhausted,
                 "the accelerator has no capacity left: " + session.request_.accelerator_type +
                     " takes " + FormatUnits(session.size_.units) + " units of compute and " +
                     FormatGigabytes(session.size_.memory_bytes) + "; " + FormatUnits(units_left) +
                     " of " + FormatUnits(capacity.units) + " units and " +
                     FormatGigabytes(memory_left) + " of " +
                     FormatGigabytes(capacity.memory_bytes) + " are free"};
  }
  sessions_.push_back(&session);
  units_used_ += session.size_.units;
  memory_used_ += session.size_.memory_bytes;
  return {};
}

void Accelerator::Release(Session& session) {
  if (session.queue_ != nullptr) scheduler_->Remove(session.queue_);
  std::lock_guard lock(mutex_);
  if (std::erase(sessions_, &session) == 0) return;
  units_used_ -= session.size_.units;
  memory_used_ -= session.size_.memory_bytes;
}

Status Accelerator::Load(Session& session) {
  Tidy();
  const AttachRequest& request = session.request_;
  BERTIE_ASSIGN_OR_RETURN(
      ModelPtr model, models_->Open({request.content_hash, model::ParsePrecision(request.precision),
                                     session.size_.memory_bytes, request.accelerator_type}));
  const QueueLimits limits{options_.max_in_flight, 16 * options_.max_batch_tokens + 65'536};
  auto queue = std::make_shared<SessionQueue>(session.size_.units, std::move(model), limits);
  {
    std::lock_guard lock(mutex_);  // Read looks at it
    session.queue_ = queue;
  }
  scheduler_->Add(queue);
  return {};
}

void Accelerator::Tidy() {
  uint64_t unreserved = 0;
  {
    std::lock_guard lock(mutex_);
    unreserved = options_.capacity.memory_bytes - memory_used_;
  }
  models_->Trim(unreserved);
}

Snapshot Accelerator::Read() const {
  const SchedulerTotals totals = scheduler_->Totals();
  std::map<const SessionQueue*, Scheduler::Use> uses;
  double recent_busy = 0;
  for (Scheduler::Use& use : scheduler_->Uses()) {
    recent_busy += use.recent_busy;
    uses.emplace(use.session.get(), std::move(use));
  }
  Snapshot snapshot;
  snapshot.version = options_.version;
  snapshot.processor = options_.processor;
  snapshot.capacity = options_.capacity;
  snapshot.uptime_seconds = SecondsSince(start_);
  snapshot.batches = totals.batches;
  snapshot.sentences = totals.sentences;
  snapshot.tokens = totals.tokens;
  snapshot.urgent_batches = totals.urgent;
  snapshot.failures = totals.failures;
  snapshot.batch_tokens.assign(totals.batch_tokens.begin(), totals.batch_tokens.end());
  snapshot.busy_seconds = totals.busy_seconds;
  snapshot.queued_batches = totals.queued_works;
  snapshot.queued_tokens = static_cast<uint64_t>(totals.queued_tokens);
  for (const ModelPtr& model : models_->List()) {
    snapshot.models.push_back(
        {model->content_hash, model::PrecisionName(model->precision), model->memory_bytes, 0, 0});
  }
  std::lock_guard lock(mutex_);
  snapshot.memory_used = memory_used_;
  snapshot.units_used = units_used_;
  for (const Session* session : sessions_) {
    const auto found = uses.find(session->queue_.get());
    if (found == uses.end()) continue;  // its model is being loaded
    Scheduler::Use& use = found->second;
    Snapshot::Endpoint endpoint;
    endpoint.name = session->request_.endpoint;
    endpoint.accelerator_type = session->request_.accelerator_type;
    endpoint.content_hash = session->request_.content_hash;
    endpoint.peer = session->request_.peer;
    endpoint.attached_seconds = SecondsSince(session->since_);
    endpoint.units = session->size_.units;
    endpoint.share = recent_busy > 0 ? use.recent_busy / recent_busy : 0;
    endpoint.batches = use.use.batches;
    endpoint.sentences = use.use.sentences;
    endpoint.tokens = use.use.tokens;
    endpoint.failures = use.use.failures;
    endpoint.busy_seconds = use.use.busy_seconds;
    endpoint.queued_tokens = static_cast<uint64_t>(use.queued_tokens);
    endpoint.bytes_in = session->bytes_in_;
    endpoint.bytes_out = session->bytes_out_;
    endpoint.queue_p50_ms = Percentile(use.use.queue_seconds, 0.5);
    endpoint.queue_p99_ms = Percentile(use.use.queue_seconds, 0.99);
    endpoint.total_p50_ms = Percentile(use.use.total_seconds, 0.5);
    endpoint.total_p99_ms = Percentile(use.use.total_seconds, 0.99);
    for (Snapshot::Model& model : snapshot.models) {
      if (model.content_hash != endpoint.content_hash ||
          model.precision != model::PrecisionName(session->model().precision)) {
        continue;
      }
      ++model.sessions;
      model.batches += endpoint.batches;
    }
    snapshot.endpoints.push_back(std::move(endpoint));
  }
  return snapshot;
}

}  // namespace bertie::accelerator
