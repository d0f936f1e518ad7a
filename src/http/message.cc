#include "http/message.h"

#include <algorithm>

#include "base/ascii.h"

namespace bertie::http {
namespace {

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return AsciiLower(x) == AsciiLower(y); });
}

uint64_t Response::BodySize() const {
  uint64_t size = body.size();
  for (const FilePiece& piece : files) size += piece.size;
  return size;
}

uint64_t Limits::MaxBytes() const { return std::max(max_body_bytes, max_stream_bytes); }

const std::string* RequestHead::Find(std::string_view name) const {
  for (const Field& field : fields) {
    if (EqualsIgnoreCase(field.name, name)) return &field.value;
  }
  return nullptr;
}

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "";
  }
}

std::string SerializeHead(const Response& response, const HeadOptions& options) {
  std::string out;
  out.reserve(256);
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  out.append(ReasonPhrase(response.status)).append("\r\n");
  if (!options.date.empty()) AppendField("Date", options.date, out);
  if (!options.keep_alive) {
    AppendField("Connection", "close", out);
  } else if (options.minor_version == 0) {
    AppendField("Connection", "keep-alive", out);
  }
  if (!response.content_type.empty()) AppendField("Content-Type", response.content_type, out);
  // RFC 9110 8.6: a 204 has no body and must not carry a length; a 304 has none, and its length
  // would be that of the 200.
  if (response.status != 204 && response.status != 304) {
    uint64_t size = response.head_length.value_or(response.BodySize());
    AppendField("Content-Length", std::to_string(size), out);
  }
  for (const Field& field : response.fields) AppendField(field.name, field.value, out);
  out.append("\r\n");
  return out;
}

}  // namespace bertie::http
