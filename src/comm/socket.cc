#include "comm/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace bertie::comm {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<Addresses> Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    return Error{ErrorCode::kUnavailable,
                 "cannot resolve the host name '" + host + "': " + gai_strerror(code)};
  }
  return Addresses(found, &freeaddrinfo);
}

bool Loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
  }
  return false;
}

std::string Reason(int code) { return std::strerror(code); }

// The numeric host, and the port where wanted.
std::string Numeric(const sockaddr_storage& address, socklen_t bytes, bool with_port) {
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  if (address.ss_family == AF_UNIX ||
      getnameinfo(reinterpret_cast<const sockaddr*>(&address), bytes, host, sizeof(host), port,
                  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  // IPv4 through an IPv6 socket.
  std::string name = host;
  if (name.starts_with("::ffff:")) name.erase(0, 7);
  return with_port ? name + ":" + port : name;
}

// Waits for a started connect; 0 or an errno.
int FinishConnect(int fd, Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd wait{fd, POLLOUT, 0};
  if (poll(&wait, 1, static_cast<int>(left > 0 ? left : 0)) <= 0) return ETIMEDOUT;
  int code = 0;
  socklen_t bytes = sizeof(code);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &bytes);
  return code;
}

}  // namespace

void Socket::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

int64_t Socket::Read(char* to, size_t bytes) const {
  const ssize_t got = recv(fd_, to, bytes, MSG_DONTWAIT);
  if (got > 0) return got;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return -1;
}

int64_t Socket::Write(std::string_view bytes) const {
  const ssize_t put = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put >= 0) return put;
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void Prepare(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Result<Socket> Listen(const std::string& host, uint16_t port) {
  BERTIE_ASSIGN_OR_RETURN(Addresses addresses, Resolve(host, port));
  const bool everywhere = !IsLoopback(host);
  sockaddr_storage address{};
  std::memcpy(&address, addresses->ai_addr, addresses->ai_addrlen);
  if (everywhere && address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr = htonl(INADDR_ANY);
  } else if (everywhere) {
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr = in6addr_any;
  }
  Socket socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (!socket.open() ||
      bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), addresses->ai_addrlen) != 0 ||
      listen(socket.fd(), 256) != 0) {
    return Error{ErrorCode::kIo, "rank 0 cannot listen on port " + std::to_string(port) + ": " +
                                     Reason(errno) + "; MASTER_PORT chooses another"};
  }
  return socket;
}

Result<Socket> Connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  BERTIE_ASSIGN_OR_RETURN(Addresses addresses, Resolve(host, port));
  int code = ETIMEDOUT;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.open()) continue;
    code = connect(socket.fd(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (code == EINPROGRESS) code = FinishConnect(socket.fd(), deadline);
    if (code == 0) {
      Prepare(socket.fd());
      return socket;
    }
  }
  return Error{ErrorCode::kUnavailable,
               "no connection to " + host + ":" + std::to_string(port) + ": " + Reason(code)};
}

Result<std::pair<Socket, Socket>> Pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return Error{ErrorCode::kIo, "cannot make a pair of sockets: " + Reason(errno)};
  }
  return std::pair<Socket, Socket>(Socket(fds[0]), Socket(fds[1]));
}

std::string PeerName(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return "unknown";
  const std::string name = Numeric(address, bytes, true);
  return name.empty() ? "this machine" : name;
}

std::string LocalAddress(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return "";
  return Numeric(address, bytes, false);
}

uint16_t LocalPort(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  }
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  return Loopback(Addresses(found, &freeaddrinfo)->ai_addr);
}

}  // namespace bertie::comm
