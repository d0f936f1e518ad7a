// Paths to routes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "serve/route.h"

namespace bertie::serve {

// The routes of one pattern, one for each method.
struct PathRoutes {
  const Protocol* protocol = nullptr;
  std::string pattern;
  std::vector<std::string> parts;  // the pattern's, where it has parameters
  std::vector<Route> routes;

  // Null where the path does not take the method. HEAD is GET.
  const Route* ForMethod(std::string_view method) const;
  // "GET, HEAD, POST, OPTIONS".
  std::string Allow() const;
};

struct RouteMatch {
  const PathRoutes* path = nullptr;  // null: no pattern meets the path
  PathParameters parameters;
};

// Filled before it is used; then read by any thread.
class RouteTable {
 public:
  // The protocol outlives the table. A pattern is of one protocol: what another has under it is
  // left out.
  void Add(Protocol& protocol);

  // path as in http::RequestHead, undecoded.
  RouteMatch Find(std::string_view path) const;
  // Who refuses a path that no pattern meets: the one that owns it, else the last.
  const Protocol& Owner(std::string_view path) const;
  // "GET /ping, POST /invocations": a protocol's routes, for its 404s.
  std::string Describe(const Protocol& protocol) const;
  // In the order they came.
  const std::vector<std::unique_ptr<PathRoutes>>& paths() const { return paths_; }

 private:
  std::vector<const Protocol*> protocols_;
  std::vector<std::unique_ptr<PathRoutes>> paths_;
  std::unordered_map<std::string_view, const PathRoutes*> literal_;  // without parameters
  std::vector<const PathRoutes*> patterns_;  // with; the one that is meant first
};

}  // namespace bertie::serve
