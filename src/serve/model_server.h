// Models behind an address: loading, batching, HTTP, and an orderly end.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/server.h"
#include "serve/context.h"
#include "serve/model_repository.h"
#include "serve/model_table.h"

namespace bertie::serve {

struct ModelServerOptions {
  http::ServerOptions http;
  HandlerOptions handler;  // max_body_bytes is http's
  // Its load.threads are for the loading before SetLoaded.
  RepositoryOptions repository;
  int threads = 1;  // for the arithmetic of all models together
};

// Members may be called from one thread at a time; the server's own threads run beside it.
class ModelServer {
 public:
  // Listens and answers /ping with 503 until SetLoaded. Errors: http::Server::Listen's.
  static Result<std::unique_ptr<ModelServer>> Listen(ModelServerOptions options);
  ~ModelServer();

  // Loads what the server is started with, and waits: one model with all its versions, or all of
  // the folder. The first model is the default one. Errors: ModelRepository::Load's.
  Status Load(const std::string& name, const std::filesystem::path& path);
  Status LoadFolder();
  // Which model a request means that names none. kNotFound.
  Status SetDefault(const std::string& name);
  // All that the server was started with is there.
  void SetLoaded();
  std::vector<ModelPointer> models() const;

  // Has ModelRepository::ReloadChanged done, and waits. One other thread may call it meanwhile.
  Status ReloadChanged();

  // What further protocols on ports of their own share with the HTTP server's.
  ServeContext& context();
  ModelRepository& repository();

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
