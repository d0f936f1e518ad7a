// A session over gRPC. gRPC's side of RemoteSession.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "accelerator.grpc.pb.h"
#include "accelerator/ended.h"
#include "accelerator/remote_session.h"
#include "base/status.h"

namespace bertie::accelerator {

// One thread of its own polls for the stream, and one that sends may take its place for a moment.
// gRPC's callbacks would need no thread here, but take turns on several of its own, which costs an
// endpoint with little processor two more wake-ups for each answer.
class ClientSession final : public RemoteSession {
 public:
  ClientSession(std::string address, SessionEvents events);
  ~ClientSession() override;

  grpc::ClientContext& context() { return context_; }

  // Once. `stub` must outlive the session.
  void Begin(v1::Accelerator::Stub& stub, const AttachOptions& request);

  // kDeadlineExceeded when nothing came; else the model, or why the stream ended.
  Result<AttachedModel> WaitAttached(std::chrono::milliseconds timeout);

  void Send(uint64_t id, const model::PackedBatch& batch,
            std::chrono::microseconds timeout) override;
  void Cancel(uint64_t id) override;
  void End() override { context_.TryCancel(); }
  uint64_t bytes_sent() const override { return bytes_sent_; }
  uint64_t bytes_received() const override { return bytes_received_; }

 private:
  enum class Step : uintptr_t { kStart = 1, kRead, kWrite, kFinish };
  static void* Tag(Step step) { return reinterpret_cast<void*>(static_cast<uintptr_t>(step)); }

  void Loop();
  void Handle(const Ended& ended);
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void Finish();
  void OnFinished();
  void Write(v1::ToAccelerator message);
  void WriteFirst();  // with the mutex held

  const std::string address_;
  const SessionEvents events_;
  std::string content_hash_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::ToAccelerator, v1::FromAccelerator>> stream_;
  std::thread thread_;
  // Of whoever handles a read or the end: there is one of either under way.
  v1::FromAccelerator incoming_;
  grpc::Status status_;
  std::string broken_;  // what the accelerator did wrong
  std::atomic<uint64_t> bytes_sent_{0};
  std::atomic<uint64_t> bytes_received_{0};

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<v1::ToAccelerator> outgoing_;  // the first is being written
  std::optional<AttachedModel> attached_;
  Error end_error_;
  bool over_ = false;
  bool done_ = false;
};

}  // namespace bertie::accelerator
