// An asynchronous HTTP/1.1 client of servers on this machine, which keeps their connections for the
// requests that follow: the way of a proxy to what is behind it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/client_message.h"

namespace bertie::http {

struct ClientPoolOptions {
  std::chrono::milliseconds connect_timeout{2'000};
  // Less than what servers wait for the next request, so that none ends a connection just as a
  // request is sent on it.
  std::chrono::milliseconds idle_timeout{20'000};
  size_t max_idle = 64;  // kept connections to one port; more are closed after their answer
  AnswerLimits limits = {};
};

struct PoolRequest {
  uint16_t port = 0;  // of 127.0.0.1
  std::string method = "POST";
  std::string target = "/";
  std::vector<Field> fields = {};  // beside Host and Content-Length
  std::string body = {};
  std::vector<FilePiece> files = {};  // the body goes on with these, in order, read as they go
  std::chrono::milliseconds timeout{60'000};  // for all of it
  std::stop_token cancelled = {};             // drops it, and its connection
};

// Any thread. One thread of its own does all I/O.
class ClientPool {
 public:
  // Called once, on the pool's thread; must not block. Errors: kUnavailable: no connection to be
  // had, so that nothing was sent; kIo: the connection broke before the whole answer was there, or
  // a file could not be read;
  // kDeadlineExceeded; kCancelled; kInvalidData and kResourceExhausted: AnswerReader's. Nothing is
  // sent twice.
  using Done = std::function<void(Result<ClientAnswer>)>;

  explicit ClientPool(const ClientPoolOptions& options = {});
  // Requests under way end with kCancelled.
  ~ClientPool();

  void Send(PoolRequest request, Done done);

  // Closes the connections to a port that wait for requests, so that its server need not.
  void CloseIdle(uint16_t port);

  // As the destructor: no Done is called after it has returned, and what is sent later is dropped.
  // Never from a Done.
  void Stop();

 private:
  class Link;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bertie::http
