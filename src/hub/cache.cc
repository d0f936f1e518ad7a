#include "hub/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/sha256.h"
#include "hub/names.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "models--";
constexpr uint64_t kMaxRefBytes = 1024;

std::string FolderName(const std::string& id) {
  std::string name = kPrefix + id;
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return name;
}

// "" where the folder holds no model.
std::string IdOf(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return "";
  std::string id = folder.substr(std::string(kPrefix).size());
  if (const size_t dashes = id.find("--"); dashes != std::string::npos) id.replace(dashes, 2, "/");
  return CheckModelId(id).ok() ? id : "";
}

std::string ReadRef(const fs::path& path) {
  auto content = ReadFile(path, kMaxRefBytes);
  if (!content.ok()) return "";
  while (!content->empty() && content->back() <= ' ') content->pop_back();
  return *std::move(content);
}

Status MakeFolders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return FileError(error.value(), path, "make");
  return {};
}

// Commits are named so by the hub; other tools have been seen to use other names.
bool IsSnapshotName(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos &&
         name.size() <= 100;
}

// Commit to the names of the refs that are at it.
std::map<std::string, std::vector<std::string>> Refs(const fs::path& repo) {
  std::map<std::string, std::vector<std::string>> refs;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(repo / "refs", error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file(error)) continue;
    refs[ReadRef(entry->path())].push_back(entry->path().lexically_relative(repo / "refs"));
  }
  for (auto& [commit, names] : refs) std::sort(names.begin(), names.end());
  return refs;
}

// What the links of a snapshot lead to: path to size and the time of the last use.
struct Blob {
  int64_t bytes = 0;
  int64_t used = 0;
};
std::map<fs::path, Blob> BlobsOf(const fs::path& snapshot) {
  std::map<fs::path, Blob> blobs;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(snapshot, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat status {};
    if (stat(entry->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    std::error_code unresolved;
    blobs[fs::canonical(entry->path(), unresolved)] = {
        status.st_size, std::max<int64_t>(status.st_atime, status.st_mtime)};
  }
  return blobs;
}

int64_t BytesUnder(const fs::path& dir) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && !entry->is_symlink(ignored)) {
      bytes += static_cast<int64_t>(entry->file_size(ignored));
    }
  }
  return bytes;
}

std::vector<fs::path> Snapshots(const fs::path& repo) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(repo / "snapshots", error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored) && IsSnapshotName(entry.path().filename())) {
      found.push_back(entry.path());
    }
  }
  return found;
}

Status RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return FileError(error.value(), path, "remove");
  return {};
}

}  // namespace

fs::path Cache::RepoDir(const std::string& id) const { return root_ / FolderName(id); }

fs::path Cache::BlobPath(const std::string& id, const std::string& etag) const {
  return RepoDir(id) / "blobs" / etag;
}

fs::path Cache::SnapshotDir(const std::string& id, const std::string& commit) const {
  return RepoDir(id) / "snapshots" / commit;
}

Result<FileLock> Cache::Lock(const std::string& id, const std::string& etag,
                             const std::function<void()>& on_wait) const {
  return FileLock::Acquire(root_ / ".locks" / FolderName(id) / (etag + ".lock"), on_wait);
}

std::optional<Snapshot> Cache::Find(const std::string& id, const std::string& revision) const {
  const std::string ref = ReadRef(RepoDir(id) / "refs" / revision);
  const std::string commit = ref.empty() ? revision : ref;
  if (!IsSnapshotName(commit)) return std::nullopt;
  const fs::path dir = SnapshotDir(id, commit);
  std::error_code error;
  if (!fs::is_directory(dir, error)) return std::nullopt;
  return Snapshot{dir, commit};
}

Status Cache::Link(const std::string& id, const std::string& commit, const std::string& file,
                   const std::string& etag) const {
  const fs::path dir = SnapshotDir(id, commit);
  BERTIE_RETURN_IF_ERROR(MakeFolders(dir));
  const fs::path target = fs::path("../../blobs") / etag;
  std::error_code error;
  if (fs::read_symlink(dir / file, error) == target) return {};
  // A name of this process alone, then a rename: a link that another wrote meanwhile is the same.
  const fs::path fresh = dir / ("." + file + ".new-" + std::to_string(getpid()));
  fs::remove(fresh, error);
  if (symlink(target.c_str(), fresh.c_str()) != 0) return FileError(errno, fresh, "make");
  if (rename(fresh.c_str(), (dir / file).c_str()) != 0) {
    const int failed = errno;
    fs::remove(fresh, error);
    return FileError(failed, dir / file, "make");
  }
  return {};
}

Status Cache::SetRef(const std::string& id, const std::string& revision,
                     const std::string& commit) const {
  if (revision == commit) return {};
  const fs::path path = RepoDir(id) / "refs" / revision;
  if (ReadRef(path) == commit) return {};
  BERTIE_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
  return WriteFileAtomically(path, commit);
}

void Cache::MarkAbsent(const std::string& id, const std::string& commit,
                       const std::string& file) const {
  const fs::path path = RepoDir(id) / ".no_exist" / commit / file;
  if (!MakeFolders(path.parent_path()).ok()) return;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd >= 0) close(fd);
}

void Cache::MarkUsed(const fs::path& snapshot) {
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_NOW},
                             {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  [[maybe_unused]] const int ignored =
      utimensat(AT_FDCWD, (snapshot / "config.json").c_str(), times, 0);
}

std::vector<CachedRevision> Cache::List() const {
  std::vector<CachedRevision> list;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    const std::string id = IdOf(entry.path().filename());
    if (id.empty()) continue;
    auto refs = Refs(entry.path());
    for (const fs::path& dir : Snapshots(entry.path())) {
      CachedRevision revision{id, dir.filename(), {}, dir};
      revision.refs = refs[revision.commit];
      for (const auto& [path, blob] : BlobsOf(dir)) {
        revision.bytes += blob.bytes;
        revision.last_used = std::max(revision.last_used, blob.used);
      }
      list.push_back(std::move(revision));
    }
  }
  std::sort(list.begin(), list.end(), [](const CachedRevision& a, const CachedRevision& b) {
    if (a.id != b.id) return a.id < b.id;
    return a.last_used != b.last_used ? a.last_used > b.last_used : a.commit < b.commit;
  });
  return list;
}

Result<Removed> Cache::Remove(const std::string& id, const std::string& revision) const {
  const fs::path repo = RepoDir(id);
  const std::vector<fs::path> snapshots = Snapshots(repo);
  std::error_code error;
  if (!fs::is_directory(repo, error)) {
    return Error{ErrorCode::kNotFound, "no model " + id + " in " + root_.string()};
  }
  Removed removed;
  // Refs go first and blobs last, so that what is left after a kill is still a cache.
  if (revision.empty()) {
    removed = {static_cast<int64_t>(snapshots.size()), BytesUnder(repo)};
    for (const char* part : {"refs", "snapshots", "blobs"}) {
      BERTIE_RETURN_IF_ERROR(RemoveAll(repo / part));
    }
    BERTIE_RETURN_IF_ERROR(RemoveAll(repo));
    BERTIE_RETURN_IF_ERROR(RemoveAll(root_ / ".locks" / FolderName(id)));
    return removed;
  }
  const std::optional<Snapshot> snapshot = Find(id, revision);
  if (!snapshot) {
    return Error{ErrorCode::kNotFound,
                 "no revision " + revision + " of " + id + " in " + root_.string()};
  }
  const auto blobs = BlobsOf(snapshot->dir);
  std::set<fs::path> kept;
  for (const fs::path& other : snapshots) {
    if (other == snapshot->dir) continue;
    for (const auto& [path, blob] : BlobsOf(other)) kept.insert(path);
  }
  auto refs = Refs(repo);
  for (const std::string& ref : refs[snapshot->commit]) {
    BERTIE_RETURN_IF_ERROR(RemoveAll(repo / "refs" / ref));
  }
  BERTIE_RETURN_IF_ERROR(RemoveAll(snapshot->dir));
  BERTIE_RETURN_IF_ERROR(RemoveAll(repo / ".no_exist" / snapshot->commit));
  removed.revisions = 1;
  for (const auto& [path, blob] : blobs) {
    if (kept.contains(path)) continue;
    BERTIE_RETURN_IF_ERROR(RemoveAll(path));
    removed.bytes += blob.bytes;
  }
  return removed;
}

std::string CommitOf(const fs::path& snapshot) {
  const fs::path dir = snapshot.has_filename() ? snapshot : snapshot.parent_path();
  const std::string commit = dir.filename().string();
  return dir.parent_path().filename() == "snapshots" && IsCommit(commit) ? commit : "";
}

std::string Sha256Of(const fs::path& file) {
  std::error_code error;
  const fs::path blob = fs::read_symlink(file, error);
  const std::string etag = blob.filename().string();
  const bool linked =
      !error && !CommitOf(file.parent_path()).empty() && blob == fs::path("../../blobs") / etag;
  return linked && IsSha256(etag) ? etag : "";
}

}  // namespace bertie::hub
