// An open file descriptor with one owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace bertie {

// Closes what it holds.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }  // negative: none
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace bertie
