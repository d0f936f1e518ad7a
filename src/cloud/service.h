// What the router asks of each of Amazon's services.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "cloud/sigv4.h"
#include "http/handler.h"

namespace bertie::cloud {

// A request that was let in.
struct Call {
  http::Request request;
  std::string request_id;
  Caller caller;
  std::stop_token cancelled = {};  // the client has gone
};

// Any thread, several at once.
class Service {
 public:
  virtual ~Service() = default;

  // The answer, in the service's form, to a request that is not let in.
  virtual http::Response Deny(const http::RequestHead& head, const AuthError& error,
                              const std::string& request_id) = 0;

  // The same for a request that broke HTTP or a limit after its head, which said whose it is.
  virtual http::Response Reject(const http::Refusal& refusal, const std::string& request_id) = 0;

  // Before the body is read, on the server's I/O thread: must not block. For requests whose bodies
  // go to a sink, which WantsStream names; they are verified by now.
  virtual bool WantsStream(const http::RequestHead&) { return false; }
  virtual http::Admission Open(const http::RequestHead&, const Verified&, const std::string&) {
    return {};
  }

  // Before the body is read, under the same terms: an answer for a request that is not wanted,
  // whoever it is from.
  virtual std::optional<http::Response> Refuse(const http::RequestHead&) { return std::nullopt; }

  // On a thread of the server's pool: may block. Answers now or later, by exchange->Respond.
  virtual void Handle(Call call, std::shared_ptr<http::Exchange> exchange) = 0;
};

}  // namespace bertie::cloud
