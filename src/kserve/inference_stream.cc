#include "kserve/inference_stream.h"

#include <algorithm>
#include <new>
#include <utility>

#include "kserve/convert.h"
#include "kserve/model_inference.h"
#include "serve/access.h"

namespace bertie::kserve {
namespace {

constexpr const char* kStreamRoute = "/inference.GRPCInferenceService/ModelStreamInfer";
constexpr size_t kMostStreams = 1000;
// Of one stream: enough to fill batches, and no more than the queue has room for.
constexpr size_t kMostRequests = 64;
// Of one stream's requests, but for the last of them. Outside windows, which overlap, a request
// has no more tokens than bytes: half of those that the queue takes unless told are left to others.
constexpr size_t kMostBytes = size_t{32} << 10;

}  // namespace

InferenceStream::InferenceStream(serve::ServeContext& context,
                                 std::shared_ptr<InferenceStreams> streams,
                                 grpc::CallbackServerContext& call)
    : counted_(context),
      context_(context),
      streams_(std::move(streams)),
      most_(std::clamp(context.queue.max_requests, size_t{1}, kMostRequests)),
      deadline_(call.deadline()),
      facts_(call),
      record_(context, kStreamRoute, facts_.request) {}

void InferenceStream::Begin() {
  self_ = shared_from_this();
  std::optional<http::Refusal> refusal =
      serve::CheckAccess(context_.options.keys, serve::Access::kKey, facts_.head);
  if (!refusal && !streams_->Add(self_)) {
    refusal = {429, "TooManyStreams",
               "too many streams are open; end some of them, or ask by ModelInfer"};
  }
  if (refusal) End(refusal->status, ToStatus(*refusal));
  Go();
}

void InferenceStream::EndSoon() {
  End(200, {grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
}

void InferenceStream::End(int status, grpc::Status end) {
  std::lock_guard lock(mutex_);
  if (end_) return;
  end_ = std::move(end);
  end_status_ = status;
}

void InferenceStream::Drop() {
  End(200, grpc::Status::CANCELLED);
  {
    std::lock_guard lock(mutex_);
    dropped_ = true;
  }
  stop_.request_stop();
}

InferenceStream::Step InferenceStream::ChooseStep() {
  if (finished_) return Step::kNothing;
  if (!writing_ && !dropped_ && !requests_.empty() && requests_.front()->answered) {
    writing_ = &requests_.front()->answer;
    return Step::kWrite;
  }
  if (!end_ && !reading_ && requests_.size() < most_ && bytes_ < kMostBytes) {
    reading_ = true;
    return Step::kRead;
  }
  // Inferences that nobody waits for any more end all the same, and use what the call has.
  const bool rest = std::any_of(requests_.begin(), requests_.end(), [this](const auto& request) {
    return !dropped_ || !request->answered;
  });
  finished_ = end_ && !writing_ && !rest;
  return finished_ ? Step::kFinish : Step::kNothing;
}

InferenceStream::Step InferenceStream::NextStep(bool going) {
  std::lock_guard lock(mutex_);
  if (going_ != going) return Step::kNothing;
  const Step step = ChooseStep();
  going_ = step != Step::kNothing;
  return step;
}

// One thread at a time does the steps, so that none comes after the last one. gRPC is called
// without the mutex.
void InferenceStream::Go() {
  const auto self = shared_from_this();
  Step step = NextStep(false);
  for (; step != Step::kNothing; step = NextStep(true)) {
    if (step == Step::kRead) StartRead(&incoming_);
    if (step == Step::kWrite) StartWrite(writing_);
    if (step == Step::kFinish) Finish(*end_);
  }
}

void InferenceStream::OnReadDone(bool ok) {
  // The client has said all.
  if (!ok) End(200, grpc::Status::OK);
  std::shared_ptr<Request> request;
  {
    std::lock_guard lock(mutex_);
    if (!end_) {
      request = std::make_shared<Request>(
          serve::RequestRecord(context_, kStreamRoute, facts_.request), incoming_.ByteSizeLong());
      bytes_ += request->bytes;
      requests_.push_back(request);
    }
  }
  if (request) Start(request);
  incoming_ = {};  // else a large one would be kept until the next comes
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
  }
  Go();
}

void InferenceStream::Start(const std::shared_ptr<Request>& request) {
  // What a refusal tells which request it is of, as Triton does.
  auto& answer = *request->answer.mutable_infer_response();
  answer.set_id(incoming_.id());
  answer.set_model_name(incoming_.model_name());
  answer.set_model_version(incoming_.model_version());
  const auto done = [self = shared_from_this(), request](const auto& refusal) {
    self->Answer(*request, refusal);
  };
  try {
    InferModel({context_, request->record, deadline_, stop_.get_token()}, incoming_, answer, done);
  } catch (const std::bad_alloc&) {
    done(std::optional(http::Refusal{503, "OutOfMemory", "not enough memory for this request"}));
  }
}

void InferenceStream::Answer(Request& request, const std::optional<http::Refusal>& refusal) {
  if (refusal) {
    const grpc::Status status = EndRefused(context_, request.record, *refusal);
    request.answer.set_error_message(status.error_message());
  } else {
    EndRecord(request.record, 200, grpc::Status::OK);
  }
  // Triton's clients ask whether more answers come to the same request.
  auto& parameters = *request.answer.mutable_infer_response()->mutable_parameters();
  parameters["triton_final_response"].set_bool_param(true);
  {
    std::lock_guard lock(mutex_);
    request.answered = true;
  }
  Go();
}

void InferenceStream::OnWriteDone(bool ok) {
  if (!ok) Drop();
  {
    std::lock_guard lock(mutex_);
    bytes_ -= requests_.front()->bytes;
    requests_.pop_front();
    writing_ = nullptr;
  }
  Go();
}

void InferenceStream::OnCancel() {
  Drop();
  Go();
}

void InferenceStream::OnDone() {
  const std::shared_ptr<InferenceStream> self = std::move(self_);
  streams_->Remove(self);  // whoever reads the log finds its place free
  EndRecord(record_, end_status_, dropped_ ? grpc::Status::CANCELLED : *end_);
}

bool InferenceStreams::Add(const std::shared_ptr<InferenceStream>& stream) {
  std::lock_guard lock(mutex_);
  if (streams_.size() >= kMostStreams) return false;
  streams_.push_back(stream);
  if (draining_) stream->EndSoon();
  return true;
}

void InferenceStreams::Remove(const std::shared_ptr<InferenceStream>& stream) {
  std::lock_guard lock(mutex_);
  std::erase(streams_, stream);
}

void InferenceStreams::BeginDrain() {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const auto streams = streams_;
  lock.unlock();
  for (const auto& stream : streams) {
    stream->EndSoon();
    stream->Go();
  }
}

}  // namespace bertie::kserve
