#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "accelerator/server_call.h"
#include "base/quote.h"

namespace bertie::accelerator {
namespace {

constexpr uint64_t kMaxTimeoutUs = uint64_t{3'600} * 1'000'000;

int64_t Microseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

v1::FromAccelerator MakeFailure(uint64_t id, const Error& error) {
  v1::FromAccelerator message;
  message.mutable_failure()->set_id(id);
  message.mutable_failure()->set_code(ErrorCodeName(error.code));
  message.mutable_failure()->set_message(error.message);
  return message;
}

v1::FromAccelerator MakeLogits(uint64_t id, const std::string& hash, const WorkResult& result) {
  v1::FromAccelerator message;
  v1::Logits& logits = *message.mutable_logits();
  logits.set_id(id);
  logits.set_content_hash(hash);
  logits.mutable_logits()->Add(result.logits.begin(), result.logits.end());
  logits.set_queue_us(static_cast<uint64_t>(Microseconds(result.queue_time)));
  logits.set_compute_us(static_cast<uint64_t>(Microseconds(result.compute_time)));
  return message;
}

Result<WorkPtr> MakeWork(const v1::Batch& batch, const std::string& hash) {
  const auto bad = [](const std::string& what) { return Error{ErrorCode::kInvalidArgument, what}; };
  if (batch.content_hash() != hash) {
    return bad("the batch is for the model " + Quote(batch.content_hash(), 64) +
               "; the session is attached to " + hash);
  }
  if (batch.type_ids_size() != 0 && batch.type_ids_size() != batch.token_ids_size()) {
    return bad("found " + std::to_string(batch.type_ids_size()) + " type ids for " +
               std::to_string(batch.token_ids_size()) + " token ids");
  }
  auto work = std::make_shared<Work>();
  work->id = batch.id();
  int64_t end = 0;
  work->batch.cumulative_seq_lengths.reserve(static_cast<size_t>(batch.lengths_size()) + 1);
  for (const int32_t length : batch.lengths()) {
    if (length < 1 || length > batch.token_ids_size() - end) {
      return bad("found a sentence of " + std::to_string(length) + " tokens; " +
                 std::to_string(batch.token_ids_size() - end) + " were left");
    }
    end += length;
    work->batch.cumulative_seq_lengths.push_back(static_cast<int32_t>(end));
  }
  if (end != batch.token_ids_size()) {
    return bad("found " + std::to_string(batch.token_ids_size()) + " token ids; the lengths give " +
               std::to_string(end));
  }
  work->batch.token_ids.assign(batch.token_ids().begin(), batch.token_ids().end());
  work->batch.type_ids.assign(batch.type_ids().begin(), batch.type_ids().end());
  work->batch.type_ids.resize(work->batch.token_ids.size());
  if (batch.timeout_us() > 0) {
    work->deadline = Clock::now() + std::chrono::microseconds(
                                        std::min<uint64_t>(batch.timeout_us(), kMaxTimeoutUs));
  }
  return work;
}

using ReaderWriter = grpc::ServerAsyncReaderWriter<v1::FromAccelerator, v1::ToAccelerator>;

// Answers are written by the threads that have them. A write is begun only by whoever set writing_;
// the end once, by whoever sets finished_, and never while writing_.
class SessionStream final : public StreamCall<ReaderWriter, v1::ToAccelerator> {
 public:
  using StreamCall::StreamCall;

  void CheckClock(Clock::time_point now) override {
    bool late = false;
    bool stuck = false;
    {
      std::lock_guard lock(mutex_);
      late = session_ == nullptr && !attaching_ && now - begun_ > context_.options.attach_timeout;
      stuck = writing_ && now - write_begin_ > context_.options.write_timeout;
    }
    if (late) End({grpc::StatusCode::DEADLINE_EXCEEDED, "no Attach came"});
    if (stuck) call_.TryCancel();
  }

  void BeginDrain() override {
    {
      std::lock_guard lock(mutex_);
      draining_ = true;
    }
    MaybeEnd();
  }

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.service.RequestSession(&call_, &stream_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<SessionStream>(context_); }

  void OnRead(bool ok) override {
    if (!ok) {  // the client sends no more: it is answered what it asked
      {
        std::lock_guard lock(mutex_);
        half_closed_ = true;
      }
      return MaybeEnd();
    }
    Handle();
    bool more = false;
    {
      std::lock_guard lock(mutex_);
      // A client that does not take its answers is not listened to.
      paused_ = outbox_.size() > 2 * context_.accelerator.options().max_in_flight;
      more = !paused_ && !ending_;
    }
    if (more) Read();
  }

  void OnWritten(bool ok) {
    bool resume = false;
    bool ending = !ok;
    std::optional<v1::FromAccelerator> next;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      ending = ending || ending_;  // then its End waits for this
      if (ok && !ending_ && !outbox_.empty()) next = TakeNext();
      if (paused_ && !ending_ && outbox_.size() <= context_.accelerator.options().max_in_flight) {
        resume = true;
        paused_ = false;
      }
    }
    if (next) Write(*next);
    if (resume) Read();
    if (ending) return End({grpc::StatusCode::UNAVAILABLE, "the stream broke"});
    MaybeEnd();
  }

  void Handle() {
    switch (message_.message_case()) {
      case v1::ToAccelerator::kAttach:
        return OnAttach();
      case v1::ToAccelerator::kBatch:
        return OnBatch();
      case v1::ToAccelerator::kCancel: {
        if (const auto session = GetSession()) session->Cancel(message_.cancel().id());
        return;
      }
      default:
        return End({grpc::StatusCode::INVALID_ARGUMENT,
                    "found an empty message; expected attach, batch or cancel"});
    }
  }

  void OnAttach() {
    bool again = false;
    {
      std::lock_guard lock(mutex_);
      if (draining_) return;  // it is ending
      again = attaching_ || session_ != nullptr;
      attaching_ = true;
    }
    if (again) {
      return End({grpc::StatusCode::FAILED_PRECONDITION, "attached already"});
    }
    const v1::Attach& attach = message_.attach();
    context_.accelerator.Attach(
        {attach.protocol(), attach.endpoint(), attach.accelerator_type(), attach.content_hash(),
         attach.precision(), call_.peer()},
        [this, self = shared_from_this()](Result<std::unique_ptr<Session>> session) {
          Attached(std::move(session));
        });
  }

  void Attached(Result<std::unique_ptr<Session>> result) {
    {
      std::lock_guard lock(mutex_);
      attaching_ = false;
      if (ending_) return;
    }
    if (!result.ok()) {
      if (context_.options.log) {
        context_.options.log("an endpoint was refused: " + result.error().message);
      }
      return End(ToGrpc(result.error()));
    }
    std::shared_ptr<Session> session = std::move(*result);
    v1::FromAccelerator message;
    Describe(*session, *message.mutable_attached());
    {
      std::lock_guard lock(mutex_);
      if (ending_) return;
      session_ = session;
    }
    if (context_.options.log) {
      context_.options.log("endpoint " + Quote(session->endpoint()) + " attached (" +
                           session->accelerator_type() + ", model " +
                           session->content_hash().substr(0, 12) + ")");
    }
    Send(std::move(message));
    MaybeEnd();
  }

  void Describe(const Session& session, v1::Attached& attached) const {
    const AcceleratorOptions& options = context_.accelerator.options();
    const model::Config& config = session.model().config();
    attached.set_content_hash(session.content_hash());
    attached.set_num_labels(static_cast<uint32_t>(config.num_labels()));
    attached.set_max_position_embeddings(static_cast<uint32_t>(config.max_position_embeddings));
    attached.set_vocab_size(static_cast<uint32_t>(config.vocab_size));
    attached.set_precision(model::PrecisionName(session.model().precision));
    attached.set_accelerator("bertie " + options.version + ", " + options.processor);
    attached.set_max_batch_tokens(static_cast<uint32_t>(context_.accelerator.MaxTokensOf(session)));
    attached.set_max_in_flight(static_cast<uint32_t>(options.max_in_flight));
  }

  void OnBatch() {
    const v1::Batch& batch = message_.batch();
    const uint64_t id = batch.id();
    const auto session = GetSession();
    if (session == nullptr) {
      return End(
          {grpc::StatusCode::FAILED_PRECONDITION, "found a batch before the answer to Attach"});
    }
    session->CountBytes(message_.ByteSizeLong(), 0);
    auto work = MakeWork(batch, session->content_hash());
    if (!work.ok()) return Send(MakeFailure(id, work.error()));
    {
      std::lock_guard lock(mutex_);
      if (draining_) work = Error{ErrorCode::kUnavailable, "the accelerator is shutting down"};
      if (work.ok()) ++open_;
    }
    if (!work.ok()) return Send(MakeFailure(id, work.error()));
    (*work)->done = [this, self = shared_from_this(), id](Result<WorkResult> result) {
      Answer(id, result);
    };
    if (const Status taken = session->Submit(*std::move(work)); !taken.ok()) {
      Answer(id, taken.error());
    }
  }

  void Answer(uint64_t id, const Result<WorkResult>& result) {
    const auto session = GetSession();
    if (session == nullptr) return;
    v1::FromAccelerator message = result.ok() ? MakeLogits(id, session->content_hash(), *result)
                                              : MakeFailure(id, result.error());
    session->CountBytes(0, message.ByteSizeLong());
    Send(std::move(message), 1);
    MaybeEnd();
  }

  std::shared_ptr<Session> GetSession() {
    std::lock_guard lock(mutex_);
    return session_;
  }

  // With the mutex held: the next message, for the caller to write.
  v1::FromAccelerator TakeNext() {
    v1::FromAccelerator message = std::move(outbox_.front());
    outbox_.pop_front();
    writing_ = true;
    write_begin_ = Clock::now();
    return message;
  }

  void Write(const v1::FromAccelerator& message) {
    stream_.Write(message, write_.Begin(shared_from_this()));
  }

  void Send(v1::FromAccelerator message, size_t ended = 0) {
    std::optional<v1::FromAccelerator> next;
    {
      std::lock_guard lock(mutex_);
      open_ -= ended;
      if (ending_) return;
      outbox_.push_back(std::move(message));
      if (!writing_) next = TakeNext();
    }
    if (next) context_.queue->BeginHere([&] { Write(*next); });
  }

  // Ends the stream in good order, if it is time.
  void MaybeEnd() {
    bool draining = false;
    bool attached = false;
    {
      std::lock_guard lock(mutex_);
      const bool idle = open_ == 0 && outbox_.empty() && !writing_ && !attaching_;
      if (!idle || !(draining_ || half_closed_)) return;
      draining = draining_;
      attached = session_ != nullptr;
    }
    if (draining) {
      return End({grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"});
    }
    // gRPC tells of bytes that are no message as of an end.
    End(attached ? grpc::Status::OK
                 : grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "found no Attach"));
  }

  void End(const grpc::Status& status) override {
    std::shared_ptr<Session> session;  // given back outside the lock
    grpc::Status last;
    {
      std::lock_guard lock(mutex_);
      if (!ending_) {
        ending_ = true;
        end_ = status;
        outbox_.clear();
        session = std::move(session_);
      }
      if (finished_ || writing_) return;  // OnWritten comes here again
      finished_ = true;
      last = end_;
    }
    if (session != nullptr && context_.options.log) {
      context_.options.log("endpoint " + Quote(session->endpoint()) + " left");
    }
    session.reset();
    stream_.Finish(last, BeginFinish());
  }

  Operation write_{[this](bool ok) { OnWritten(ok); }};

  std::mutex mutex_;  // guards all below
  std::shared_ptr<Session> session_;
  std::deque<v1::FromAccelerator> outbox_;
  size_t open_ = 0;  // batches that have no answer yet
  grpc::Status end_;
  Clock::time_point write_begin_;
  bool attaching_ = false;
  bool writing_ = false;
  bool paused_ = false;
  bool half_closed_ = false;
  bool draining_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

}  // namespace

void AwaitSession(ServiceContext& context) { Await<SessionStream>(context); }

}  // namespace bertie::accelerator
