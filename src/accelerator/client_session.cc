#include "accelerator/client_session.h"

#include <algorithm>
#include <utility>

#include "accelerator/client_errors.h"
#include "accelerator/ended.h"
#include "accelerator/protocol.h"

namespace bertie::accelerator {
namespace {

AttachedModel FromMessage(const v1::Attached& attached) {
  return {.content_hash = attached.content_hash(),
          .num_labels = attached.num_labels(),
          .max_position_embeddings = attached.max_position_embeddings(),
          .vocab_size = attached.vocab_size(),
          .precision = attached.precision(),
          .accelerator = attached.accelerator(),
          .max_batch_tokens = attached.max_batch_tokens(),
          .max_in_flight = static_cast<int>(std::min(attached.max_in_flight(), 1000u))};
}

v1::ToAccelerator ToMessage(uint64_t id, const std::string& content_hash,
                            const model::PackedBatch& batch, std::chrono::microseconds timeout) {
  v1::ToAccelerator message;
  v1::Batch& to = *message.mutable_batch();
  to.set_id(id);
  to.set_content_hash(content_hash);
  to.mutable_token_ids()->Add(batch.token_ids.begin(), batch.token_ids.end());
  if (std::any_of(batch.type_ids.begin(), batch.type_ids.end(), [](int32_t t) { return t != 0; })) {
    to.mutable_type_ids()->Add(batch.type_ids.begin(), batch.type_ids.end());
  }
  const auto& ends = batch.cumulative_seq_lengths;
  to.mutable_lengths()->Reserve(static_cast<int>(batch.size()));
  for (size_t i = 1; i < ends.size(); ++i) to.add_lengths(ends[i] - ends[i - 1]);
  to.set_timeout_us(static_cast<uint64_t>(std::max<int64_t>(0, timeout.count())));
  return message;
}

RemoteReply FromMessage(v1::FromAccelerator& message) {
  RemoteReply reply;
  if (message.has_logits()) {
    v1::Logits& logits = *message.mutable_logits();
    reply.id = logits.id();
    reply.logits = std::vector<float>(logits.logits().begin(), logits.logits().end());
    reply.content_hash = std::move(*logits.mutable_content_hash());
    reply.queue_time = std::chrono::microseconds(logits.queue_us());
    reply.compute_time = std::chrono::microseconds(logits.compute_us());
  } else {
    const v1::Failure& failure = message.failure();
    reply.id = failure.id();
    reply.logits = Error{CodeNamed(failure.code()), OneLine(failure.message())};
  }
  return reply;
}

bool Answers(const v1::FromAccelerator& message) {
  return message.has_logits() || message.has_failure();
}

}  // namespace

ClientSession::ClientSession(std::string address, SessionEvents events)
    : address_(std::move(address)), events_(std::move(events)) {}

ClientSession::~ClientSession() {
  context_.TryCancel();
  if (thread_.joinable()) thread_.join();
}

void ClientSession::Begin(v1::Accelerator::Stub& stub, const AttachOptions& request) {
  content_hash_ = request.content_hash;
  v1::ToAccelerator message;
  v1::Attach& attach = *message.mutable_attach();
  attach.set_protocol(kProtocolVersion);
  attach.set_endpoint(request.endpoint);
  attach.set_accelerator_type(request.accelerator_type);
  attach.set_content_hash(request.content_hash);
  attach.set_precision(request.precision);
  bytes_sent_ += message.ByteSizeLong();
  outgoing_.push_back(std::move(message));
  stream_ = stub.PrepareAsyncSession(&context_, &queue_);
  stream_->StartCall(Tag(Step::kStart));
  thread_ = std::thread([this] { Loop(); });
}

Result<AttachedModel> ClientSession::WaitAttached(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const bool came =
      changed_.wait_for(lock, timeout, [this] { return attached_.has_value() || done_; });
  if (!came) {
    return Error{ErrorCode::kDeadlineExceeded, "the accelerator at " + address_ +
                                                   " did not take the endpoint within " +
                                                   std::to_string(timeout.count() / 1000) + " s"};
  }
  if (!attached_) return end_error_;
  return *attached_;
}

void ClientSession::Send(uint64_t id, const model::PackedBatch& batch,
                         std::chrono::microseconds timeout) {
  Write(ToMessage(id, content_hash_, batch, timeout));
}

void ClientSession::Cancel(uint64_t id) {
  v1::ToAccelerator message;
  message.mutable_cancel()->set_id(id);
  Write(std::move(message));
}

void ClientSession::Loop() {
  Ended ended;
  while (queue_.Next(&ended.tag, &ended.ok)) Handle(ended);
}

void ClientSession::Handle(const Ended& ended) {
  switch (static_cast<Step>(reinterpret_cast<uintptr_t>(ended.tag))) {
    case Step::kStart:
      return OnStarted(ended.ok);
    case Step::kRead:
      return OnRead(ended.ok);
    case Step::kWrite:
      return OnWritten(ended.ok);
    case Step::kFinish:
      return OnFinished();
  }
}

void ClientSession::OnStarted(bool ok) {
  if (!ok) return Finish();
  std::lock_guard lock(mutex_);
  WriteFirst();
  stream_->Read(&incoming_, Tag(Step::kRead));
}

void ClientSession::OnRead(bool ok) {
  if (!ok) return Finish();
  bytes_received_ += incoming_.ByteSizeLong();
  const bool first = !attached_.has_value();  // nobody else reads now
  if (first != incoming_.has_attached() || (!first && !Answers(incoming_))) {
    broken_ = "sent a message that is out of place";
    context_.TryCancel();
  } else if (first) {
    std::lock_guard lock(mutex_);
    attached_ = FromMessage(incoming_.attached());
    changed_.notify_all();
  } else {
    events_.on_reply(FromMessage(incoming_));
  }
  incoming_.Clear();
  stream_->Read(&incoming_, Tag(Step::kRead));
}

void ClientSession::OnWritten(bool ok) {
  std::lock_guard lock(mutex_);
  outgoing_.pop_front();
  if (!ok) over_ = true;
  if (over_) outgoing_.clear();
  if (!outgoing_.empty()) WriteFirst();
}

void ClientSession::Finish() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  stream_->Finish(&status_, Tag(Step::kFinish));
}

void ClientSession::OnFinished() {
  Error error = FromStatus(address_, status_);
  if (!broken_.empty()) {
    error = {ErrorCode::kInternal, "the accelerator at " + address_ + " " + broken_};
  } else if (status_.ok()) {
    error = {ErrorCode::kUnavailable, "the accelerator at " + address_ + " ended the session"};
  }
  if (attached_.has_value()) events_.on_end(error);
  {
    std::lock_guard lock(mutex_);
    end_error_ = std::move(error);
    done_ = true;
    changed_.notify_all();
  }
  queue_.Shutdown();  // what is left of it ends the loop
}

void ClientSession::Write(v1::ToAccelerator message) {
  bytes_sent_ += message.ByteSizeLong();
  {
    std::lock_guard lock(mutex_);
    if (over_) return;
    outgoing_.push_back(std::move(message));
    if (outgoing_.size() > 1) return;
  }
  const auto ended = BeginAndTake(queue_, [this] {
    std::lock_guard lock(mutex_);
    if (over_) return outgoing_.clear();
    WriteFirst();
  });
  if (ended) Handle(*ended);
}

void ClientSession::WriteFirst() {
  grpc::WriteOptions options;
  // What follows at once shares the packet.
  if (outgoing_.size() > 1) options.set_buffer_hint();
  stream_->Write(outgoing_.front(), options, Tag(Step::kWrite));
}

}  // namespace bertie::accelerator
