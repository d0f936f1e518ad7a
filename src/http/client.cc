#include "http/client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>
#include <variant>

#include "base/quote.h"

namespace bertie::http {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

std::string Reason(int error) { return std::generic_category().message(error); }

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

}  // namespace

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

Result<ClientAnswer> Client::Read(const ClientRequest& request) {
  AnswerReader reader(
      url_.Authority(), request.method == "HEAD",
      {.max_head_bytes = options_.max_head_bytes, .max_body_bytes = options_.max_body_bytes});
  for (;;) {
    BERTIE_ASSIGN_OR_RETURN(const bool whole, reader.Feed(buffer_));
    if (whole) break;
    BERTIE_ASSIGN_OR_RETURN(const size_t more, Fill());
    if (more > 0) continue;
    BERTIE_RETURN_IF_ERROR(reader.End(buffer_));
    break;
  }
  if (!reader.keep_alive()) Close();
  return reader.Take();
}

Result<ClientAnswer> Client::Send(const ClientRequest& request) {
  if (socket_ >= 0 && EndedByServer()) Close();
  BERTIE_RETURN_IF_ERROR(Connect());
  // One write for head and body: a small request is one packet.
  std::string bytes = SerializeRequestHead(url_.Authority(), request);
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
