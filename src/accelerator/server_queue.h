// The one queue on which gRPC says what has ended, and the one thread that polls it. Threads that
// compute take its place for a moment when they answer.
//
// gRPC's callback API would need no thread here, but takes turns on several of its own, which costs
// each batch two more wake-ups.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "accelerator/ended.h"

namespace bertie::accelerator {

// Something that a call has begun with gRPC: a read, a write, ... One at a time. The queue's thread
// calls on_end, or one that is in BeginHere.
class Operation {
 public:
  explicit Operation(std::function<void(bool ok)> on_end) : on_end_(std::move(on_end)) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // gRPC's tag for it. The call, of which this is a part, is kept until gRPC gives the tag back.
  void* Begin(std::shared_ptr<void> call) {
    call_ = std::move(call);
    return this;
  }

  // gRPC will not give the tag back.
  void Forget() { call_.reset(); }

  void End(bool ok) {
    const std::shared_ptr<void> call = std::move(call_);  // on_end may begin it again
    on_end_(ok);
  }

 private:
  const std::function<void(bool)> on_end_;
  std::shared_ptr<void> call_;
};

class ServerQueue {
 public:
  explicit ServerQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  ~ServerQueue();  // Close
  ServerQueue(const ServerQueue&) = delete;
  ServerQueue& operator=(const ServerQueue&) = delete;

  grpc::ServerCompletionQueue* get() const { return queue_.get(); }

  // For each call to say that it is there, and that it is gone: then it begins nothing any more.
  // Any thread.
  void AddCall();
  void RemoveCall();

  // begin begins a small write. It ends here, if it can, instead of waking the thread for that; or
  // whatever else has ended meanwhile. Not with a mutex held.
  template <typename Begin>
  void BeginHere(Begin&& begin) {
    if (const auto ended = BeginAndTake(*queue_, std::forward<Begin>(begin))) Handle(*ended);
  }

  // Ends the thread, once the last call is gone: the server must have been shut down.
  void Close();

 private:
  void Loop();
  static void Handle(const Ended& ended) { static_cast<Operation*>(ended.tag)->End(ended.ok); }

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::mutex mutex_;  // guards calls_
  std::condition_variable gone_;
  size_t calls_ = 0;
  std::thread thread_;
};

}  // namespace bertie::accelerator
