#include "accelerator/server_queue.h"

namespace bertie::accelerator {

ServerQueue::ServerQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : queue_(std::move(queue)), thread_([this] { Loop(); }) {}

ServerQueue::~ServerQueue() { Close(); }

void ServerQueue::AddCall() {
  std::lock_guard lock(mutex_);
  ++calls_;
}

void ServerQueue::RemoveCall() {
  std::lock_guard lock(mutex_);
  if (--calls_ == 0) gone_.notify_all();
}

void ServerQueue::Close() {
  if (!thread_.joinable()) return;
  {
    // gRPC ends the program when something is begun on a queue that has been shut down.
    std::unique_lock lock(mutex_);
    gone_.wait(lock, [this] { return calls_ == 0; });
  }
  queue_->Shutdown();
  thread_.join();
}

void ServerQueue::Loop() {
  Ended ended;
  while (queue_->Next(&ended.tag, &ended.ok)) Handle(ended);
}

}  // namespace bertie::accelerator
