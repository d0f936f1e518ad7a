#include "http/client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>

#include "base/quote.h"
#include "http/body_decoder.h"
#include "http/head_parser.h"

namespace bertie::http {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

std::string Reason(int error) { return std::generic_category().message(error); }

template <class Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void SetTimeouts(int socket, std::chrono::milliseconds timeout) {
  const timeval limit{.tv_sec = timeout.count() / 1000,
                      .tv_usec = static_cast<suseconds_t>(timeout.count() % 1000 * 1000)};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

// A connected socket, or the errno that tells why there is none.
std::variant<int, std::errc> ConnectTo(const addrinfo& address, const ClientOptions& options) {
  const int socket = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  if (socket < 0) return std::errc(errno);
  // SO_SNDTIMEO bounds connect too.
  SetTimeouts(socket, options.connect_timeout);
  int result = 0;
  do {
    result = connect(socket, address.ai_addr, address.ai_addrlen);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(socket);
    return std::errc(error);
  }
  SetTimeouts(socket, options.io_timeout);
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return socket;
}

Error NoAnswer(const std::string& what) {
  return {ErrorCode::kInvalidData, "found " + what + "; expected an HTTP/1.1 answer"};
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

std::string RequestHeadText(const Url& url, const ClientRequest& request) {
  std::string head =
      request.method + " " + request.target + " HTTP/1.1\r\nHost: " + url.Authority() + "\r\n";
  if (!request.content_type.empty()) head += "Content-Type: " + request.content_type + "\r\n";
  if (!request.body.empty() || request.method == "POST") {
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return head + "\r\n";
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

Client::Client(Url url, ClientOptions options) : url_(std::move(url)), options_(options) {}
Client::~Client() { Close(); }
Client::Client(Client&& other) noexcept
    : url_(std::move(other.url_)),
      options_(other.options_),
      socket_(std::exchange(other.socket_, -1)),
      buffer_(std::move(other.buffer_)) {}

void Client::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  buffer_.clear();
}

Status Client::Connect() {
  if (socket_ >= 0) return {};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(url_.port);
  const int result = getaddrinfo(url_.host.c_str(), port.c_str(), &hints, &found);
  if (result != 0) {
    return Error{ErrorCode::kUnavailable,
                 "cannot find the host " + Quote(url_.host) + ": " + gai_strerror(result)};
  }
  const AddressList list(found, &freeaddrinfo);
  std::errc last{};
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const auto connected = ConnectTo(*address, options_);
    if (const int* socket = std::get_if<int>(&connected)) {
      socket_ = *socket;
      return {};
    }
    last = std::get<std::errc>(connected);
  }
  return Error{ErrorCode::kUnavailable,
               "cannot connect to " + url_.Authority() + ": " + Reason(static_cast<int>(last))};
}

// An idle connection on which something has come: its end, or bytes that nobody asked for.
bool Client::EndedByServer() const {
  char byte = 0;
  const ssize_t size = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

Status Client::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
      return Error{late ? ErrorCode::kDeadlineExceeded : ErrorCode::kIo,
                   "cannot send to " + url_.Authority() + ": " +
                       (late ? "it takes no more bytes" : Reason(errno))};
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<size_t> Client::Fill() {
  char bytes[16 * 1024];
  ssize_t size = 0;
  do {
    size = recv(socket_, bytes, sizeof(bytes), 0);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
    return Error{
        late ? ErrorCode::kDeadlineExceeded : ErrorCode::kIo,
        "no answer from " + url_.Authority() + ": " +
            (late ? "nothing came for " + std::to_string(options_.io_timeout.count()) + " ms"
                  : Reason(errno))};
  }
  buffer_.append(bytes, static_cast<size_t>(size));
  return static_cast<size_t>(size);
}

Result<std::string> Client::ReadHead() {
  for (;;) {
    const size_t end = buffer_.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::string head = buffer_.substr(0, end);
      buffer_.erase(0, end + 4);
      return head;
    }
    if (buffer_.size() > options_.max_head_bytes) {
      return NoAnswer("a head of more than " + std::to_string(options_.max_head_bytes) + " bytes");
    }
    BERTIE_ASSIGN_OR_RETURN(const size_t more, Fill());
    if (more == 0 && buffer_.empty()) {
      return Error{ErrorCode::kIo, url_.Authority() + " ended the connection without an answer"};
    }
    if (more == 0) return NoAnswer("the end of the connection within a head");
  }
}

Status Client::ReadBody(const ClientRequest& request, ClientAnswer& answer) {
  if (request.method == "HEAD" || answer.status == 204 || answer.status == 304) return {};
  RequestHead framing;
  framing.chunked = Says(answer, "Transfer-Encoding", "chunked");
  const std::string* length = answer.Find("Content-Length");
  if (!framing.chunked && length != nullptr) {
    const auto number = ParseNumber<uint64_t>(*length);
    if (!number) return NoAnswer("Content-Length " + Quote(*length));
    framing.content_length = *number;
    if (*number == 0) return {};
  }
  const bool until_end = !framing.chunked && length == nullptr;
  Limits limits;
  limits.max_body_bytes = options_.max_body_bytes;
  const Error too_long{
      ErrorCode::kResourceExhausted,
      "found an answer of more than " + std::to_string(limits.max_body_bytes) + " bytes"};
  if (framing.content_length > limits.max_body_bytes) return too_long;
  BodyDecoder decoder(framing, limits);
  for (;;) {
    if (until_end) {
      answer.body += std::exchange(buffer_, {});
      if (answer.body.size() > limits.max_body_bytes) return too_long;
    } else {
      const BodyDecoder::Step step = decoder.Feed(buffer_, answer.body);
      if (step.refusal) return NoAnswer(step.refusal->message);
      buffer_.erase(0, step.consumed);
      if (step.done) return {};
    }
    BERTIE_ASSIGN_OR_RETURN(const size_t more, Fill());
    if (more > 0) continue;
    if (until_end) return {};
    return Error{ErrorCode::kIo, url_.Authority() + " ended the connection within an answer"};
  }
}

Result<ClientAnswer> Client::Read(const ClientRequest& request) {
  for (;;) {
    BERTIE_ASSIGN_OR_RETURN(const std::string head, ReadHead());
    BERTIE_ASSIGN_OR_RETURN(ClientAnswer answer, ParseAnswerHead(head));
    if (answer.status < 200) continue;  // 100 Continue and the like come before the answer
    BERTIE_RETURN_IF_ERROR(ReadBody(request, answer));
    const bool framed = answer.Find("Content-Length") != nullptr ||
                        answer.Find("Transfer-Encoding") != nullptr || answer.status == 204 ||
                        answer.status == 304;
    const bool keep = head.starts_with("HTTP/1.0") ? Says(answer, "Connection", "keep-alive")
                                                   : !Says(answer, "Connection", "close");
    if (!framed || !keep) Close();
    return answer;
  }
}

Result<ClientAnswer> Client::Send(const ClientRequest& request) {
  if (socket_ >= 0 && EndedByServer()) Close();
  BERTIE_RETURN_IF_ERROR(Connect());
  // One write for head and body: a small request is one packet.
  std::string bytes = RequestHeadText(url_, request);
  bytes += request.body;
  if (const Status written = Write(bytes); !written.ok()) {
    Close();
    return written.error();
  }
  auto answer = Read(request);
  if (!answer.ok()) Close();
  return answer;
}

}  // namespace bertie::http
