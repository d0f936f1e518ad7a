// The calls by which a client sends inferences one after the other.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "http/message.h"
#include "inference.grpc.pb.h"
#include "kserve/unary_call.h"
#include "serve/context.h"
#include "serve/request_record.h"

namespace bertie::kserve {

class InferenceStreams;

// One call. Its requests are computed side by side and answered in their order, as Triton does; a
// refusal is the answer to one of them, and the others go on. A bounded number is taken before
// their answers are sent. Each request is counted and logged as one by itself, under the call's
// ids, and the call when it ends. Any thread.
class InferenceStream final : public grpc::ServerBidiReactor<inference::ModelInferRequest,
                                                             inference::ModelStreamInferResponse>,
                              public std::enable_shared_from_this<InferenceStream> {
 public:
  InferenceStream(serve::ServeContext& context, std::shared_ptr<InferenceStreams> streams,
                  grpc::CallbackServerContext& call);

  // Once; it then keeps itself until gRPC has done with it.
  void Begin();

  // The server ends: what was read is answered, and Go ends the call.
  void EndSoon();
  void Go();

 private:
  struct Request {
    Request(serve::RequestRecord of_request, size_t size)
        : record(std::move(of_request)), bytes(size) {}

    serve::RequestRecord record;
    const size_t bytes;
    inference::ModelStreamInferResponse answer;
    bool answered = false;  // by the stream's mutex; the answer is there
  };

  enum class Step { kNothing, kRead, kWrite, kFinish };
  // going: the caller did the last step.
  Step NextStep(bool going);
  Step ChooseStep();  // with the mutex held

  // status: HTTP's, for the log.
  void End(int status, grpc::Status end);
  void Drop();

  void Start(const std::shared_ptr<Request>& request);
  void Answer(Request& request, const std::optional<http::Refusal>& refusal);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  const CallCount counted_;
  serve::ServeContext& context_;
  const std::shared_ptr<InferenceStreams> streams_;
  const size_t most_;  // of requests_
  const std::chrono::system_clock::time_point deadline_;
  const CallFacts facts_;
  serve::RequestRecord record_;
  std::shared_ptr<InferenceStream> self_;
  std::stop_source stop_;
  inference::ModelInferRequest incoming_;          // gRPC's while it reads
  std::mutex mutex_;                               // guards all below
  std::deque<std::shared_ptr<Request>> requests_;  // those whose answers are not sent
  size_t bytes_ = 0;                               // of requests_
  bool going_ = false;                             // a thread is between two steps
  bool reading_ = false;
  const inference::ModelStreamInferResponse* writing_ = nullptr;  // gRPC's while it is there
  bool dropped_ = false;                                          // nobody listens
  bool finished_ = false;
  std::optional<grpc::Status> end_;  // no request is taken any more
  int end_status_ = 200;
};

// All of them. Any thread.
class InferenceStreams {
 public:
  // False when there are too many already.
  bool Add(const std::shared_ptr<InferenceStream>& stream);
  void Remove(const std::shared_ptr<InferenceStream>& stream);
  // Each call, also of those to come, ends once what it has read is answered.
  void BeginDrain();

 private:
  std::mutex mutex_;  // guards all below; taken before a stream's
  std::vector<std::shared_ptr<InferenceStream>> streams_;
  bool draining_ = false;
};

}  // namespace bertie::kserve
