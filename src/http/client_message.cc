#include "http/client_message.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

#include "base/quote.h"
#include "http/head_parser.h"

namespace bertie::http {
namespace {

template <class Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Error NoAnswer(const std::string& what) {
  return {ErrorCode::kInvalidData, "found " + what + "; expected an HTTP/1.1 answer"};
}

Error TooLong(const AnswerLimits& limits) {
  return {ErrorCode::kResourceExhausted,
          "found an answer of more than " + std::to_string(limits.max_body_bytes) + " bytes"};
}

// "HTTP/1.1 200 OK" and the lines after it, without the blank one.
Result<ClientAnswer> ParseAnswerHead(std::string_view head) {
  const size_t first = head.find("\r\n");
  const std::string_view status = head.substr(0, first);
  ClientAnswer answer;
  const auto number =
      ParseNumber<int>(status.substr(0, 12).substr(std::min<size_t>(9, status.size())));
  const bool known = status.starts_with("HTTP/1.") && status.size() >= 12 && status[8] == ' ' &&
                     (status.size() == 12 || status[12] == ' ');
  if (!known || !number || *number < 100) return NoAnswer(Quote(std::string(status)));
  answer.status = *number;
  std::string_view rest = first == head.npos ? "" : head.substr(first + 2);
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    auto field = ParseFieldLine(rest.substr(0, end));
    if (const auto* refusal = std::get_if<Refusal>(&field)) return NoAnswer(refusal->message);
    answer.fields.push_back(std::get<Field>(std::move(field)));
    rest = end == rest.npos ? "" : rest.substr(end + 2);
  }
  return answer;
}

bool Says(const ClientAnswer& answer, std::string_view name, std::string_view value) {
  const std::string* found = answer.Find(name);
  return found != nullptr && EqualsIgnoreCase(*found, value);
}

}  // namespace

std::string Url::Authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Url> ParseUrl(std::string_view text) {
  const Error bad{ErrorCode::kInvalidArgument,
                  "found " + Quote(std::string(text)) +
                      " as a URL; expected http://HOST:PORT or http://HOST:PORT/PATH"};
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return bad;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '#' || c == '@') return bad;
  }
  std::string_view rest = text.substr(kScheme.size());
  Url url;
  if (const size_t slash = rest.find_first_of("/?"); slash != rest.npos) {
    url.target = (rest[slash] == '?' ? "/" : "") + std::string(rest.substr(slash));
    rest = rest.substr(0, slash);
  }
  size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t bracket = rest.find(']');
    if (bracket == rest.npos) return bad;
    url.host = rest.substr(1, bracket - 1);
    colon = bracket + 1 < rest.size() ? bracket + 1 : rest.npos;
    if (colon != rest.npos && rest[colon] != ':') return bad;
  } else {
    url.host = rest.substr(0, colon);
  }
  if (colon != rest.npos) {
    const auto port = ParseNumber<uint16_t>(rest.substr(colon + 1));
    if (!port || *port == 0) return bad;
    url.port = *port;
  }
  if (url.host.empty()) return bad;
  return url;
}

const std::string* ClientAnswer::Find(std::string_view name) const {
  for (const Field& field : fields) {
    if (EqualsIgnoreCase(field.name, name)) return &field.value;
  }
  return nullptr;
}

std::string SerializeRequestHead(const std::string& authority, const ClientRequest& request) {
  std::string head =
      request.method + " " + request.target + " HTTP/1.1\r\nHost: " + authority + "\r\n";
  if (!request.content_type.empty()) head += "Content-Type: " + request.content_type + "\r\n";
  const uint64_t size = request.body.size() + request.more_bytes;
  if (size > 0 || request.method == "POST") {
    head += "Content-Length: " + std::to_string(size) + "\r\n";
  }
  for (const Field& field : request.fields) head += field.name + ": " + field.value + "\r\n";
  return head + "\r\n";
}

Status AnswerReader::ReadHead(std::string_view head) {
  BERTIE_ASSIGN_OR_RETURN(answer_, ParseAnswerHead(head));
  if (answer_.status < 200) return {};  // 100 Continue and the like come before the answer
  const bool keep = head.starts_with("HTTP/1.0") ? Says(answer_, "Connection", "keep-alive")
                                                 : !Says(answer_, "Connection", "close");
  RequestHead framing;
  framing.chunked = Says(answer_, "Transfer-Encoding", "chunked");
  const std::string* length = answer_.Find("Content-Length");
  const bool bare = head_only_ || answer_.status == 204 || answer_.status == 304;
  const bool framed = bare || framing.chunked || length != nullptr;
  keep_alive_ = keep && framed;
  state_ = bare ? State::kDone : framed ? State::kFramed : State::kUntilEnd;
  if (state_ != State::kFramed) return {};
  if (!framing.chunked) {
    const auto number = ParseNumber<uint64_t>(*length);
    if (!number) return NoAnswer("Content-Length " + Quote(*length));
    framing.content_length = *number;
    if (*number > limits_.max_body_bytes) return TooLong(limits_);
    if (*number == 0) state_ = State::kDone;
  }
  Limits limits;
  limits.max_body_bytes = limits_.max_body_bytes;
  decoder_.emplace(framing, limits);
  return {};
}

Result<bool> AnswerReader::FeedBody(std::string& input) {
  if (state_ == State::kUntilEnd) {
    answer_.body += std::exchange(input, {});
    if (answer_.body.size() > limits_.max_body_bytes) return TooLong(limits_);
    return false;
  }
  const BodyDecoder::Step step = decoder_->Feed(input, answer_.body);
  if (step.refusal) {
    return step.refusal->status == 413 ? TooLong(limits_) : NoAnswer(step.refusal->message);
  }
  input.erase(0, step.consumed);
  if (step.done) state_ = State::kDone;
  return step.done;
}

Result<bool> AnswerReader::Feed(std::string& input) {
  begun_ = begun_ || !input.empty();
  while (state_ == State::kHead) {
    const size_t end = input.find("\r\n\r\n");
    if (std::min(end, input.size()) > limits_.max_head_bytes) {
      return NoAnswer("a head of more than " + std::to_string(limits_.max_head_bytes) + " bytes");
    }
    if (end == std::string::npos) return false;
    BERTIE_RETURN_IF_ERROR(ReadHead(std::string_view(input).substr(0, end)));
    input.erase(0, end + 4);
  }
  return state_ == State::kDone ? Result<bool>(true) : FeedBody(input);
}

Status AnswerReader::End(const std::string& input) {
  if (state_ == State::kUntilEnd || state_ == State::kDone) return {};
  if (!begun_) {
    return Error{ErrorCode::kIo, peer_ + " ended the connection without an answer"};
  }
  if (state_ == State::kHead && !input.empty()) {
    return NoAnswer("the end of the connection within a head");
  }
  return Error{ErrorCode::kIo, peer_ + " ended the connection within an answer"};
}

}  // namespace bertie::http
