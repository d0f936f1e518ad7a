// What a protocol gives the server: routes, and the form of its refusals.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "http/message.h"

namespace bertie::serve {

class Call;
struct DocModel;

// The values of a pattern's parameters, percent-decoded.
class PathParameters {
 public:
  // name outlives this.
  void Add(std::string_view name, std::string value) { values_.emplace_back(name, value); }
  // "" where the pattern has no such parameter.
  std::string_view operator[](std::string_view name) const {
    for (const auto& [known, value] : values_) {
      if (known == name) return value;
    }
    return {};
  }

 private:
  std::vector<std::pair<std::string_view, std::string>> values_;
};

// Who may use a route (access.h).
enum class Access {
  kOpen,   // everybody
  kKey,    // whoever has a key, where keys are asked for
  kAdmin,  // whoever has an administrator's
};

struct Route {
  // "/v2/models/{model}/infer": a parameter stands for one whole part, which is not empty. Where
  // several patterns meet a path, the one with a word where others have a parameter is meant.
  std::string pattern;
  std::string method;  // one; a GET route takes HEAD too
  // On the server's I/O thread if the body is small, else on a thread of its pool: must be quick
  // (http::Handler::OnRequest).
  std::function<void(std::shared_ptr<Call>)> handle;
  // By the head alone, on the I/O thread, before the body is read; must not block. Null: nothing to
  // check.
  std::function<std::optional<http::Refusal>(const http::RequestHead&, const PathParameters&)>
      check = {};
  Access access = Access::kKey;
  // An OpenAPI operation object, for /openapi.json (openapi/operation.h); null: only that it is
  // there.
  formats::Json (*describe)(const DocModel&) = nullptr;
  bool in_document = true;  // false: what only a page of this server asks for
};

// A route that is only read from.
inline Route GetRoute(std::string pattern, decltype(Route::handle) handle,
                      decltype(Route::describe) describe, Access access = Access::kOpen) {
  return {.pattern = std::move(pattern),
          .method = "GET",
          .handle = std::move(handle),
          .access = access,
          .describe = describe};
}

// One contract with clients: its routes and how it says no. Outlives the server.
class Protocol {
 public:
  virtual ~Protocol() = default;

  // Asked once.
  virtual std::vector<Route> Routes() = 0;

  // A refusal as this protocol's clients know it, on any of its routes: from `check` and
  // Call::Refuse, and those that no route sees (405, a body over the limit, want of memory). The
  // protocol chooses the status too. 503 and 429 get Retry-After where it is not there. request_id
  // is "" where the request could not be read. Any thread.
  virtual http::Response Refuse(const http::Refusal& refusal,
                                std::string_view request_id) const = 0;

  // Refuse's bodies by media type, for /openapi.json; unless overridden, OwnRefusal's.
  virtual formats::Json DescribeRefusal() const;

  // Whether a path that no route has is refused (404) in this protocol's form: true for paths that
  // only its clients would ask for.
  virtual bool Owns(std::string_view /*path*/) const { return false; }
};

}  // namespace bertie::serve
