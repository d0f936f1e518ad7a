#include "serve/request_facts.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>

#include "base/encoding.h"
#include "base/hmac.h"

namespace bertie::serve {
namespace {

constexpr size_t kMaxRequestId = 128;

// Unlike any other's, but no secret: a generator of each thread's own, seeded by the system.
uint64_t RandomNumber() {
  thread_local std::mt19937_64 generator = [] {
    const Digest256 bytes = RandomBytes32();
    uint64_t seed = 0;
    std::memcpy(&seed, bytes.data(), sizeof(seed));
    return std::mt19937_64(seed);
  }();
  return generator();
}

// 16 hexadecimal digits, not all 0.
std::string RandomId() {
  const uint64_t number = RandomNumber() | 1;
  std::array<char, sizeof(number)> bytes;
  std::memcpy(bytes.data(), &number, sizeof(number));
  return Hex(std::string_view(bytes.data(), bytes.size()));
}

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestId &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool IsHexId(std::string_view text) {
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return std::all_of(text.begin(), text.end(), digit) &&
         text.find_first_not_of('0') != std::string_view::npos;
}

// version-trace-parent-flags; higher versions may have more after a dash.
std::optional<std::string_view> TraceId(std::string_view text) {
  constexpr size_t kSize = 55;
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  const std::string_view version = text.substr(0, 2), flags = text.substr(53, 2);
  const bool whole =
      version == "00" ? text.size() == kSize : text.size() == kSize || text[kSize] == '-';
  const auto hexadecimal = [](std::string_view part) { return IsHexId("1" + std::string(part)); };
  if (!whole || version == "ff" || !hexadecimal(version) || !hexadecimal(flags) ||
      !IsHexId(text.substr(3, 32)) || !IsHexId(text.substr(36, 16))) {
    return std::nullopt;
  }
  return text.substr(3, 32);
}

void AllowOrigin(const http::RequestHead& head, const std::vector<std::string>& origins,
                 std::vector<http::Field>& fields) {
  if (origins.empty()) return;
  const bool any = std::find(origins.begin(), origins.end(), "*") != origins.end();
  if (!any) fields.push_back({"Vary", "Origin"});
  const std::string* origin = head.Find("Origin");
  if (!origin) return;
  if (!any && std::find(origins.begin(), origins.end(), *origin) == origins.end()) return;
  fields.push_back({"Access-Control-Allow-Origin", any ? "*" : *origin});
  fields.push_back(
      {"Access-Control-Expose-Headers", "X-Request-Id, x-bertie-truncated, x-bertie-windows"});
}

}  // namespace

RequestFacts ReadFacts(const http::RequestHead& head, const std::vector<std::string>& origins) {
  RequestFacts facts;
  facts.method = head.method;
  const std::string* id = head.Find("X-Request-Id");
  facts.request_id = id && IsRequestId(*id) ? *id : RandomId();
  facts.fields.push_back({"X-Request-Id", facts.request_id});
  if (const std::string* parent = head.Find("traceparent")) {
    if (const auto trace = TraceId(*parent)) {
      facts.trace_id = *trace;
      facts.fields.push_back(
          {"traceparent", "00-" + facts.trace_id + "-" + RandomId() + "-" + parent->substr(53, 2)});
    }
  }
  AllowOrigin(head, origins, facts.fields);
  return facts;
}

RequestFacts NoFacts() {
  RequestFacts facts;
  facts.request_id = RandomId();
  facts.fields.push_back({"X-Request-Id", facts.request_id});
  return facts;
}

void AllowPreflight(const http::RequestHead& head, std::string_view methods,
                    http::Response& response) {
  response.fields.push_back({"Access-Control-Allow-Methods", std::string(methods)});
  if (const std::string* wanted = head.Find("Access-Control-Request-Headers")) {
    response.fields.push_back({"Access-Control-Allow-Headers", *wanted});
  }
  response.fields.push_back({"Access-Control-Max-Age", "600"});
}

}  // namespace bertie::serve
