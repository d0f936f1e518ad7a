#include "train/checkpoint_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/elapsed.h"
#include "base/file.h"

namespace bertie::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "step-";

// Nine digits keep a listing in order; more are read too.
std::string FolderName(int64_t step) {
  char name[40];
  std::snprintf(name, sizeof(name), "%s%09lld", kPrefix, static_cast<long long>(step));
  return name;
}

// The number behind "step-", or nullopt.
std::optional<int64_t> StepOf(const std::string& name) {
  const std::string digits = name.starts_with(kPrefix) ? name.substr(5) : "";
  if (digits.empty() || digits.size() > 18) return std::nullopt;
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::stoll(digits);
}

int64_t FolderBytes(const fs::path& dir) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (const auto size = it->file_size(error); !error) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

// Out of sight at once, so that a crash in the middle leaves no folder that looks like a
// checkpoint.
void RemoveCheckpoint(const fs::path& dir) {
  const fs::path hidden = dir.parent_path() / ("." + dir.filename().string() + ".old-removed");
  std::error_code ignored;
  fs::remove_all(hidden, ignored);
  fs::rename(dir, hidden, ignored);
  fs::remove_all(hidden, ignored);
}

}  // namespace

Result<CheckpointStore> CheckpointStore::Open(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return FileError(error.value(), folder, "create the folder of checkpoints");
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, folder, "open");
  CheckpointStore store(folder, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return Error{ErrorCode::kUnavailable,
                 folder.string() +
                     ": another run is writing its checkpoints here; wait for its "
                     "end, or choose another --out"};
  }
  RemoveAbandonedFolders(folder, std::string(".") + kPrefix);
  return store;
}

CheckpointStore::CheckpointStore(CheckpointStore&& other) noexcept
    : folder_(std::move(other.folder_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

CheckpointStore& CheckpointStore::operator=(CheckpointStore&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(lock_fd_, other.lock_fd_);
  return *this;
}

CheckpointStore::~CheckpointStore() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

std::vector<CheckpointStore::Entry> CheckpointStore::List(const fs::path& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto step = StepOf(it->path().filename().string());
    std::error_code unreadable;
    if (step && it->is_directory(unreadable)) entries.push_back({it->path(), *step});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.step > b.step; });
  return entries;
}

std::optional<CheckpointStore::Entry> CheckpointStore::FindNewest(
    const fs::path& folder, const std::function<void(const Error&)>& damaged) {
  for (const Entry& entry : List(folder)) {
    Status whole = VerifyCheckpoint(entry.dir);
    if (whole.ok()) {
      if (auto state = ReadCheckpointState(entry.dir); state.ok()) return entry;
      whole = ReadCheckpointState(entry.dir).error();
    }
    damaged(whole.error());
  }
  return std::nullopt;
}

Result<CheckpointStore::Saved> CheckpointStore::Save(const TrainingState& run,
                                                     const RunIdentity& identity,
                                                     const text::Tokenizer& tokenizer,
                                                     int64_t keep) {
  const auto start = std::chrono::steady_clock::now();
  Saved saved;
  saved.dir = folder_ / FolderName(run.position.step);
  {
    BERTIE_ASSIGN_OR_RETURN(AtomicDirectory dir, AtomicDirectory::Create(saved.dir));
    BERTIE_RETURN_IF_ERROR(WriteCheckpointFiles(dir.path(), run, identity, tokenizer));
    BERTIE_RETURN_IF_ERROR(dir.Commit([](const std::string&) { return true; }));
  }
  Prune(run.position.step, keep);
  saved.bytes = FolderBytes(saved.dir);
  saved.seconds = SecondsSince(start);
  return saved;
}

void CheckpointStore::Prune(int64_t newest_step, int64_t keep) const {
  int64_t kept = 0;
  for (const Entry& entry : List(folder_)) {
    if (entry.step > newest_step) continue;  // of a later time, before this run went back
    if (++kept > std::max<int64_t>(1, keep)) RemoveCheckpoint(entry.dir);
  }
}

void CheckpointStore::Clear() {
  for (const Entry& entry : List(folder_)) RemoveCheckpoint(entry.dir);
}

CheckpointSchedule::CheckpointSchedule(int64_t steps, double minutes)
    : steps_(steps), minutes_(minutes), last_(Clock::now()) {}

bool CheckpointSchedule::IsDue(Boundary boundary, const Position& position) const {
  if (boundary != Boundary::kStep) return true;
  if (steps_ > 0 && position.step % steps_ == 0) return true;
  return minutes_ > 0 && SecondsSince(last_) >= 60 * minutes_;
}

void CheckpointSchedule::Written() { last_ = Clock::now(); }

}  // namespace bertie::train
