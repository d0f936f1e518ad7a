// The routes of the inference server.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/handler.h"
#include "infer/batcher.h"
#include "serve/answer.h"
#include "serve/invocation.h"
#include "serve/metrics.h"
#include "text/tokenizer.h"

namespace bertie::serve {

struct HandlerOptions {
  size_t max_texts = 1024;  // of one request
  // Texts over the model's length are cut, and x-bertie-truncated says how many were; false: 400.
  // A request's parameters.truncation overrules it.
  bool truncate = true;
  std::chrono::milliseconds request_timeout{60'000};  // SageMaker's own limit for an invocation
  MediaType default_answer = MediaType::kJson;
  std::function<void(std::string_view)> log = {};  // one line; never holds text that a client sent
  std::function<std::string()> more_metrics = {};  // further lines for /metrics; any thread
};

// A model ready to answer. Its parts outlive the handlers.
struct ServedModel {
  const text::Tokenizer* tokenizer = nullptr;
  infer::Batcher* batcher = nullptr;
  LabelScheme scheme;
  size_t max_length = 512;  // tokens of one text, special ones counted
};

// GET /ping and /health: 200 with an empty body once there is a model, until the drain begins; 503
// otherwise. POST /invocations: see invocation.h and answer.h. GET /metrics. Anything else is 404
// or 405. Every refusal has the body {"code", "type", "message"}.
class Handlers : public http::Handler {
 public:
  explicit Handlers(HandlerOptions options) : options_(std::move(options)) {}

  // Any thread. The model must outlive every call of the handlers.
  void SetModel(const ServedModel* model) { model_ = model; }
  // Any thread: /ping tells load balancers to look elsewhere. Requests are still answered.
  void BeginDrain() { draining_ = true; }
  Metrics& metrics() { return metrics_; }
  // For /metrics: how many connections the server has. Set before the server starts.
  void SetConnectionCounter(std::function<size_t()> counter) { connections_ = std::move(counter); }

  std::optional<http::Response> OnHead(const http::RequestHead& head) override;
  void OnRequest(http::Request request, std::shared_ptr<http::Exchange> exchange) override;
  http::Response OnRefusal(const http::Refusal& refusal) override;

 private:
  struct Job;

  std::optional<http::Response> CheckInvocation(const http::RequestHead& head);
  http::Response Ping();
  http::Response MetricsPage();
  void Invoke(http::Request request, std::shared_ptr<http::Exchange> exchange);
  std::optional<http::Refusal> Tokenize(const ServedModel& model, Job& job,
                                        infer::InferRequest& request);
  http::Response Answer(const Job& job, const Result<infer::InferResult>& result);
  http::Response Refuse(std::string_view route, const http::Refusal& refusal);

  const HandlerOptions options_;
  std::atomic<const ServedModel*> model_{nullptr};
  std::atomic<bool> draining_{false};
  std::function<size_t()> connections_;
  Metrics metrics_;
};

}  // namespace bertie::serve
