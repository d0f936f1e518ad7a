#include "cli/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cli/service.h"

namespace bertie::cli {
namespace {

constexpr size_t kMostWaiting = size_t{4} << 20;
constexpr int kLastWaitMs = 1000;

}  // namespace

LineWriter::LineWriter(int fd) : fd_(fd) {
  thread_ = std::thread([this] { Loop(); });
}

LineWriter::~LineWriter() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void LineWriter::Write(const std::string& line) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() + line.size() > kMostWaiting) {
    ++dropped_;
    return;
  }
  const bool first = waiting_.empty();
  waiting_ += line;
  if (first) changed_.notify_all();
}

void LineWriter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::string text = std::exchange(waiting_, {});
    if (const int64_t dropped = std::exchange(dropped_, 0); dropped > 0) {
      text += LogLine(std::to_string(dropped) + " lines of the log were dropped");
    }
    lock.unlock();
    WriteOut(text);
    lock.lock();
  }
}

void LineWriter::WriteOut(const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
    const int found = poll(&ready, 1, kLastWaitMs);
    if (found == 0) {
      std::lock_guard lock(mutex_);
      if (stop_) return;
      continue;
    }
    const ssize_t written = write(fd_, text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;  // nobody is there to read
    if (written > 0) done += static_cast<size_t>(written);
  }
}

}  // namespace bertie::cli
