#include "cloud/s3/blob_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/encoding.h"
#include "base/hmac.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

// The disk starts on each of these while the next one comes, so that the sync at the end has little
// left to wait for.
constexpr uint64_t kStartEvery = uint64_t{4} << 20;
constexpr char kUnfinished[] = "unfinished";

// Files are spread over 256 folders by the first two digits of their names.
fs::path ShardOf(const fs::path& folder, const std::string& name) {
  return folder / name.substr(0, 2);
}

}  // namespace

BlobWriter::~BlobWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!path_.empty()) ::unlink(path_.c_str());
}

Status BlobWriter::Write(std::string_view bytes) {
  size_ += bytes.size();
  if (fd_ >= 0) return ToFile(bytes);
  memory_.append(bytes);
  if (kind_ == BlobKind::kAny && memory_.size() <= kInMemory) return {};
  BERTIE_RETURN_IF_ERROR(MakeFile());
  return ToFile(std::exchange(memory_, {}));
}

Status BlobWriter::MakeFile() {
  name_ = Hex(AsText(RandomBytes32()).substr(0, 16));
  path_ = folder_ / kUnfinished / name_;
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) return FileError(errno, std::exchange(path_, {}), "make");
  return {};
}

Status BlobWriter::ToFile(std::string_view bytes) {
  BERTIE_RETURN_IF_ERROR(WriteAll(fd_, bytes, path_));
  if (size_ - started_ >= kStartEvery) {
    // A hint: whether it works shows at the sync.
    ::sync_file_range(fd_, static_cast<off_t>(started_), static_cast<off_t>(size_ - started_),
                      SYNC_FILE_RANGE_WRITE);
    started_ = size_;
  }
  return {};
}

Status BlobWriter::Keep() {
  if (fd_ < 0 && kind_ == BlobKind::kAny) return {};
  if (fd_ < 0) BERTIE_RETURN_IF_ERROR(MakeFile());  // an empty one
  const fs::path shard = ShardOf(folder_, name_);
  const fs::path target = shard / name_;
  // Nobody knows the name yet. Given before the sync, it goes to the disk with the bytes, and the
  // folder's own sync has nothing left to write.
  if (::rename(path_.c_str(), target.c_str()) != 0) return FileError(errno, target, "name");
  path_ = target;
  if (::fsync(fd_) != 0) return FileError(errno, path_, "sync");
  if (::close(std::exchange(fd_, -1)) != 0) return FileError(errno, path_, "close");
  return SyncDirectory(shard);
}

Status ReadPiece(const http::FilePiece& piece,
                 const std::function<Status(std::string_view)>& take) {
  std::string buffer(static_cast<size_t>(std::min<uint64_t>(piece.size, 256 * 1024)), '\0');
  for (uint64_t done = 0; done < piece.size;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(piece.size - done, buffer.size()));
    const ssize_t got =
        ::pread(piece.file->fd(), buffer.data(), want, static_cast<off_t>(piece.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "an object's file", "read");
    if (got == 0) return Error{ErrorCode::kInvalidData, "an object's file is too short"};
    BERTIE_RETURN_IF_ERROR(take(std::string_view(buffer.data(), static_cast<size_t>(got))));
    done += static_cast<uint64_t>(got);
  }
  return {};
}

Result<BlobFiles> BlobFiles::Open(const fs::path& folder) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder / kUnfinished));
  for (int i = 0; i < 256; ++i) {
    const auto byte = static_cast<char>(i);
    BERTIE_RETURN_IF_ERROR(MakeFolders(folder / Hex(std::string_view(&byte, 1))));
  }
  BERTIE_RETURN_IF_ERROR(SyncDirectory(folder));
  return BlobFiles(folder);
}

fs::path BlobFiles::PathOf(const std::string& name) const { return ShardOf(folder_, name) / name; }

Result<std::shared_ptr<const OpenFile>> BlobFiles::Read(const std::string& name) const {
  return OpenFile::Open(PathOf(name));
}

void BlobFiles::Remove(const std::string& name) const { ::unlink(PathOf(name).c_str()); }

Result<int64_t> BlobFiles::Sweep(
    const std::function<Result<bool>(const std::string&)>& is_known) const {
  int64_t removed = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    bool known = false;
    if (at->path().parent_path().filename() != kUnfinished) {
      BERTIE_ASSIGN_OR_RETURN(known, is_known(at->path().filename().string()));
    }
    if (!known && ::unlink(at->path().c_str()) == 0) ++removed;
  }
  if (error) return FileError(error.value(), folder_, "look through");
  return removed;
}

}  // namespace bertie::cloud
