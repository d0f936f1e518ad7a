// One request on its route, until it is answered.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/handler.h"
#include "http/message.h"
#include "serve/context.h"
#include "serve/inference.h"
#include "serve/request_record.h"
#include "serve/route.h"

namespace bertie::serve {

// Kept by whoever works on the request. Let go of without an answer, it is refused with 500.
class Call {
 public:
  // context and protocol outlive the call; route is the pattern, and outlives it too.
  Call(ServeContext& context, const Protocol& protocol, std::string_view route,
       PathParameters parameters, http::Request request, std::shared_ptr<http::Exchange> exchange,
       RequestFacts facts);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const http::RequestHead& head() const { return request_.head; }
  // May be taken out, by one thread.
  std::string& body() { return request_.body; }
  std::string_view parameter(std::string_view name) const { return parameters_[name]; }
  const std::string& request_id() const { return record_.facts().request_id; }
  Clock::time_point begin() const { return record_.begin(); }  // when the whole request was there
  std::stop_token cancelled() const { return exchange_->cancelled(); }

  // Answers; only the first of these counts. Any thread; never blocks. Counted under the model,
  // where there is one.
  void Respond(http::Response response);
  void Refuse(const http::Refusal& refusal);

  // Whose request it is, for metrics and the log. Infer does it by itself. One thread, before the
  // answer.
  void SetModel(ModelPointer model) { record_.SetModel(std::move(model)); }

  // serve::Infer for this request: the deadline is the server's where it is earlier, and
  // cancellation is filled in. The call is kept until
  // `done`, which may answer it.
  static void Infer(const std::shared_ptr<Call>& call, InferenceRequest request,
                    std::function<void(Call&, InferenceResult)> done);

 private:
  ServeContext& context_;
  const Protocol& protocol_;
  const PathParameters parameters_;
  http::Request request_;
  const std::shared_ptr<http::Exchange> exchange_;
  RequestRecord record_;
  std::atomic<bool> answered_{false};
};

// The protocol's refusal with Retry-After; of a 401, nothing but what HTTP asks for. Logs a 500.
http::Response FormRefusal(const ServeContext& context, const Protocol& protocol,
                           const http::Refusal& refusal, std::string_view request_id);

}  // namespace bertie::serve
