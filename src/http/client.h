// An HTTP/1.1 client (RFC 9110, RFC 9112) of one connection, for measuring servers: it blocks, and
// adds two system calls to what the request itself needs. No TLS, no redirects, no proxies.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/client_message.h"

namespace bertie::http {

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds io_timeout{60'000};  // without a byte sent or received for that long
  size_t max_head_bytes = 64 * 1024;
  uint64_t max_body_bytes = uint64_t{64} << 20;
};

// One thread at a time. The connection is kept between requests where the server keeps it.
class Client {
 public:
  explicit Client(Url url, ClientOptions options = {});
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;

  // Connects now instead of at the first request; nothing to do where a connection stands.
  Status Connect();

  // Connects anew where there is no connection, or the server ended it since the last answer.
  // kUnavailable: no connection to be had; kDeadlineExceeded: a time-out; kIo: the connection broke
  // before the whole answer was there; kInvalidData: what came is no HTTP/1.x answer. After any
  // error the connection is closed. Any status is an answer, not an error. Nothing is sent twice.
  Result<ClientAnswer> Send(const ClientRequest& request);

 private:
  Status Write(std::string_view bytes);
  Result<size_t> Fill();  // bytes added to buffer_; 0 when the server has ended the connection
  Result<ClientAnswer> Read(const ClientRequest& request);
  bool EndedByServer() const;
  void Close();

  Url url_;
  ClientOptions options_;
  int socket_ = -1;
  std::string buffer_;  // received and not yet used
};

}  // namespace bertie::http
