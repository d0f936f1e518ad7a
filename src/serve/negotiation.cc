#include "serve/negotiation.h"

#include <string>

#include "base/quote.h"

namespace bertie::serve {
namespace {

using http::EqualsIgnoreCase;
using http::Refusal;

std::string_view Trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Cuts off and returns what stands before the next separator.
std::string_view Next(std::string_view& rest, char separator) {
  size_t end = rest.find(separator);
  std::string_view item = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return Trim(item);
}

bool IsUtf8(std::string_view charset) {
  if (charset.size() >= 2 && charset.front() == '"')
    charset = charset.substr(1, charset.size() - 2);
  return EqualsIgnoreCase(charset, "utf-8") || EqualsIgnoreCase(charset, "utf8") ||
         EqualsIgnoreCase(charset, "us-ascii");
}

Refusal Unsupported(std::string message) {
  return {415, "UnsupportedMediaType", std::move(message)};
}

}  // namespace

std::string_view MediaTypeName(MediaType type) {
  return type == MediaType::kCsv ? "text/csv" : "application/json";
}

std::variant<MediaType, Refusal> RequestType(const http::RequestHead& head) {
  if (const std::string* encoding = head.Find("Content-Encoding");
      encoding && !EqualsIgnoreCase(*encoding, "identity")) {
    return Unsupported("Content-Encoding is " + Quote(*encoding) + "; expected none");
  }
  const std::string* field = head.Find("Content-Type");
  if (!field) return MediaType::kJson;
  std::string_view rest = *field;
  std::string_view type = Next(rest, ';');
  while (!rest.empty()) {
    std::string_view parameter = Next(rest, ';');
    std::string_view name = Next(parameter, '=');
    if (EqualsIgnoreCase(name, "charset") && !IsUtf8(Trim(parameter))) {
      return Unsupported("the body's charset is " + Quote(Trim(parameter)) + "; expected utf-8");
    }
  }
  if (EqualsIgnoreCase(type, "application/json")) return MediaType::kJson;
  if (EqualsIgnoreCase(type, "text/csv")) return MediaType::kCsv;
  std::string message =
      "Content-Type is " + Quote(type) + "; expected application/json or text/csv";
  if (EqualsIgnoreCase(type, "application/x-www-form-urlencoded")) {
    message += " (with curl: -H 'Content-Type: application/json')";
  }
  return Unsupported(std::move(message));
}

std::variant<MediaType, Refusal> AnswerType(const http::RequestHead& head, MediaType fallback) {
  bool given = false;
  std::string found;
  for (const http::Field& field : head.fields) {
    if (!EqualsIgnoreCase(field.name, "Accept")) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      std::string_view item = Next(rest, ',');
      std::string_view type = Next(item, ';');
      if (type.empty()) continue;
      given = true;
      if (type == "*/*") return fallback;
      if (EqualsIgnoreCase(type, "application/json") || EqualsIgnoreCase(type, "application/*")) {
        return MediaType::kJson;
      }
      if (EqualsIgnoreCase(type, "text/csv") || EqualsIgnoreCase(type, "text/*")) {
        return MediaType::kCsv;
      }
      if (found.empty()) found = type;
    }
  }
  if (!given) return fallback;
  return Refusal{406, "NotAcceptable",
                 "Accept asks for " + Quote(found) +
                     "; this server answers application/json or "
                     "text/csv"};
}

}  // namespace bertie::serve
