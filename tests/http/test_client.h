// A raw socket for tests: sends what it is told and reads what comes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace bertie::http {

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~TestClient() { Close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }
  bool reset() const { return reset_; }  // the peer cut the connection

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void ShutdownSend() { shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // One whole answer, head and body by its Content-Length; what came so far when the peer ends the
  // connection or time runs out.
  std::string Receive(std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    auto end = std::chrono::steady_clock::now() + timeout;
    while (true) {
      if (size_t size = AnswerSize(); size > 0 && buffer_.size() >= size) {
        std::string answer = buffer_.substr(0, size);
        buffer_.erase(0, size);
        return answer;
      }
      if (!Fill(end)) return std::exchange(buffer_, {});
    }
  }

  // Everything until the peer ends the connection.
  std::string ReceiveAll(std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    auto end = std::chrono::steady_clock::now() + timeout;
    while (Fill(end)) {
    }
    return std::exchange(buffer_, {});
  }

  // True when the peer has ended the connection and nothing is left to read.
  bool AtEnd(std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    bool more = Fill(std::chrono::steady_clock::now() + timeout);
    return !more && ended_ && buffer_.empty();
  }

 private:
  size_t AnswerSize() const {
    size_t end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return 0;
    size_t field = buffer_.find("Content-Length: ");
    size_t length = field < end ? std::stoul(buffer_.substr(field + 16)) : 0;
    return end + 4 + length;
  }

  bool Fill(std::chrono::steady_clock::time_point end) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd waited{fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&waited, 1, static_cast<int>(left.count())) <= 0) return false;
    char bytes[65536];
    ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
    if (size <= 0) {
      ended_ = true;
      reset_ = size < 0;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  bool reset_ = false;
  std::string buffer_;
};

}  // namespace bertie::http
