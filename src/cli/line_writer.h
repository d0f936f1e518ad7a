// Lines to a descriptor, without waiting for whoever reads them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace bertie::cli {

// A thread of its own writes what has gathered. Where the reader is slow and 4 MB wait, lines are
// dropped, and one says how many. Every member may be called from any thread.
class LineWriter {
 public:
  // fd stays open as long as the writer.
  explicit LineWriter(int fd);
  // Writes what waits, for a second at most where the reader has stopped.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // line: whole, with its end.
  void Write(const std::string& line);

 private:
  void Loop();
  void WriteOut(const std::string& text);

  const int fd_;
  std::mutex mutex_;  // guards all below but the thread
  std::condition_variable changed_;
  std::string waiting_;
  int64_t dropped_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace bertie::cli
