// Models behind an address: loading, batching, HTTP, and an orderly end.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "http/server.h"
#include "serve/context.h"
#include "serve/loaded_model.h"

namespace bertie::serve {

struct ModelServerOptions {
  http::ServerOptions http;
  HandlerOptions handler;  // max_body_bytes is http's
  LoadOptions load;        // threads: for the loading before SetLoaded
  int threads = 1;         // for the arithmetic of all models together
};

// Members may be called from one thread at a time; the server's own threads run beside it.
class ModelServer {
 public:
  // Listens and answers /ping with 503 until SetLoaded. Errors: http::Server::Listen's.
  static Result<std::unique_ptr<ModelServer>> Listen(ModelServerOptions options);
  ~ModelServer();

  // LoadModel's, into the table.
  Result<ModelSummary> Load(ModelId id, ModelFolder folder);
  // The models that the server is started with are there.
  void SetLoaded();

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
