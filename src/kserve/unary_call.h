// A call with one answer, from its coming to the line of the access log.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <new>
#include <optional>
#include <string_view>

#include "http/message.h"
#include "serve/access.h"
#include "serve/context.h"
#include "serve/request_record.h"

namespace bertie::kserve {

// What the call's metadata say of it, as HTTP's fields do. The ids go back by its initial metadata,
// so nothing of the call may have been sent.
struct CallFacts {
  explicit CallFacts(grpc::CallbackServerContext& call);

  http::RequestHead head;
  serve::RequestFacts request;
};

// One call under way: counted for as long as this is there. Any thread.
class CallCount {
 public:
  explicit CallCount(serve::ServeContext& context) : calls_(context.grpc_calls) { ++calls_; }
  ~CallCount() { --calls_; }
  CallCount(const CallCount&) = delete;
  CallCount& operator=(const CallCount&) = delete;

 private:
  std::atomic<int>& calls_;
};

// Counts and logs what a call ended with.
void EndRecord(serve::RequestRecord& record, int status, const grpc::Status& grpc_status);
// The same of what is refused: with this status.
grpc::Status EndRefused(const serve::ServeContext& context, serve::RequestRecord& record,
                        const http::Refusal& refusal);

// The reactor of one call; deletes itself when gRPC has done with it. One thread at a time.
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  // route: the method's full name, which outlives the call, as the context does.
  UnaryCall(serve::ServeContext& context, grpc::CallbackServerContext& call, std::string_view route,
            serve::Access access);

  // Begins by work(), which ends the call at once or sees to it, unless the call shows no key that
  // opens the method.
  template <class Work>
  grpc::ServerUnaryReactor* Run(Work&& work) {
    if (closed_) {
      Refuse(*closed_);
      return this;
    }
    try {
      work();
    } catch (const std::bad_alloc&) {
      Refuse({503, "OutOfMemory", "not enough memory for this request"});
    }
    return this;
  }

  serve::RequestRecord& record() { return record_; }

  // One of the two ends the call, once, and is the last thing that is done with this. Answer sends
  // the message that gRPC gave the method to fill.
  void Answer();
  void Refuse(const http::Refusal& refusal);

 protected:
  ~UnaryCall() override = default;

 private:
  UnaryCall(serve::ServeContext& context, CallFacts facts, std::string_view route,
            serve::Access access);

  void OnDone() override { delete this; }

  const CallCount counted_;
  serve::ServeContext& context_;
  const std::optional<http::Refusal> closed_;
  serve::RequestRecord record_;
};

}  // namespace bertie::kserve
