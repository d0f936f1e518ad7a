#include "http/head_parser.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace bertie::http {
namespace {

using Byte = unsigned char;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool IsControl(char c) { return static_cast<Byte>(c) < 0x20 || c == 0x7f; }

bool IsOneOf(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

// RFC 9110 5.6.2.
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAlpha(c) || IsDigit(c) || IsOneOf(c, "!#$%&'*+-.^_`|~");
  });
}

// Characters of a URI's path and query (RFC 3986 3.3, 3.4), a '%' only before two hex digits.
bool IsPathAndQuery(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !IsHex(text[i + 1]) || !IsHex(text[i + 2])) return false;
      i += 2;
    } else if (!IsAlpha(c) && !IsDigit(c) && !IsOneOf(c, "-._~!$&'()*+,;=:@/?")) {
      return false;
    }
  }
  return true;
}

// host [":" port]. A comma, though in RFC 3986's grammar, could only mean two hosts in one field.
bool IsAuthority(std::string_view text) {
  size_t host_end = 0;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    for (char c : text.substr(1, close - 1)) {
      if (!IsHex(c) && !IsOneOf(c, ":.")) return false;
    }
    host_end = close + 1;
  } else {
    host_end = std::min(text.find(':'), text.size());
    if (host_end == 0) return false;
    for (char c : text.substr(0, host_end)) {
      if (!IsAlpha(c) && !IsDigit(c) && !IsOneOf(c, "-._~!$&'()*+;=%")) return false;
    }
  }
  std::string_view port = text.substr(host_end);
  if (port.empty()) return true;
  return port[0] == ':' && port.size() <= 6 && std::all_of(port.begin() + 1, port.end(), IsDigit);
}

Refusal Bad(std::string message) { return {400, "BadRequest", std::move(message)}; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> SplitList(std::string_view value) {
  std::vector<std::string_view> items;
  while (true) {
    size_t comma = value.find(',');
    items.push_back(Trim(value.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    value.remove_prefix(comma + 1);
  }
}

std::optional<Refusal> ParseVersion(std::string_view text, RequestHead& head) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || !IsDigit(text[5]) || text[6] != '.' ||
      !IsDigit(text[7])) {
    return Bad("the request line does not end in an HTTP version such as HTTP/1.1");
  }
  if (text[5] != '1') {
    return Refusal{505, "VersionNotSupported",
                   "the request is " + std::string(text) + "; this server speaks HTTP/1.1"};
  }
  head.minor_version = text[7] == '0' ? 0 : 1;
  return std::nullopt;
}

// RFC 9112 3.2. In absolute-form the URI's authority stands in Host's place.
std::optional<Refusal> ParseTarget(std::string_view target, const Limits& limits,
                                   RequestHead& head) {
  if (head.method == "CONNECT") {
    if (!limits.connect) {
      return Refusal{501, "NotImplemented", "CONNECT asks for a proxy, which this server is not"};
    }
    if (!IsAuthority(target)) return Bad("CONNECT names no valid host");
    head.path = target;
    return std::nullopt;
  }
  if (target == "*") {
    if (head.method != "OPTIONS") return Bad("the target * goes with OPTIONS only");
    head.path = "*";
    return std::nullopt;
  }
  if (!target.starts_with('/')) {
    size_t scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos ||
        (!EqualsIgnoreCase(target.substr(0, scheme_end), "http") &&
         !EqualsIgnoreCase(target.substr(0, scheme_end), "https"))) {
      return Bad("the request's target is neither a path nor an http URI");
    }
    std::string_view rest = target.substr(scheme_end + 3);
    size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
    if (!IsAuthority(rest.substr(0, authority_end))) {
      return Bad("the request's target names no valid host");
    }
    target = rest.substr(authority_end);
  }
  if (!IsPathAndQuery(target)) {
    return Bad("the request's target holds a character that no URI may hold");
  }
  size_t query = std::min(target.find('?'), target.size());
  head.path = query == 0 ? "/" : std::string(target.substr(0, query));
  if (query < target.size()) head.query = target.substr(query + 1);
  return std::nullopt;
}

std::optional<Refusal> ParseRequestLine(std::string_view line, const Limits& limits,
                                        RequestHead& head) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || line.find(' ', first + 1) != last) {
    return Bad("the request line is not METHOD TARGET VERSION with one space between each");
  }
  std::string_view method = line.substr(0, first);
  if (!IsToken(method)) return Bad("the method holds a character that no method may hold");
  head.method = method;
  if (auto refusal = ParseVersion(line.substr(last + 1), head)) return refusal;
  return ParseTarget(line.substr(first + 1, last - first - 1), limits, head);
}

std::optional<Refusal> CheckHost(const RequestHead& head) {
  size_t hosts = 0;
  for (const Field& field : head.fields) {
    if (!EqualsIgnoreCase(field.name, "Host")) continue;
    if (!IsAuthority(field.value)) return Bad("Host is not a host name with an optional port");
    ++hosts;
  }
  if (hosts > 1) return Bad("Host is there more than once");
  if (hosts == 0 && head.minor_version > 0) return Bad("HTTP/1.1 requests must have a Host field");
  return std::nullopt;
}

std::optional<Refusal> ParseContentLength(std::string_view value, const Limits& limits,
                                          uint64_t& length) {
  if (value.empty() || !std::all_of(value.begin(), value.end(), IsDigit)) {
    return Bad("Content-Length is not one decimal number");
  }
  // 18 digits cannot overflow; leading zeros beyond them nobody sends.
  if (value.size() > 18) return Bad("Content-Length has more than 18 digits");
  length = 0;
  for (char c : value) length = length * 10 + static_cast<uint64_t>(c - '0');
  if (length > limits.MaxBytes()) {
    return Refusal{413, "BodyTooLarge",
                   "the body has " + std::to_string(length) + " bytes; the limit is " +
                       std::to_string(limits.MaxBytes())};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckTransferEncoding(std::string_view value, const RequestHead& head) {
  if (head.minor_version == 0) return Bad("HTTP/1.0 has no Transfer-Encoding");
  if (EqualsIgnoreCase(value, "chunked")) return std::nullopt;
  auto codings = SplitList(value);
  if (!EqualsIgnoreCase(codings.back(), "chunked")) {
    return Bad("Transfer-Encoding does not end in chunked");
  }
  for (size_t i = 0; i + 1 < codings.size(); ++i) {
    if (EqualsIgnoreCase(codings[i], "chunked")) return Bad("chunked is there more than once");
    if (!IsToken(codings[i])) return Bad("Transfer-Encoding is not a list of codings");
  }
  return Refusal{501, "NotImplemented", "the only Transfer-Encoding known here is chunked"};
}

// How the body's end is found; RFC 9112 6.3, without its leniency.
std::optional<Refusal> ReadFraming(const Limits& limits, RequestHead& head) {
  bool length_seen = false;
  bool encoding_seen = false;
  for (const Field& field : head.fields) {
    if (EqualsIgnoreCase(field.name, "Content-Length")) {
      if (std::exchange(length_seen, true)) return Bad("Content-Length is there more than once");
    } else if (EqualsIgnoreCase(field.name, "Transfer-Encoding")) {
      if (std::exchange(encoding_seen, true)) {
        return Bad("Transfer-Encoding is there more than once");
      }
    }
  }
  if (length_seen && encoding_seen) {
    return Bad("Content-Length and Transfer-Encoding are both there");
  }
  if (encoding_seen) {
    head.chunked = true;
    return CheckTransferEncoding(*head.Find("Transfer-Encoding"), head);
  }
  if (length_seen) {
    return ParseContentLength(*head.Find("Content-Length"), limits, head.content_length);
  }
  return std::nullopt;
}

std::optional<Refusal> ReadConnectionFields(RequestHead& head) {
  head.keep_alive = head.minor_version > 0;
  for (const Field& field : head.fields) {
    if (EqualsIgnoreCase(field.name, "Connection")) {
      for (std::string_view option : SplitList(field.value)) {
        if (EqualsIgnoreCase(option, "close")) {
          head.keep_alive = false;
          return std::nullopt;
        }
        if (EqualsIgnoreCase(option, "keep-alive")) head.keep_alive = true;
      }
    }
  }
  return std::nullopt;
}

std::optional<Refusal> ReadExpect(RequestHead& head) {
  const std::string* expect = head.Find("Expect");
  if (!expect || head.minor_version == 0) return std::nullopt;
  if (!EqualsIgnoreCase(*expect, "100-continue")) {
    return Refusal{417, "ExpectationFailed", "the only Expect known here is 100-continue"};
  }
  head.expects_continue = true;
  return std::nullopt;
}

}  // namespace

HeadScanner::Step HeadScanner::Scan(std::string_view buffer) {
  const auto refuse = [](Refusal refusal) { return Step{std::move(refusal), 0}; };
  for (; scanned_ < buffer.size(); ++scanned_) {
    char c = buffer[scanned_];
    bool after_cr = scanned_ > line_start_ && buffer[scanned_ - 1] == '\r';
    if (after_cr != (c == '\n')) {
      return refuse(Bad(after_cr ? "a CR without its LF" : "a line ends in LF without a CR"));
    }
    if (c == '\n') {
      bool blank = scanned_ == line_start_ + 1;
      line_start_ = scanned_ + 1;
      if (blank) return {std::nullopt, ++scanned_};
      ++lines_;
    } else if (IsControl(c) && c != '\r' && c != '\t') {
      return refuse(Bad("the head of the request holds a control character"));
    }
    if (lines_ == 0 && scanned_ >= limits_.max_target_bytes) {
      return refuse({414, "UriTooLong",
                     "the request line has more than " + std::to_string(limits_.max_target_bytes) +
                         " bytes"});
    }
    if (scanned_ >= limits_.max_head_bytes || lines_ > limits_.max_fields + 1) {
      return refuse({431, "HeadersTooLarge",
                     "the header fields are over the limit of " +
                         std::to_string(limits_.max_head_bytes) + " bytes and " +
                         std::to_string(limits_.max_fields) + " lines"});
    }
  }
  return {};
}

std::variant<Field, Refusal> ParseFieldLine(std::string_view line) {
  if (line.empty() || IsBlank(line[0])) return Bad("a field line begins with a blank");
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Bad("a field line has no colon");
  std::string_view name = line.substr(0, colon);
  if (!IsToken(name)) return Bad("a field's name holds a character that no name may hold");
  std::string_view value = Trim(line.substr(colon + 1));
  if (std::any_of(value.begin(), value.end(), [](char c) { return IsControl(c) && c != '\t'; })) {
    return Bad("a field's value holds a control character");
  }
  return Field{std::string(name), std::string(value)};
}

std::variant<RequestHead, Refusal> ParseHead(std::string_view head, const Limits& limits) {
  RequestHead result;
  size_t end = head.find("\r\n");
  if (end == std::string_view::npos) return Bad("the head does not end");
  if (auto refusal = ParseRequestLine(head.substr(0, end), limits, result))
    return *std::move(refusal);
  while (true) {
    head.remove_prefix(end + 2);
    end = head.find("\r\n");
    if (end == std::string_view::npos) return Bad("the head does not end");
    if (end == 0) break;
    auto field = ParseFieldLine(head.substr(0, end));
    if (auto* refusal = std::get_if<Refusal>(&field)) return std::move(*refusal);
    result.fields.push_back(std::get<Field>(std::move(field)));
    if (result.fields.size() > limits.max_fields) {
      return Refusal{431, "HeadersTooLarge",
                     "more than " + std::to_string(limits.max_fields) + " header fields"};
    }
  }
  if (auto refusal = CheckHost(result)) return *std::move(refusal);
  if (auto refusal = ReadConnectionFields(result)) return *std::move(refusal);
  if (auto refusal = ReadFraming(limits, result)) return *std::move(refusal);
  if (auto refusal = ReadExpect(result)) return *std::move(refusal);
  return result;
}

}  // namespace bertie::http
