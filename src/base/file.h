// Files read whole, mapped, and written so that a crash leaves the old content or the new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie {

// Every error here names the path and, where the operating system refused, its reason.
// kNotFound: the path is not there; kIo: anything else the system said.

// The whole content of a regular file or a pipe. kResourceExhausted when it is over max_bytes; no
// more than that is ever read.
Result<std::string> ReadFile(const std::filesystem::path& path, uint64_t max_bytes);

// "PATH: cannot DO: reason" for the errno value given.
Error FileError(int errno_value, const std::filesystem::path& path, const std::string& action);

// A regular file mapped read-only and private for as long as the object lives. The pages are read
// when they are touched. Reading a page of a file that was cut short meanwhile kills the process
// with SIGBUS, so files are replaced by rename (AtomicFile), never rewritten in place, and a reader
// of files from elsewhere calls CheckUnchanged before it trusts them.
class MappedFile {
 public:
  // An empty file gives an empty span. Anything but a regular file is refused.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  // kInvalidData when the file's length or time of change is no longer what Open saw.
  Status CheckUnchanged() const;

 private:
  MappedFile() = default;

  std::filesystem::path path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t changed_ns_ = 0;
};

// A file open for reading, which stays readable after its name is gone. Any thread.
class OpenFile {
 public:
  // Anything but a regular file is refused.
  static Result<std::shared_ptr<const OpenFile>> Open(const std::filesystem::path& path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }
  uint64_t size() const { return size_; }  // when it was opened

 private:
  OpenFile(int fd, uint64_t size) : fd_(fd), size_(size) {}

  int fd_;
  uint64_t size_;
};

// Writes all of the bytes where the descriptor stands. path is for the error's text.
Status WriteAll(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);
Status WriteAll(int fd, std::string_view text, const std::filesystem::path& path);

// A file under a temporary name in the target's folder, which Commit renames to the target. Without
// a Commit that succeeded the destructor removes it and the target stays as it was.
class AtomicFile {
 public:
  // The target's folder must exist. The file gets the permissions of the target, or 0644.
  static Result<AtomicFile> Create(const std::filesystem::path& target);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // Appends. Errors (a full disk) leave the object fit only for destruction.
  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text);

  // Syncs the file, renames it and syncs the folder: after success a power loss does not undo it.
  Status Commit();

  // The temporary file, for writers that want a name or a descriptor of their own.
  const std::filesystem::path& temporary_path() const { return temporary_; }

 private:
  AtomicFile() = default;
  void Discard();

  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty once committed or moved from
  int fd_ = -1;
};

Status WriteFileAtomically(const std::filesystem::path& target, std::string_view content);

// Makes the names in a folder survive a power loss.
Status SyncDirectory(const std::filesystem::path& dir);

}  // namespace bertie
