#include "base/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"

namespace bertie {
namespace {

namespace fs = std::filesystem;

Result<fs::path> MakeUnique(const fs::path& parent, const std::string& prefix) {
  std::string name = (parent / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) return FileError(errno, parent, "create a folder in");
  return fs::path(name);
}

void RemoveAll(const fs::path& path) {
  std::error_code ignored;  // a destructor's best effort
  fs::remove_all(path, ignored);
}

struct Entries {
  std::vector<fs::path> files;  // everything that is not a folder
  std::vector<fs::path> folders;
};

// Both sorted by name.
Result<Entries> List(const fs::path& dir) {
  Entries entries;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    const bool folder = it->symlink_status(error).type() == fs::file_type::directory;
    (folder ? entries.folders : entries.files).push_back(it->path());
  }
  if (error) return FileError(error.value(), dir, "list");
  std::sort(entries.files.begin(), entries.files.end());
  std::sort(entries.folders.begin(), entries.folders.end());
  return entries;
}

Status SyncFile(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return FileError(errno, path, "open");
  const int failed = ::fsync(fd) != 0 ? errno : 0;
  ::close(fd);
  if (failed != 0) return FileError(failed, path, "sync");
  return {};
}

// A folder's lock, held for as long as the object lives, that tells a live writer from a dead one.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)),
        held_(fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) == 0) {}
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool held() const { return held_; }

 private:
  int fd_;
  bool held_;
};

// The folders in parent whose names begin with prefix.
std::vector<fs::path> FoldersWith(const fs::path& parent, const std::string& prefix) {
  std::vector<fs::path> found;
  auto entries = List(parent);
  if (!entries.ok()) return found;
  for (const fs::path& folder : entries->folders) {
    if (folder.filename().string().starts_with(prefix)) found.push_back(folder);
  }
  return found;
}

// ".NAME" + suffix.
std::string HiddenName(const fs::path& target, const char* suffix) {
  std::string name(".");
  return name.append(target.filename().string()).append(suffix);
}

// True where a rename cannot move the folder away: it is the root of a mount (a container's
// volume), or the working folder of this process, whose user would be left in a removed one.
bool IsPinned(const fs::path& folder) {
  struct statx info;
  if (::statx(AT_FDCWD, folder.c_str(), 0, STATX_INO, &info) != 0) return false;
  if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return true;
  std::error_code error;
  return fs::equivalent(folder, ".", error);
}

// The folder in which the new one can be written so that a rename puts it in place: the target's
// parent, or the target itself where it is pinned or the parent is closed to us.
fs::path StagingParent(const fs::path& target) {
  const fs::path parent = target.parent_path();
  std::error_code error;
  if (!fs::exists(target, error)) return parent;
  return IsPinned(target) || ::access(parent.c_str(), W_OK | X_OK) != 0 ? target : parent;
}

// Resolves links and "x/..", so that what is replaced is the folder and not a link to it.
Result<fs::path> ResolveTarget(const fs::path& target) {
  std::error_code error;
  fs::path resolved = fs::weakly_canonical(fs::absolute(target), error);
  if (error) return FileError(error.value(), target, "resolve");
  return resolved.has_filename() ? resolved : resolved.parent_path();
}

// Moves the subfolders of a leftover that the target lacks into it, then removes the leftover. One
// whose subfolders all have a namesake in the target stays: nobody knows which is the right one.
void RescueSubfolders(const fs::path& leftover, const fs::path& target) {
  auto inside = List(leftover);
  if (!inside.ok()) return;
  bool empty = true;
  for (const fs::path& folder : inside->folders) {
    const fs::path place = target / folder.filename();
    std::error_code error;
    const bool taken = fs::exists(fs::symlink_status(place, error));
    if (taken || ::rename(folder.c_str(), place.c_str()) != 0) empty = false;
  }
  if (!inside->folders.empty() && !SyncDirectory(target).ok()) return;
  if (empty) RemoveAll(leftover);
}

// A new folder that is locked is a live writer's, and an old one beside it is in its hands too.
void RecoverIn(const fs::path& parent, const fs::path& target) {
  std::vector<fs::path> dead;
  for (const fs::path& folder : FoldersWith(parent, HiddenName(target, ".new-"))) {
    if (!FolderLock(folder).held()) return;
    dead.push_back(folder);
  }
  std::error_code error;
  for (const fs::path& folder : FoldersWith(parent, HiddenName(target, ".old-"))) {
    if (fs::exists(target, error) || ::rename(folder.c_str(), target.c_str()) != 0) {
      dead.push_back(folder);
    }
  }
  // While the target is absent, a leftover may be all that there is of it.
  for (const fs::path& folder : dead) {
    if (fs::exists(target, error)) {
      RescueSubfolders(folder, target);
    } else if (auto inside = List(folder); inside.ok() && inside->folders.empty()) {
      const std::string name = folder.filename().string();
      if (name.starts_with(HiddenName(target, ".new-"))) RemoveAll(folder);
    }
  }
}

}  // namespace

Result<TemporaryDirectory> TemporaryDirectory::Create(const std::string& prefix,
                                                      const fs::path& parent) {
  std::error_code error;
  const fs::path base = parent.empty() ? fs::temp_directory_path(error) : parent;
  if (error) return FileError(error.value(), "TMPDIR", "find the folder for temporary files");
  BERTIE_ASSIGN_OR_RETURN(fs::path path, MakeUnique(base, prefix));
  return TemporaryDirectory(std::move(path));
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  if (this != &other) {
    if (!path_.empty()) RemoveAll(path_);
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!path_.empty()) RemoveAll(path_);
}

Status MakeFolders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return FileError(error.value(), folder, "make the folder");
  return {};
}

void RemoveAbandonedFolders(const fs::path& parent, const std::string& prefix) {
  for (const fs::path& folder : FoldersWith(parent, prefix)) {
    if (FolderLock(folder).held()) RemoveAll(folder);
  }
}

void RemoveAbandonedFiles(const fs::path& folder) {
  auto entries = List(folder);
  if (!entries.ok()) return;
  constexpr std::string_view kSuffix = ".new-XXXXXX";
  for (const fs::path& file : entries->files) {
    const std::string name = file.filename().string();
    if (!name.starts_with('.') || name.size() <= kSuffix.size()) continue;
    if (name.substr(name.size() - kSuffix.size(), 5) == kSuffix.substr(0, 5)) {
      ::unlink(file.c_str());
    }
  }
}

void AtomicDirectory::Recover(const fs::path& target) {
  if (auto resolved = ResolveTarget(target); resolved.ok()) {
    RecoverIn(StagingParent(*resolved), *resolved);
  }
}

Result<AtomicDirectory> AtomicDirectory::Create(const fs::path& target) {
  AtomicDirectory dir;
  std::error_code error;
  BERTIE_ASSIGN_OR_RETURN(dir.target_, ResolveTarget(target));
  if (fs::exists(dir.target_, error) && !fs::is_directory(dir.target_, error)) {
    return Error{ErrorCode::kInvalidArgument, target.string() + ": is not a folder"};
  }
  const fs::path parent = StagingParent(dir.target_);
  RecoverIn(parent, dir.target_);
  BERTIE_ASSIGN_OR_RETURN(dir.path_, MakeUnique(parent, HiddenName(dir.target_, ".new-")));
  dir.lock_fd_ = ::open(dir.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir.lock_fd_ < 0) return FileError(errno, dir.path_, "open");
  ::flock(dir.lock_fd_, LOCK_EX | LOCK_NB);
  mode_t mode = 0755;  // mkdtemp gives 0700
  if (struct stat info; ::stat(dir.target_.c_str(), &info) == 0) mode = info.st_mode & 07777;
  if (::fchmod(dir.lock_fd_, mode | S_IRWXU) != 0) {
    return FileError(errno, dir.path_, "set permissions for");
  }
  return dir;
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::exchange(other.path_, {})),
      lock_fd_(std::exchange(other.lock_fd_, -1)) {}

AtomicDirectory& AtomicDirectory::operator=(AtomicDirectory&& other) noexcept {
  if (this != &other) {
    Discard();
    target_ = std::move(other.target_);
    path_ = std::exchange(other.path_, {});
    lock_fd_ = std::exchange(other.lock_fd_, -1);
  }
  return *this;
}

AtomicDirectory::~AtomicDirectory() { Discard(); }

void AtomicDirectory::Discard() {
  if (!path_.empty()) RemoveAll(std::exchange(path_, {}));
  if (lock_fd_ >= 0) ::close(std::exchange(lock_fd_, -1));
}

Status AtomicDirectory::Commit(bool (*stale)(const std::string& name)) {
  BERTIE_ASSIGN_OR_RETURN(const Entries fresh, List(path_));
  for (const fs::path& file : fresh.files) BERTIE_RETURN_IF_ERROR(SyncFile(file));
  BERTIE_RETURN_IF_ERROR(SyncDirectory(path_));
  if (path_.parent_path() == target_) return ReplaceFilesOneByOne(stale);
  std::error_code error;
  if (fs::exists(target_, error)) {
    BERTIE_RETURN_IF_ERROR(CarryFiles(stale));
    return Exchange();
  }
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    return FileError(errno, target_, "put the new folder in place of");
  }
  path_.clear();
  return SyncDirectory(target_.parent_path());
}

// Links and not moves: until the exchange the old folder is whole.
Status AtomicDirectory::CarryFiles(bool (*stale)(const std::string&)) const {
  BERTIE_ASSIGN_OR_RETURN(const Entries old, List(target_));
  for (const fs::path& file : old.files) {
    if (stale(file.filename().string())) continue;
    const fs::path copy = path_ / file.filename();
    if (::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, copy.c_str(), 0) == 0 || errno == EEXIST) {
      continue;
    }
    std::error_code error;  // file systems without hard links
    fs::copy(file, copy, fs::copy_options::copy_symlinks, error);
    if (error) return FileError(error.value(), file, "keep");
  }
  return SyncDirectory(path_);
}

Status AtomicDirectory::Exchange() {
  const fs::path parent = target_.parent_path();
  fs::path old = path_;
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) {
      return FileError(errno, target_, "put the new folder in place of");
    }
    BERTIE_ASSIGN_OR_RETURN(old, MakeUnique(parent, HiddenName(target_, ".old-")));
    if (::rename(target_.c_str(), old.c_str()) != 0) {
      const int failed = errno;
      ::rmdir(old.c_str());
      return FileError(failed, target_, "move the old folder away from");
    }
    if (::rename(path_.c_str(), target_.c_str()) != 0) {
      const int failed = errno;
      ::rename(old.c_str(), target_.c_str());
      return FileError(failed, target_, "put the new folder in place of");
    }
  }
  path_.clear();
  // Where this fails, a power loss might undo the exchange, so the old folder must stay.
  BERTIE_RETURN_IF_ERROR(SyncDirectory(parent));
  BERTIE_RETURN_IF_ERROR(MoveSubfolders(old));
  RemoveAll(old);
  return {};
}

Status AtomicDirectory::MoveSubfolders(const fs::path& old) const {
  BERTIE_ASSIGN_OR_RETURN(const Entries entries, List(old));
  for (const fs::path& folder : entries.folders) {
    const fs::path place = target_ / folder.filename();
    if (::rename(folder.c_str(), place.c_str()) != 0) return FileError(errno, place, "keep");
  }
  // Before the old folder goes, its subfolders' new place must be on the disk.
  return entries.folders.empty() ? Status() : SyncDirectory(target_);
}

Status AtomicDirectory::ReplaceFilesOneByOne(bool (*stale)(const std::string&)) {
  BERTIE_ASSIGN_OR_RETURN(const Entries fresh, List(path_));
  for (const fs::path& file : fresh.files) {
    const fs::path place = target_ / file.filename();
    if (::rename(file.c_str(), place.c_str()) != 0) {
      return FileError(errno, place, "put the new file in place of");
    }
  }
  BERTIE_ASSIGN_OR_RETURN(const Entries all, List(target_));
  for (const fs::path& file : all.files) {
    const fs::path name = file.filename();
    const bool ours = std::any_of(fresh.files.begin(), fresh.files.end(),
                                  [&](const fs::path& f) { return f.filename() == name; });
    if (!ours && stale(name.string())) ::unlink(file.c_str());
  }
  BERTIE_RETURN_IF_ERROR(SyncDirectory(target_));
  Discard();
  return {};
}

}  // namespace bertie
