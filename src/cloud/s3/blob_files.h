// The files that hold objects' bytes. Their names are random numbers, never keys: what a file
// belongs to is known to the database alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"
#include "http/message.h"

namespace bertie::cloud {

enum class BlobKind {
  kAny,   // small ones stay in memory, to be kept in the database: that takes one sync, not three
  kFile,  // always a file
};

// A new blob. Removed by the destructor unless Release was called.
class BlobWriter {
 public:
  // folder: BlobFiles'.
  BlobWriter(std::filesystem::path folder, BlobKind kind)
      : folder_(std::move(folder)), kind_(kind) {}
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  Status Write(std::string_view bytes);
  uint64_t size() const { return size_; }

  // Syncs the file and gives it its final name. Nothing to do for one in memory. Once, at the end.
  Status Keep();
  // The final name; empty when the bytes are in memory.
  const std::string& name() const { return name_; }
  const std::string& bytes() const { return memory_; }

  // The database knows the file now.
  void Release() { path_.clear(); }

  // The largest blob that stays in memory.
  static constexpr size_t kInMemory = 16 * 1024;

 private:
  Status MakeFile();
  Status ToFile(std::string_view bytes);

  std::filesystem::path folder_;
  BlobKind kind_;
  std::filesystem::path path_;  // of the file as it is named now; empty: none, or released
  std::string name_;
  std::string memory_;
  uint64_t size_ = 0;
  uint64_t started_ = 0;  // up to here the disk has been asked to write
  int fd_ = -1;
};

// Reads a range of a file, some hundred kB at a time. kInvalidData when the file ends before.
Status ReadPiece(const http::FilePiece& piece, const std::function<Status(std::string_view)>& take);

class BlobFiles {
 public:
  // Makes the folder with what belongs in it.
  static Result<BlobFiles> Open(const std::filesystem::path& folder);

  std::unique_ptr<BlobWriter> Create(BlobKind kind) const {
    return std::make_unique<BlobWriter>(folder_, kind);
  }
  std::filesystem::path PathOf(const std::string& name) const;
  // kNotFound when it has been removed.
  Result<std::shared_ptr<const OpenFile>> Read(const std::string& name) const;
  void Remove(const std::string& name) const;

  // Removes what killed processes left: unfinished files, and those that nobody knows.
  // Only while nobody writes. Returns how many.
  Result<int64_t> Sweep(const std::function<Result<bool>(const std::string&)>& is_known) const;

 private:
  explicit BlobFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
};

}  // namespace bertie::cloud
