// The whole cloud behind one address.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "cloud/settings.h"
#include "http/server.h"

namespace bertie::cloud {

struct CloudServerOptions {
  Settings settings;
  std::filesystem::path data;  // the folder of all state
  http::ServerOptions http;    // limits are set by the server
  bool tls = false;            // the address speaks TLS alone, by an authority kept in the folder
  // Of a proxy that plays Amazon's hosts (cloud/amazon_hosts.h) with certificates of the same
  // authority; 0: any free one.
  std::optional<uint16_t> proxy_port = {};
};

class CloudServer {
 public:
  // Opens the state and answers from here on. Errors: http::Server::Listen's and
  // ObjectStore::Open's.
  static Result<std::unique_ptr<CloudServer>> Start(CloudServerOptions options);
  ~CloudServer();

  std::string address() const;
  uint16_t port() const;
  const Settings& settings() const;  // with the url

  void BeginDrain();
  // True once every request is answered and every connection has ended.
  bool WaitDrained(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit CloudServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::cloud
