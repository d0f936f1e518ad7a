#include <string>
#include <utility>

#include "accelerator/streams.h"

namespace bertie::accelerator {
namespace {

using Reactor = grpc::ServerReadReactor<v1::FileChunk>;

grpc::Status Bad(const char* what) { return {grpc::StatusCode::INVALID_ARGUMENT, what}; }

// Every piece is written by the disk thread, which then asks for the next: a slow disk holds up the
// sender, and no thread of gRPC's.
class UploadStream final : public Reactor,
                           public Stream,
                           public std::enable_shared_from_this<UploadStream> {
 public:
  UploadStream(const ServiceContext& context, v1::FileState* answer)
      : context_(context), answer_(answer) {}

  void Begin(const grpc::Status& refusal) {
    if (!refusal.ok()) return End(refusal);
    StartRead(&chunk_);
  }

  void OnReadDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      if (finished_) return;
      working_ = true;
    }
    context_.disk.Post([self = shared_from_this(), ok] { self->Work(ok); });
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }

  void OnDone() override { context_.streams.Remove(shared_from_this()); }

  void CheckClock(Clock::time_point now) override {
    bool late = false;
    {
      std::lock_guard lock(mutex_);
      late = !working_ && now - last_ > context_.options->upload_timeout;
    }
    if (late) End(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "no piece of the file came"));
  }

  void BeginDrain() override {
    End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"));
  }

 private:
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
      StartRead(&chunk_);
    }
  }

  grpc::Status Take() {
    if (upload_ == nullptr) {
      auto begun = context_.accelerator.store().BeginUpload(chunk_.content_hash(), chunk_.name(),
                                                            chunk_.offset());
      if (!begun.ok()) return ToGrpc(begun.error());
      upload_ = std::move(*begun);
    } else if (!chunk_.content_hash().empty() || !chunk_.name().empty() || chunk_.offset() != 0) {
      return Bad("found a second head; expected data alone after the first piece");
    }
    if (const Status written = upload_->Write(chunk_.data()); !written.ok()) {
      return ToGrpc(written.error());
    }
    return {};
  }

  grpc::Status Conclude() {
    if (upload_ == nullptr) return Bad("found no piece of a file");
    auto state = upload_->Finish();
    if (!state.ok()) return ToGrpc(state.error());
    std::lock_guard lock(mutex_);
    if (finished_) return {};  // the call, and the answer with it, may be gone
    answer_->set_name(state->name);
    answer_->set_received(state->received);
    answer_->set_complete(state->complete);
    return {};
  }

  void End(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(finished_, true)) return;
      if (!working_) Release();
    }
    Finish(status);
  }

  // Lets go of the file on the disk thread, whose it is.
  void Release() {
    context_.disk.Post([self = shared_from_this()] { self->upload_.reset(); });
  }

  const ServiceContext context_;
  v1::FileState* const answer_;
  v1::FileChunk chunk_;                         // gRPC's and the disk thread's by turns
  std::unique_ptr<ModelStore::Upload> upload_;  // the disk thread's

  std::mutex mutex_;  // guards all below
  Clock::time_point last_ = Clock::now();
  bool working_ = false;  // the disk thread has a piece
  bool finished_ = false;
};

}  // namespace

Reactor* StartUpload(const ServiceContext& context, v1::FileState* answer,
                     const grpc::Status& refusal) {
  return StartStream(context, std::make_shared<UploadStream>(context, answer), refusal);
}

}  // namespace bertie::accelerator
