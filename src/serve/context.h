// What the routes of one server share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/message.h"
#include "serve/access.h"
#include "serve/invocation.h"
#include "serve/long_texts.h"
#include "serve/metrics.h"
#include "serve/model_table.h"

namespace bertie::serve {

// What is logged of a request: nothing that its client sent but its ids and the model's name.
struct AccessRecord {
  std::string_view method = {};  // HTTP's, or "gRPC"
  // The pattern, or gRPC's full name of the method; "other" where there is none.
  std::string_view route = {};
  int status = 0;                     // over gRPC: the one that HTTP would have
  std::string_view grpc_status = {};  // such as "NOT_FOUND"; "" over HTTP
  double seconds = 0;
  std::string_view model = {}, version = {};  // "" where none was asked
  size_t texts = 0;
  size_t tokens = 0;
  std::string_view request_id = {}, trace_id = {};
};

// Paths of Google Vertex AI's contract beside /vertex, which nothing else is at then; "": none.
struct VertexPaths {
  std::string predict = {};
  std::string health = {};
};

struct HandlerOptions {
  size_t max_texts = 1024;                            // of one request
  LongTextOptions long_texts = {};                    // a request may say otherwise
  std::chrono::milliseconds request_timeout{60'000};  // SageMaker's own limit for an invocation
  MediaType default_answer = MediaType::kJson;
  bool playground = true;                          // the page for browsers
  uint64_t max_body_bytes = 6 * 1024 * 1024;       // the HTTP server's limit
  std::function<void(std::string_view)> log = {};  // one line; never holds text that a client sent
  std::string version = "0";                       // of the program, for clients that ask
  std::function<std::string()> more_metrics = {};  // further lines for /metrics; any thread
  AccessKeys keys = {};
  std::vector<std::string> cors_origins = {};  // "*": any
  VertexPaths vertex = {};
  bool multi_model = false;  // SageMaker's routes for several models are open
  // At each answer; any thread; must not block.
  std::function<void(const AccessRecord&)> access_log = {};
};

// Of the queue and the batches, for clients that ask.
struct QueueFacts {
  size_t max_requests = 0;
  int64_t max_batch_tokens = 0;
  int threads = 1;
};

class Call;

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
  std::atomic<int> grpc_calls{0};  // under way
  // Set before the server starts:
  std::function<size_t()> connections;
  QueueFacts queue;
  // Answers a browser's GET /, whose Accept names text/html. Null: as any other's.
  std::function<void(const std::shared_ptr<Call>&)> home_page;
};

}  // namespace bertie::serve
