// An HTTP/1.1 server that knows no route: sockets, limits, time-outs, orderly end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/handler.h"
#include "http/message.h"
#include "http/tls.h"

namespace bertie::http {

struct ServerOptions {
  std::string host = "127.0.0.1";  // a name or an address of this machine
  uint16_t port = 0;               // 0: any free one
  Limits limits;

  // Beyond it no connection is accepted until one ends, and the one that has been idle the longest
  // is ended for it, if for at least yield_idle. Lowered to what the process's limit of open files
  // allows.
  size_t max_connections = 4096;
  // Bytes of request bodies held at once, over all connections; beyond it requests get 503.
  uint64_t max_body_memory = uint64_t{256} << 20;
  // Bodies above this size are handled on the pool, since reading megabytes of text on the I/O
  // thread would make every other client wait. 16 kB are parsed and tokenised in under 1 ms.
  size_t inline_body_bytes = 16 * 1024;
  int handler_threads = 2;
  bool always_on_pool = false;  // for handlers that touch disks: all requests go there

  using Duration = std::chrono::milliseconds;
  Duration head_timeout{10'000};  // from a head's first byte to its last: 408
  // A body must come at min_body_rate bytes a second after this grace, and whole within
  // body_timeout, unless it goes to a sink: 408.
  Duration body_grace{10'000};
  uint64_t min_body_rate = 1024;
  Duration body_timeout{60'000};
  Duration write_timeout{30'000};  // for a client to take one answer, or the next part of a file
  Duration idle_timeout{60'000};   // between requests
  // Clients that ask more often than that keep their connections, however many others come.
  Duration yield_idle{1'000};
  // A client that has shut down its sending side may still wait for its answer, and cannot be told
  // from one that is gone. It is given this long.
  Duration half_close_grace{1'000};
  // After the last answer of a connection: how long to wait for the client to close it too. Closing
  // at once would make the kernel reset the connection, and the client could lose the answer.
  Duration linger_timeout{5'000};
  // From BeginDrain on: how long new clients are still served, so that whoever sends them here sees
  // /ping fail first, and how long a connection may be idle.
  Duration drain_linger{1'000};

  // Speaks TLS; null: HTTP alone.
  std::shared_ptr<const TlsHolder> tls = {};
  Duration handshake_timeout{10'000};  // for all of it; then the connection ends
  // Makes the server play the hosts that clients want to reach through a proxy: asked with each
  // CONNECT's HOST:PORT, on the I/O thread. TLS then begins as that host, and the requests in it
  // are the handler's. An error refuses it: 403 with the error's text. No connection goes anywhere
  // else.
  std::function<Result<std::shared_ptr<const TlsIdentity>>(const std::string& authority)> connect =
      {};

  std::function<void(std::string_view)> log;  // one line without its end; from the I/O thread
};

// All connections live on one I/O thread, which computes nothing. Requests on one connection are
// answered in order, one at a time. Members may be called from any thread.
//
// Boost.Asio does the I/O. The reading of messages is our own (head_parser, body_decoder): Boost.
// Beast's parser is lenient where a server must not be (tests/http/head_parser_test.cc has the
// table), and a strict check before it would be a second parser of the same bytes.
class Server {
 public:
  // Binds and listens: from here on clients can connect, but none is served before Start. Errors
  // name the address: kUnavailable when the port is in use, kInvalidArgument when the host is not
  // one of this machine's, kIo otherwise. The handler must outlive the server.
  static Result<std::unique_ptr<Server>> Listen(const ServerOptions& options, Handler& handler);
  ~Server();  // as Stop

  void Start();

  uint16_t port() const;
  std::string address() const;  // "127.0.0.1:8080", "[::1]:8080"
  // Where a client on this machine reaches it: "http://127.0.0.1:8080", or https.
  std::string url() const;
  size_t connections() const;

  // Ends in order. Requests under way are answered, and those that still come, with Connection:
  // close; new clients are taken for drain_linger, or until no connection is left; then the
  // listening socket closes, without a reset for anybody who was told to be connected.
  void BeginDrain();
  // True once the last connection has ended after BeginDrain.
  bool WaitDrained(std::chrono::milliseconds timeout);

  // Cuts every connection and joins the threads. Waits for OnRequest calls that are under way.
  // Answers given later are dropped.
  void Stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::http
