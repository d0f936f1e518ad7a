// Locks that bertie and Hugging Face's Python library hold against each other.
#pragma once

#include <filesystem>
#include <functional>

#include "base/status.h"

namespace bertie::hub {

// flock on a file that stays where it is, as Python's filelock does it. A file system without flock
// gives no lock, and that is no error: content is checked and renamed into place all the same.
class FileLock {
 public:
  // Waits until it is free; on_wait is called once where that is not at once. The file's folder is
  // made.
  static Result<FileLock> Acquire(const std::filesystem::path& path,
                                  const std::function<void()>& on_wait);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace bertie::hub
