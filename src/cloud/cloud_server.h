// The whole cloud behind one address.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "base/status.h"
#include "cloud/settings.h"
#include "http/server.h"

namespace bertie::cloud {

struct CloudServerOptions {
  Settings settings;
  std::filesystem::path data;  // the folder of all state
  http::ServerOptions http;    // limits are set by the server
};

class CloudServer {
 public:
  // Opens the state and answers from here on. Errors: http::Server::Listen's and
  // ObjectStore::Open's.
  static Result<std::unique_ptr<CloudServer>> Start(CloudServerOptions options);
  ~CloudServer();

  std::string address() const;
  uint16_t port() const;

  void BeginDrain();
  // True once every request is answered and every connection has ended.
  bool WaitDrained(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit CloudServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::cloud
