#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "accelerator/server_call.h"

namespace bertie::accelerator {
namespace {

using Reader = grpc::ServerAsyncReader<v1::FileState, v1::FileChunk>;

grpc::Status Bad(const char* what) { return {grpc::StatusCode::INVALID_ARGUMENT, what}; }

// Every piece is written by the disk thread, which then asks for the next: a slow disk holds up the
// sender, and no thread of gRPC's.
class UploadStream final : public StreamCall<Reader, v1::FileChunk> {
 public:
  using StreamCall::StreamCall;

  void CheckClock(Clock::time_point now) override {
    bool late = false;
    {
      std::lock_guard lock(mutex_);
      late = !working_ && now - std::max(begun_, last_) > context_.options.upload_timeout;
    }
    if (late) End({grpc::StatusCode::DEADLINE_EXCEEDED, "no piece of the file came"});
  }

  void BeginDrain() override {
    End({grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"});
  }

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.service.RequestUpload(&call_, &stream_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<UploadStream>(context_); }

  void OnRead(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      if (finished_) return;
      working_ = true;
    }
    context_.disk.Post([this, self = shared_from_this(), ok] { Work(ok); });
  }

  // On the disk thread.
  void Work(bool ok) {
    const grpc::Status status = ok ? Take() : Conclude();
    bool finished = false;
    {
      std::lock_guard lock(mutex_);
      working_ = false;
      last_ = Clock::now();
      finished = finished_;
    }
    if (finished) {
      upload_.reset();
    } else if (!ok || !status.ok()) {
      upload_.reset();
      End(status);
    } else {
      Read();
    }
  }

  grpc::Status Take() {
    if (upload_ == nullptr) {
      auto made = context_.accelerator.store().BeginUpload(message_.content_hash(), message_.name(),
                                                           message_.offset());
      if (!made.ok()) return ToGrpc(made.error());
      upload_ = std::move(*made);
    } else if (!message_.content_hash().empty() || !message_.name().empty() ||
               message_.offset() != 0) {
      return Bad("found a second head; expected data alone after the first piece");
    }
    if (const Status written = upload_->Write(message_.data()); !written.ok()) {
      return ToGrpc(written.error());
    }
    return {};
  }

  grpc::Status Conclude() {
    if (upload_ == nullptr) return Bad("found no piece of a file");
    auto state = upload_->Finish();
    if (!state.ok()) return ToGrpc(state.error());
    answer_.set_name(state->name);
    answer_.set_received(state->received);
    answer_.set_complete(state->complete);
    return {};
  }

  void End(const grpc::Status& status) override {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(finished_, true)) return;
      if (!working_) Release();
    }
    if (status.ok()) {
      stream_.Finish(answer_, status, BeginFinish());
    } else {
      stream_.FinishWithError(status, BeginFinish());
    }
  }

  // Lets go of the file on the disk thread, whose it is.
  void Release() {
    context_.disk.Post([this, self = shared_from_this()] { upload_.reset(); });
  }

  // The disk thread's:
  std::unique_ptr<ModelStore::Upload> upload_;
  v1::FileState answer_;

  std::mutex mutex_;        // guards all below
  Clock::time_point last_;  // when it had written one
  bool working_ = false;    // the disk thread has a piece
  bool finished_ = false;
};

}  // namespace

void AwaitUpload(ServiceContext& context) { Await<UploadStream>(context); }

}  // namespace bertie::accelerator
