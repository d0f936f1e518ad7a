// What the routes of one server share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "http/message.h"
#include "serve/invocation.h"
#include "serve/metrics.h"
#include "serve/model_table.h"

namespace bertie::serve {

struct HandlerOptions {
  size_t max_texts = 1024;  // of one request
  // Texts over the model's length are cut; false: refused. A request may say otherwise.
  bool truncate = true;
  std::chrono::milliseconds request_timeout{60'000};  // SageMaker's own limit for an invocation
  MediaType default_answer = MediaType::kJson;
  uint64_t max_body_bytes = 6 * 1024 * 1024;       // the HTTP server's limit
  std::function<void(std::string_view)> log = {};  // one line; never holds text that a client sent
  std::function<std::string()> more_metrics = {};  // further lines for /metrics; any thread
};

// Any thread.
struct ServeContext {
  explicit ServeContext(HandlerOptions handler_options) : options(std::move(handler_options)) {}

  // Why load balancers should look elsewhere, if they should: no model yet, nobody to compute, or
  // the end has begun.
  std::optional<http::Refusal> NotReady() const;

  // ModelTable::Find's, or why not: 404 ModelNotFound, 400 ModelNotNamed, 503 Loading until the
  // models that the server was started with are there.
  std::variant<ModelPointer, http::Refusal> FindModel(std::string_view name = "",
                                                      std::string_view version = "") const;

  void Log(const std::string& line) const {
    if (options.log) options.log(line);
  }

  const HandlerOptions options;
  Metrics metrics;
  ModelTable models;
  std::atomic<bool> loaded{false};  // the models that the server was started with are there
  std::atomic<bool> draining{false};
  std::function<size_t()> connections;  // set before the server starts
};

}  // namespace bertie::serve
