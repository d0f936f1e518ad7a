// TCP sockets as values. Private to comm/.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace bertie::comm {

using Clock = std::chrono::steady_clock;

// Owns a file descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() { Close(); }

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();

  // Without blocking: bytes taken or written, 0 when none can be now, -1 when the connection is
  // closed or broken.
  int64_t Read(char* to, size_t bytes) const;
  int64_t Write(std::string_view bytes) const;

 private:
  int fd_ = -1;
};

// Listens without blocking on host's address where IsLoopback(host), else on all of this machine's.
Result<Socket> Listen(const std::string& host, uint16_t port);
// A connection to whichever of host's addresses answers first in their order; does not block once
// connected. kUnavailable when none does, with the system's reason.
Result<Socket> Connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);
// Two connected ends.
Result<std::pair<Socket, Socket>> Pair();
// Makes it non-blocking, not inherited by programs started, and without Nagle's delay.
void Prepare(int fd);

// "10.0.0.3:4711"; "this machine" for a Pair's end.
std::string PeerName(int fd);
// The numeric address by which this end is reached; "" for a Pair's end.
std::string LocalAddress(int fd);
// The port it listens on.
uint16_t LocalPort(int fd);

// Whether it is a numeric loopback address or "localhost". A host's own name is none, though Debian
// resolves it to 127.0.1.1 on that host.
bool IsLoopback(const std::string& host);

}  // namespace bertie::comm
