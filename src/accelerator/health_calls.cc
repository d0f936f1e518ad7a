// gRPC's own health service is not used: it polls with threads of its own.
#include <mutex>
#include <utility>

#include "accelerator/server_call.h"

namespace bertie::accelerator {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr size_t kMaxWatchers = 64;

bool IsHere(const HealthCheckRequest& request) {
  return request.service().empty() || request.service() == v1::Accelerator::service_full_name();
}

class CheckCall final : public UnaryCall<HealthCheckRequest, HealthCheckResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.health.RequestCheck(&call_, &request_, &writer_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<CheckCall>(context_); }

  void Begin(const grpc::Status&) override {  // whoever asks
    answer_.set_status(context_.draining ? HealthCheckResponse::NOT_SERVING
                                         : HealthCheckResponse::SERVING);
    Finish(IsHere(request_) ? grpc::Status::OK
                            : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service"));
  }
};

class WatchCall final : public Call, public Stream {
 public:
  using Call::Call;

  void CheckClock(Clock::time_point) override {}

  void BeginDrain() override {
    std::lock_guard lock(mutex_);
    draining_ = true;
    Go();
  }

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.health.RequestWatch(&call_, &request_, &writer_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<WatchCall>(context_); }

  void Begin(const grpc::Status&) override {
    std::lock_guard lock(mutex_);
    if (!context_.watchers.Add(Self(), kMaxWatchers)) {
      finished_ = true;
      return writer_.Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watch"},
                            finish_.Begin(shared_from_this()));
    }
    draining_ = context_.draining;
    writing_ = !draining_;
    if (draining_) return Go();
    HealthCheckResponse answer;
    answer.set_status(IsHere(request_) ? HealthCheckResponse::SERVING
                                       : HealthCheckResponse::SERVICE_UNKNOWN);
    writer_.Write(answer, write_.Begin(shared_from_this()));
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    draining_ = true;  // nobody hears it, but it ends
    Go();
  }

  void OnWritten() {
    std::lock_guard lock(mutex_);
    writing_ = false;
    Go();
  }

  // With the mutex held: says the last word when it is time.
  void Go() {
    if (!draining_ || writing_ || std::exchange(finished_, true)) return;
    HealthCheckResponse answer;
    answer.set_status(HealthCheckResponse::NOT_SERVING);
    writer_.WriteAndFinish(answer, {},
                           {grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"},
                           finish_.Begin(shared_from_this()));
  }

  std::shared_ptr<Stream> Self() { return {shared_from_this(), this}; }

  HealthCheckRequest request_;
  grpc::ServerAsyncWriter<HealthCheckResponse> writer_{&call_};
  Operation write_{[this](bool) { OnWritten(); }};
  Operation finish_{[this](bool) { context_.watchers.Remove(Self()); }};

  std::mutex mutex_;  // guards all below
  bool writing_ = false;
  bool draining_ = false;
  bool finished_ = false;
};

}  // namespace

void AwaitHealthCalls(ServiceContext& context) {
  Await<CheckCall>(context);
  Await<WatchCall>(context);
}

}  // namespace bertie::accelerator
