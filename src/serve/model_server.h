// A model behind an address: loading, batching, HTTP, and an orderly end.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/server.h"
#include "infer/batcher.h"
#include "infer/executor.h"
#include "model/classifier_weights.h"
#include "model/config.h"
#include "serve/handlers.h"

namespace bertie::serve {

// What an executor is made of that is not simply the model here.
struct ExecutorContext {
  std::filesystem::path dir;  // Load's
  const model::Config& config;
  infer::Executor* local = nullptr;  // computes here; nullptr where no weights were to be loaded
  std::optional<model::WeightType> precision;  // local's
};

struct ModelServerOptions {
  http::ServerOptions http;
  HandlerOptions handler;
  infer::BatcherOptions batcher;
  int threads = 1;                             // for the arithmetic
  size_t max_length = 0;                       // tokens of one text; 0: what the model was made for
  std::optional<model::WeightType> precision;  // absent: as the model is stored
  // Absent: the model is computed here.
  std::function<Result<std::unique_ptr<infer::Executor>>(const ExecutorContext&)> make_executor;
  bool local_weights = true;  // false, with make_executor: none are loaded
};

// What a log line tells of the model that was loaded.
struct ModelSummary {
  std::vector<std::string> labels;
  size_t max_length = 0;
  std::optional<model::WeightType> precision;  // absent: no weights were loaded
  std::string note;                            // OpenedModel's
  std::chrono::milliseconds load_time{0};
};

// Members may be called from one thread at a time; the server's own threads run beside it.
class ModelServer {
 public:
  // Listens and answers /ping with 503 until Load has ended. Errors: http::Server::Listen's.
  static Result<std::unique_ptr<ModelServer>> Listen(ModelServerOptions options);
  ~ModelServer();

  // A model folder. Every weight must be there: a model without its classification head is refused,
  // since its answers would mean nothing. With make_executor the folder must be there as long as
  // the server; else it may go.
  Result<ModelSummary> Load(const std::filesystem::path& dir);

  std::string address() const;
  uint16_t port() const;

  // /ping answers 503 from now on; requests under way are finished.
  void BeginDrain();
  // True once every request is answered and every connection has ended.
  bool WaitDrained(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit ModelServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::serve
