// The service's streams: a session with an endpoint, and a file on its way in. gRPC's side of them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "accelerator.grpc.pb.h"
#include "accelerator/accelerator.h"
#include "accelerator/grpc_server.h"
#include "accelerator/task_thread.h"

namespace bertie::accelerator {

grpc::Status ToGrpc(const Error& error);

class Stream;

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

// What the streams share.
struct ServiceContext {
  Accelerator& accelerator;
  std::shared_ptr<const GrpcServerOptions> options;
  TaskThread& disk;
  StreamSet& streams;
};

// gRPC calls a reactor from its threads, one call of a kind at a time; OnDone is the last. A stream
// is kept alive by the StreamSet until then, and by whoever else still holds it after.
class Stream {
 public:
  virtual ~Stream() = default;
  // Ends the stream when its client has kept it waiting for too long.
  virtual void CheckClock(Clock::time_point now) = 0;
  // Ends it once nothing is under way.
  virtual void BeginDrain() = 0;
};

// Begins a stream, unless too many are open, and keeps it in the set.
template <class AnyStream>
AnyStream* StartStream(const ServiceContext& context, const std::shared_ptr<AnyStream>& stream,
                       const grpc::Status& refusal) {
  const size_t most = 2 * context.accelerator.options().max_sessions;
  const bool taken = context.streams.Add(stream, refusal.ok() ? most : SIZE_MAX);
  if (!taken) context.streams.Add(stream, SIZE_MAX);
  stream->Begin(taken ? refusal
                      : grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"));
  return stream.get();
}

// Begin a stream and let gRPC have it. `refusal` not OK: it ends with that at once.
grpc::ServerBidiReactor<v1::ToAccelerator, v1::FromAccelerator>* StartSession(
    const ServiceContext& context, grpc::CallbackServerContext* call, const grpc::Status& refusal);
grpc::ServerReadReactor<v1::FileChunk>* StartUpload(const ServiceContext& context,
                                                    v1::FileState* answer,
                                                    const grpc::Status& refusal);

}  // namespace bertie::accelerator
