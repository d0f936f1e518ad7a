#include "accelerator/server_call.h"

#include <span>
#include <vector>

#include "base/hmac.h"

namespace bertie::accelerator {

Call::Call(ServiceContext& context) : context_(context) { context_.queue->AddCall(); }

Call::~Call() { context_.queue->RemoveCall(); }

void Call::Await() {
  call_.AsyncNotifyWhenDone(over_.Begin(shared_from_this()));
  Request(arrived_.Begin(shared_from_this()));
}

void Call::OnArrived(bool ok) {
  if (!ok) return over_.Forget();  // the server is ending; gRPC does not say so twice
  AwaitNext();
  Begin(Authorize());
  if (begun_or_over_.exchange(true)) OnCancel();
}

void Call::OnOver() {
  if (call_.IsCancelled() && begun_or_over_.exchange(true)) OnCancel();
}

grpc::Status Call::Authorize() const {
  if (!context_.options.token.empty()) {
    const std::string wanted = "Bearer " + context_.options.token;
    const auto& metadata = call_.client_metadata();
    const auto found = metadata.find("authorization");
    const grpc::string_ref sent = found == metadata.end() ? grpc::string_ref() : found->second;
    if (!ConstantTimeEqual(std::as_bytes(std::span(sent.data(), sent.size())),
                           std::as_bytes(std::span(wanted)))) {
      return {grpc::StatusCode::UNAUTHENTICATED, "a token is needed"};
    }
  }
  if (context_.draining) {
    return {grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"};
  }
  return {};
}

bool StreamSet::Add(const std::shared_ptr<Stream>& stream, size_t most) {
  std::lock_guard lock(mutex_);
  if (streams_.size() >= most) return false;
  streams_.insert(stream);
  return true;
}

void StreamSet::Remove(const std::shared_ptr<Stream>& stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
  if (streams_.empty()) removed_.notify_all();
}

bool StreamSet::WaitEmpty(std::chrono::milliseconds limit) const {
  std::unique_lock lock(mutex_);
  return removed_.wait_for(lock, limit, [this] { return streams_.empty(); });
}

void StreamSet::ForEach(const std::function<void(Stream&)>& body) const {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard lock(mutex_);
    streams.assign(streams_.begin(), streams_.end());
  }
  for (const auto& stream : streams) body(*stream);
}

grpc::Status ToGrpc(const Error& error) {
  using grpc::StatusCode;
  const auto code = [&] {
    switch (error.code) {
      case ErrorCode::kInvalidArgument:
        return StatusCode::INVALID_ARGUMENT;
      case ErrorCode::kNotFound:
        return StatusCode::NOT_FOUND;
      case ErrorCode::kInvalidData:
        return StatusCode::DATA_LOSS;
      case ErrorCode::kUnsupported:
        return StatusCode::FAILED_PRECONDITION;
      case ErrorCode::kResourceExhausted:
        return StatusCode::RESOURCE_EXHAUSTED;
      case ErrorCode::kUnavailable:
        return StatusCode::UNAVAILABLE;
      case ErrorCode::kDeadlineExceeded:
        return StatusCode::DEADLINE_EXCEEDED;
      case ErrorCode::kCancelled:
        return StatusCode::CANCELLED;
      default:
        return StatusCode::INTERNAL;
    }
  }();
  return {code, error.message};
}

}  // namespace bertie::accelerator
