#include "serve/route_table.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/encoding.h"

namespace bertie::serve {
namespace {

bool IsParameter(std::string_view part) { return part.starts_with('{') && part.ends_with('}'); }

// "/a//b" is "a", "", "b".
std::vector<std::string_view> SplitPath(std::string_view path) {
  std::vector<std::string_view> parts;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

std::optional<PathParameters> MatchParts(const std::vector<std::string>& pattern,
                                         const std::vector<std::string_view>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  PathParameters parameters;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!IsParameter(pattern[i])) {
      if (pattern[i] != path[i]) return std::nullopt;
      continue;
    }
    auto value = PercentDecode(path[i]);
    if (!value || value->empty()) return std::nullopt;
    parameters.Add(std::string_view(pattern[i]).substr(1, pattern[i].size() - 2),
                   *std::move(value));
  }
  return parameters;
}

// Words before parameters, from the left.
bool IsMoreExact(const PathRoutes* a, const PathRoutes* b) {
  return std::lexicographical_compare(
      a->parts.begin(), a->parts.end(), b->parts.begin(), b->parts.end(),
      [](const auto& x, const auto& y) { return !IsParameter(x) && IsParameter(y); });
}

}  // namespace

const Route* PathRoutes::ForMethod(std::string_view method) const {
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes) {
    if (route.method == method) return &route;
  }
  return nullptr;
}

std::string PathRoutes::Allow() const {
  std::string allow;
  for (const Route& route : routes) {
    allow += route.method == "GET" ? "GET, HEAD, " : route.method + ", ";
  }
  return allow + "OPTIONS";
}

void RouteTable::Add(Protocol& protocol) {
  protocols_.push_back(&protocol);
  for (Route& route : protocol.Routes()) {
    auto found = std::find_if(paths_.begin(), paths_.end(),
                              [&](const auto& path) { return path->pattern == route.pattern; });
    if (found != paths_.end()) {
      if ((*found)->protocol == &protocol) (*found)->routes.push_back(std::move(route));
      continue;
    }
    auto path = std::make_unique<PathRoutes>();
    path->protocol = &protocol;
    path->pattern = route.pattern;
    path->routes.push_back(std::move(route));
    if (path->pattern.find('{') == std::string::npos) {
      literal_.emplace(path->pattern, path.get());
    } else {
      for (std::string_view part : SplitPath(path->pattern)) path->parts.emplace_back(part);
      patterns_.insert(
          std::upper_bound(patterns_.begin(), patterns_.end(), path.get(), IsMoreExact),
          path.get());
    }
    paths_.push_back(std::move(path));
  }
}

RouteMatch RouteTable::Find(std::string_view path) const {
  if (const auto found = literal_.find(path); found != literal_.end()) return {found->second, {}};
  if (patterns_.empty()) return {};
  const auto parts = SplitPath(path);
  for (const PathRoutes* pattern : patterns_) {
    if (auto parameters = MatchParts(pattern->parts, parts)) {
      return {pattern, *std::move(parameters)};
    }
  }
  return {};
}

const Protocol& RouteTable::Owner(std::string_view path) const {
  const auto owner = std::find_if(protocols_.begin(), protocols_.end(),
                                  [&](const Protocol* each) { return each->Owns(path); });
  return owner == protocols_.end() ? *protocols_.back() : **owner;
}

std::string RouteTable::Describe(const Protocol& protocol) const {
  std::string text;
  for (const auto& path : paths_) {
    if (path->protocol != &protocol) continue;
    for (const Route& route : path->routes) {
      text += (text.empty() ? "" : ", ") + route.method + " " + path->pattern;
    }
  }
  return text;
}

}  // namespace bertie::serve
