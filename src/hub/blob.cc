#include "hub/blob.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/quote.h"
#include "hub/content_hash.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = size_t{1} << 20;

// ETAG.incomplete: written from its end on, with the hash of all that is in it.
class Partial {
 public:
  static Result<Partial> Open(const fs::path& path, const RemoteFile& file) {
    Partial partial(path, file);
    partial.fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (partial.fd_ < 0) return FileError(errno, path, "open");
    BERTIE_RETURN_IF_ERROR(partial.HashWhatIsThere());
    return partial;
  }
  Partial(Partial&& other) noexcept
      : path_(std::move(other.path_)),
        file_(std::move(other.file_)),
        fd_(std::exchange(other.fd_, -1)),
        size_(other.size_),
        hash_(std::move(other.hash_)) {}
  Partial& operator=(Partial&&) = delete;
  ~Partial() {
    if (fd_ >= 0) close(fd_);
  }

  int64_t size() const { return size_; }

  Status Restart() {
    if (ftruncate(fd_, 0) != 0) return FileError(errno, path_, "empty");
    if (lseek(fd_, 0, SEEK_SET) < 0) return FileError(errno, path_, "seek in");
    size_ = 0;
    hash_ = std::make_unique<ContentHash>(file_.etag, file_.size);
    return {};
  }

  Status Append(std::string_view bytes) {
    hash_->Update(bytes);
    size_ += static_cast<int64_t>(bytes.size());
    return WriteAll(fd_, bytes, path_);
  }

  // "" when the hash is the etag's or the etag tells none, else what was found.
  std::string Wrong() {
    const std::string found = hash_->Finish();
    return found.empty() || found == file_.etag ? "" : std::string(hash_->name()) + " " + found;
  }

  Status MoveTo(const fs::path& target) {
    if (fsync(fd_) != 0) return FileError(errno, path_, "sync");
    if (rename(path_.c_str(), target.c_str()) != 0) return FileError(errno, target, "make");
    return SyncDirectory(target.parent_path());
  }

 private:
  Partial(fs::path path, RemoteFile file) : path_(std::move(path)), file_(std::move(file)) {}

  Status HashWhatIsThere() {
    struct stat status {};
    if (fstat(fd_, &status) != 0) return FileError(errno, path_, "look at");
    if (status.st_size > file_.size) return Restart();
    hash_ = std::make_unique<ContentHash>(file_.etag, file_.size);
    std::vector<char> piece(kPiece);
    for (;;) {
      const ssize_t got = read(fd_, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FileError(errno, path_, "read");
      if (got == 0) return {};
      hash_->Update(std::string_view(piece.data(), static_cast<size_t>(got)));
      size_ += got;
    }
  }

  fs::path path_;
  RemoteFile file_;
  int fd_ = -1;
  int64_t size_ = 0;
  std::unique_ptr<ContentHash> hash_;
};

Status CheckSpace(const fs::path& folder, const std::string& id, const RemoteFile& file,
                  int64_t present) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  const auto needed = static_cast<uint64_t>(file.size - present);
  if (error || space.available >= needed) return {};
  const auto mb = [](uint64_t bytes) { return std::to_string((bytes + 999'999) / 1'000'000); };
  return Error{ErrorCode::kResourceExhausted,
               id + ": " + Quote(file.name) + " needs " + mb(needed) + " MB more, and " +
                   folder.string() + " has " + mb(space.available) +
                   " MB free. Make room (bertie models remove), or set HF_HUB_CACHE to a folder on "
                   "another disk"};
}

// Appends what is missing, in as many requests as it takes.
Status FetchRest(Hub& hub, const std::string& commit, const RemoteFile& file, Partial& partial,
                 const BlobProgress& progress) {
  int64_t fetched = 0;
  int64_t most = partial.size();  // a server may send all anew, and break at the same place
  int attempt = 0;
  while (partial.size() < file.size) {
    const int64_t from = partial.size();
    bool started = false;
    const Sink sink = [&](const Answer& head, std::string_view bytes) -> Status {
      if (!std::exchange(started, true)) {
        const std::string range = "bytes " + std::to_string(partial.size()) + "-";
        // The server sends all of it, or not from where it was asked to.
        if (head.status != 206 || !head.Field("content-range").starts_with(range)) {
          if (head.status == 206 && from > 0) {
            return Error{ErrorCode::kInvalidData, head.host + ": answered with " +
                                                      Quote(head.Field("content-range")) +
                                                      " when asked for " + range};
          }
          if (from > 0) BERTIE_RETURN_IF_ERROR(partial.Restart());
        }
      }
      if (partial.size() + static_cast<int64_t>(bytes.size()) > file.size) {
        return Error{ErrorCode::kInvalidData, hub.id() + ": " + head.host + " sends more of " +
                                                  Quote(file.name) + " than its " +
                                                  std::to_string(file.size) + " bytes"};
      }
      BERTIE_RETURN_IF_ERROR(partial.Append(bytes));
      fetched += static_cast<int64_t>(bytes.size());
      if (progress.update) progress.update(partial.size(), fetched);
      return {};
    };
    bool retry = false;
    const Status status = hub.Fetch(commit, file.name, from, sink, attempt, retry);
    attempt = partial.size() > most ? 0 : attempt + 1;
    most = std::max(most, partial.size());
    if (!status.ok() && !retry) return status;
    if (!status.ok() && status.error().code == ErrorCode::kInvalidData) {
      BERTIE_RETURN_IF_ERROR(partial.Restart());
    }
    if (status.ok() && attempt > 0) {
      return Error{ErrorCode::kInvalidData, hub.id() + ": " + Quote(file.name) + " ends after " +
                                                std::to_string(partial.size()) + " of " +
                                                std::to_string(file.size) + " bytes"};
    }
  }
  return {};
}

}  // namespace

Status FetchBlob(Hub& hub, const Cache& cache, const std::string& commit, const RemoteFile& file,
                 const BlobProgress& progress) {
  const fs::path blob = cache.BlobPath(hub.id(), file.etag);
  std::error_code error;
  if (fs::exists(blob, error)) return {};
  fs::create_directories(blob.parent_path(), error);
  if (error) return FileError(error.value(), blob.parent_path(), "make");
  BERTIE_ASSIGN_OR_RETURN(const FileLock lock, cache.Lock(hub.id(), file.etag, [&] {
    if (progress.say) progress.say("another process is fetching " + file.name + "; waiting for it");
  }));
  if (fs::exists(blob, error)) return {};
  const fs::path path = blob.string() + ".incomplete";
  BERTIE_ASSIGN_OR_RETURN(Partial partial, Partial::Open(path, file));
  // A second time where the beginning was left by somebody else and is not of this file.
  for (bool fresh = partial.size() == 0;; fresh = true) {
    BERTIE_RETURN_IF_ERROR(CheckSpace(blob.parent_path(), hub.id(), file, partial.size()));
    if (progress.update) progress.update(partial.size(), 0);
    BERTIE_RETURN_IF_ERROR(FetchRest(hub, commit, file, partial, progress));
    const std::string wrong = partial.Wrong();
    if (wrong.empty()) return partial.MoveTo(blob);
    BERTIE_RETURN_IF_ERROR(partial.Restart());
    if (fresh) {
      fs::remove(path, error);
      return Error{ErrorCode::kInvalidData,
                   hub.id() + ": " + Quote(file.name) + " has " + wrong + ", expected " +
                       file.etag +
                       ": it was changed on its way. Nothing of it was kept; try again, and if it "
                       "happens again, look at the mirror or the proxy between"};
    }
  }
}

}  // namespace bertie::hub
