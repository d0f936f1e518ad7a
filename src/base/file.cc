#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/fd.h"

namespace bertie {
namespace {

// One write takes at most 0x7ffff000 bytes on Linux; smaller pieces also keep an interrupt short.
constexpr size_t kWritePiece = size_t{64} << 20;

int64_t ChangedNs(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

std::filesystem::path FolderOf(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

Error FileError(int errno_value, const std::filesystem::path& path, const std::string& action) {
  const bool absent = errno_value == ENOENT || errno_value == ENOTDIR;
  return {absent ? ErrorCode::kNotFound : ErrorCode::kIo,
          path.string() + ": cannot " + action + ": " +
              std::error_code(errno_value, std::generic_category()).message()};
}

Result<std::string> ReadFile(const std::filesystem::path& path, uint64_t max_bytes) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return FileError(errno, path, "open");
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return FileError(errno, path, "look at");
  const uint64_t expected = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  auto too_big = [&] {
    return Error{ErrorCode::kResourceExhausted, path.string() + ": longer than the limit of " +
                                                    std::to_string(max_bytes) + " bytes"};
  };
  if (expected > max_bytes) return too_big();
  std::string content;
  // One byte more than expected, so that an ordinary file ends with the second read.
  size_t filled = 0;
  for (;;) {
    if (filled == content.size()) {
      content.resize(std::max<size_t>(filled + filled / 2, expected + 1) + (expected ? 0 : 4096));
    }
    const ssize_t got =
        ::read(file.get(), content.data() + filled, std::min(content.size() - filled, kWritePiece));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, path, "read");
    if (got == 0) break;
    filled += static_cast<size_t>(got);
    if (filled > max_bytes) return too_big();
  }
  content.resize(filled);
  return content;
}

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::filesystem::path& path) {
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->fd_ < 0) return FileError(errno, path, "open");
  struct stat info;
  if (::fstat(file->fd_, &info) != 0) return FileError(errno, path, "look at");
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path.string() + ": not a regular file"};
  }
  file->changed_ns_ = ChangedNs(info);
  if (info.st_size > 0) {
    const auto size = static_cast<size_t>(info.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file->fd_, 0);
    if (data == MAP_FAILED) return FileError(errno, path, "map");
    file->data_ = static_cast<const std::byte*>(data);
    file->size_ = size;
  }
  return std::shared_ptr<const MappedFile>(std::move(file));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

Status MappedFile::CheckUnchanged() const {
  struct stat info;
  if (::fstat(fd_, &info) != 0) return FileError(errno, path_, "look at");
  if (static_cast<size_t>(info.st_size) != size_ || ChangedNs(info) != changed_ns_) {
    return Error{ErrorCode::kInvalidData, path_.string() + ": changed while it was being read (" +
                                              std::to_string(size_) + " bytes before, " +
                                              std::to_string(info.st_size) + " now)"};
  }
  return {};
}

Result<std::shared_ptr<const OpenFile>> OpenFile::Open(const std::filesystem::path& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return FileError(errno, path, "open");
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return FileError(errno, path, "look at");
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path.string() + ": not a regular file"};
  }
  return std::shared_ptr<const OpenFile>(
      new OpenFile(file.Release(), static_cast<uint64_t>(info.st_size)));
}

OpenFile::~OpenFile() { ::close(fd_); }

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& target) {
  AtomicFile file;
  file.target_ = target;
  const std::filesystem::path folder = FolderOf(target);
  std::string name = (folder / ("." + target.filename().string() + ".new-XXXXXX")).string();
  file.fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (file.fd_ < 0) return FileError(errno, target, "create a file beside");
  file.temporary_ = name;
  // mkostemp gives 0600, which would lock out those who could read the target.
  mode_t mode = 0644;
  if (struct stat info; ::stat(target.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      return Error{ErrorCode::kInvalidArgument, target.string() + ": not a regular file"};
    }
    mode = info.st_mode & 0777;
  }
  if (::fchmod(file.fd_, mode) != 0) return FileError(errno, target, "set permissions for");
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    Discard();
    target_ = std::move(other.target_);
    temporary_ = std::exchange(other.temporary_, {});
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

Status WriteAll(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), std::min(bytes.size(), kWritePiece));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FileError(errno, path, "write");
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return {};
}

Status WriteAll(int fd, std::string_view text, const std::filesystem::path& path) {
  return WriteAll(fd, std::as_bytes(std::span(text)), path);
}

Status AtomicFile::Write(std::span<const std::byte> bytes) { return WriteAll(fd_, bytes, target_); }

Status AtomicFile::Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }

Status AtomicFile::Commit() {
  if (::fsync(fd_) != 0) return FileError(errno, target_, "sync");
  if (::close(std::exchange(fd_, -1)) != 0) return FileError(errno, target_, "close");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    return FileError(errno, target_, "put the new file in place of");
  }
  temporary_.clear();
  return SyncDirectory(FolderOf(target_));
}

Status WriteFileAtomically(const std::filesystem::path& target, std::string_view content) {
  BERTIE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(target));
  BERTIE_RETURN_IF_ERROR(file.Write(content));
  return file.Commit();
}

Status SyncDirectory(const std::filesystem::path& dir) {
  const Fd folder(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return FileError(errno, dir, "open");
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to be done there.
  if (::fsync(folder.get()) != 0 && errno != EINVAL) return FileError(errno, dir, "sync");
  return {};
}

}  // namespace bertie
