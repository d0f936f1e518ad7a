// Calls of the accelerator's service, from waiting for one to its end. gRPC's side of them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "accelerator.grpc.pb.h"
#include "accelerator/accelerator.h"
#include "accelerator/grpc_server.h"
#include "accelerator/server_queue.h"
#include "accelerator/task_thread.h"
#include "health.grpc.pb.h"

namespace bertie::accelerator {

grpc::Status ToGrpc(const Error& error);

// A stream that stays. Any thread.
class Stream {
 public:
  virtual ~Stream() = default;
  // Ends the stream when its client has kept it waiting for too long.
  virtual void CheckClock(Clock::time_point now) = 0;
  // Ends it once nothing is under way.
  virtual void BeginDrain() = 0;
};

// The streams that are open. Any thread.
class StreamSet {
 public:
  bool Add(const std::shared_ptr<Stream>& stream, size_t most);  // false: there are that many
  void Remove(const std::shared_ptr<Stream>& stream);
  bool WaitEmpty(std::chrono::milliseconds limit) const;  // false: some are left
  void ForEach(const std::function<void(Stream&)>& body) const;

 private:
  mutable std::mutex mutex_;  // guards streams_
  mutable std::condition_variable removed_;
  std::set<std::shared_ptr<Stream>> streams_;
};

// What the calls share; outlives them.
struct ServiceContext {
  Accelerator& accelerator;
  const GrpcServerOptions options;
  v1::Accelerator::AsyncService service{};
  grpc::health::v1::Health::AsyncService health{};
  TaskThread disk{};
  StreamSet streams{};   // sessions and uploads
  StreamSet watchers{};  // of the server's health
  std::unique_ptr<ServerQueue> queue{};
  std::atomic<bool> draining{false};  // calls that come from now on are refused
};

// One call of one method; it hears from gRPC as ServerQueue says. It is kept alive by its
// operations that are under way, and by whoever else holds it.
class Call : public std::enable_shared_from_this<Call> {
 public:
  explicit Call(ServiceContext& context);
  virtual ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Has gRPC make this the next call of its method.
  void Await();

 protected:
  // Asks gRPC for the call; its method's Request... of the service.
  virtual void Request(void* tag) = 0;
  // Awaits another call of the same method.
  virtual void AwaitNext() const = 0;
  // The call has come. refusal not OK: it is to end with that.
  virtual void Begin(const grpc::Status& refusal) = 0;
  // The client, the network or the server's end has broken it off; after Begin.
  virtual void OnCancel() {}

  ServiceContext& context_;
  grpc::ServerContext call_;

 private:
  void OnArrived(bool ok);
  void OnOver();
  grpc::Status Authorize() const;

  Operation arrived_{[this](bool ok) { OnArrived(ok); }};
  Operation over_{[this](bool) { OnOver(); }};
  std::atomic<bool> begun_or_over_{false};  // what comes second sees to the cancelling
};

template <class Method>
void Await(ServiceContext& context) {
  std::make_shared<Method>(context)->Await();
}

// One message, one answer.
template <class Asked, class Answered>
class UnaryCall : public Call {
 public:
  using Call::Call;

 protected:
  // Sends answer_, or the error. Once; any thread.
  void Finish(const grpc::Status& status) {
    void* tag = finish_.Begin(shared_from_this());
    if (status.ok()) {
      writer_.Finish(answer_, status, tag);
    } else {
      writer_.FinishWithError(status, tag);
    }
  }

  Asked request_;
  Answered answer_;
  grpc::ServerAsyncResponseWriter<Answered> writer_{&call_};

 private:
  Operation finish_{[](bool) {}};
};

// Message after message from the client. `Reader` is gRPC's end of such a stream.
template <class Reader, class Message>
class StreamCall : public Call, public Stream {
 public:
  using Call::Call;

 protected:
  virtual void OnRead(bool ok) = 0;  // false: no more comes
  // Ends the stream with this, once; any thread.
  virtual void End(const grpc::Status& status) = 0;

  void Read() { stream_.Read(&message_, read_.Begin(shared_from_this())); }
  // For the one that takes the stream out of its set when it has ended.
  void* BeginFinish() { return finish_.Begin(shared_from_this()); }

  Reader stream_{&call_};
  Message message_;          // what was read
  Clock::time_point begun_;  // when the call came

 private:
  void Begin(const grpc::Status& refusal) final {
    begun_ = Clock::now();
    const size_t most = 2 * context_.accelerator.options().max_sessions;
    const auto self = Self();
    const bool taken = context_.streams.Add(self, refusal.ok() ? most : SIZE_MAX);
    if (!taken) context_.streams.Add(self, SIZE_MAX);
    if (!taken) return End({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"});
    if (!refusal.ok()) return End(refusal);
    Read();
    if (context_.draining) BeginDrain();  // which may not have found it in the set
  }
  void OnCancel() final { End(grpc::Status::CANCELLED); }
  std::shared_ptr<Stream> Self() { return {shared_from_this(), this}; }

  Operation read_{[this](bool ok) { OnRead(ok); }};
  Operation finish_{[this](bool) { context_.streams.Remove(Self()); }};
};

// Await the first call of each method of the service's, and of the health service's.
void AwaitUnaryCalls(ServiceContext& context);
void AwaitHealthCalls(ServiceContext& context);
void AwaitUpload(ServiceContext& context);
void AwaitSession(ServiceContext& context);

}  // namespace bertie::accelerator
