// What a server asks of whoever answers its requests.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>

#include "http/message.h"

namespace bertie::http {

// One request that waits for its answer. Kept alive by whoever works on it; when the last owner
// lets go of it without an answer, a 500 is sent.
class Exchange {
 public:
  explicit Exchange(std::function<void(std::optional<Response>)> send) : send_(std::move(send)) {}
  ~Exchange() {
    if (!answered_) send_(std::nullopt);
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // From any thread, never blocks; only the first call counts. Sending to a client that has gone is
  // no error.
  void Respond(Response response) {
    if (!answered_.exchange(true)) send_(std::move(response));
  }

  // Says that the client has gone, so the work may be dropped.
  std::stop_token cancelled() const { return stop_.get_token(); }
  void Cancel() { stop_.request_stop(); }

 private:
  std::function<void(std::optional<Response>)> send_;
  std::stop_source stop_;
  std::atomic<bool> answered_{false};
};

// Takes one request's body in pieces while it comes, so that its size costs no memory. Destroyed on
// any thread, without further notice when the client goes away or breaks the protocol.
class BodySink {
 public:
  virtual ~BodySink() = default;

  // The next bytes, in order; one call at a time, on a thread of the server's pool. May block: the
  // client is held up meanwhile. An answer ends the request here: it is sent, the rest of the body
  // is not read, and the connection ends.
  virtual std::optional<Response> Write(std::string_view bytes) = 0;
};

struct Admission {
  std::optional<Response> answer = {};  // refuses the request, as OnHead's does
  std::shared_ptr<BodySink> sink = {};  // else takes the body; null: it goes to Request::body
};

class Handler {
 public:
  virtual ~Handler() = default;

  // On the server's I/O thread, before the body is read; must not block. An answer here refuses the
  // request: a body that is large or not yet sent is then not read, and the connection ends.
  virtual std::optional<Response> OnHead(const RequestHead& head) = 0;

  // What the server asks in fact, under OnHead's terms. For handlers that take bodies in pieces.
  virtual Admission Admit(const RequestHead& head) { return {OnHead(head), nullptr}; }

  // The whole request. Answer now or later, by exchange->Respond. Requests with small bodies come
  // on the I/O thread and must be quick (every connection waits meanwhile); the others, and those
  // with a sink, on a thread of the server's own pool. Several calls run at once.
  virtual void OnRequest(Request request, std::shared_ptr<Exchange> exchange) = 0;

  // An answer in this handler's form to a request that broke the protocol or a limit. From any
  // thread; must not throw.
  virtual Response OnRefusal(const Refusal& refusal) = 0;

  // The same for a request whose head was read before the fault.
  virtual Response OnRefusalOf(const RequestHead&, const Refusal& refusal) {
    return OnRefusal(refusal);
  }
};

}  // namespace bertie::http
