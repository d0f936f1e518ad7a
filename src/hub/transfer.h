// HTTP and HTTPS requests to a hub and to the stores it points to (libcurl).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie::hub {

struct TransferOptions {
  std::string user_agent;
  std::string token;    // sent as a bearer token to the host first asked, and to no other
  std::string ca_file;  // certificates to trust instead of the system's; "": those
  std::chrono::seconds connect_limit{10};
  std::chrono::seconds stall_limit{10};
};

struct Request {
  std::string url;
  // Asks for the fields alone. A redirection that says already what file it leads to
  // (X-Linked-Etag) is not followed.
  bool head = false;
  int64_t from = 0;  // > 0: a Range of the bytes from there to the end
};

struct Answer {
  long status = 0;
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;                           // unless a sink took it; of an error at most 64 KiB
  std::string host;                           // that gave it

  // "" when there is none.
  const std::string& Field(const std::string& name) const;
};

// Takes the body of a 2xx answer piece by piece; an error from it ends the request.
using Sink = std::function<Status(const Answer& head, std::string_view bytes)>;

// One thread at a time. Connections are kept between requests. Proxies by https_proxy and the like.
class Transfer {
 public:
  explicit Transfer(TransferOptions options);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Follows up to ten redirections, from https to https alone. Any status is an answer. Errors:
  // kUnavailable, no connection was made (no such host, refused, a certificate that is not
  // trusted); kDeadlineExceeded, a time-out; kIo, the connection broke; kInvalidData, what came is
  // not HTTP or a redirection makes no sense; a sink's own error.
  Result<Answer> Send(const Request& request, const Sink& sink = {});

 private:
  struct Hop;
  Status SendOne(const Request& request, bool with_token, const Sink& sink, Hop& hop);

  TransferOptions options_;
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

}  // namespace bertie::hub
