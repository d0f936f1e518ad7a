#include "accelerator/model_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "accelerator/sizes.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/sha256.h"

namespace bertie::accelerator {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = ".manifest";
constexpr const char* kPartPrefix = ".part-";
constexpr uint64_t kMaxManifestBytes = 1 << 20;

std::optional<ModelManifest> ParseManifest(std::string_view text, const std::string& hash) {
  ModelManifest manifest;
  manifest.content_hash = hash;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || end < 66) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    ModelFile file;
    file.sha256 = line.substr(0, 64);
    const auto [after, error] =
        std::from_chars(line.data() + 65, line.data() + line.size(), file.size);
    if (error != std::errc() || after == line.data() + line.size()) return std::nullopt;
    file.name = line.substr(static_cast<size_t>(after - line.data()) + 1);
    manifest.files.push_back(std::move(file));
    text.remove_prefix(end + 1);
  }
  if (!CheckManifest(manifest).ok()) return std::nullopt;
  return manifest;
}

uint64_t SizeOf(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

fs::path PartOf(const fs::path& dir, const std::string& name) { return dir / (kPartPrefix + name); }

uint64_t TotalSize(const ModelManifest& manifest) {
  uint64_t bytes = 0;
  for (const ModelFile& file : manifest.files) bytes += file.size;
  return bytes;
}

StoredFile StateOf(const fs::path& dir, const ModelFile& file) {
  std::error_code error;
  if (fs::exists(dir / file.name, error)) return {file.name, file.size, true};
  return {file.name, std::min(SizeOf(PartOf(dir, file.name)), file.size), false};
}

StoredModel StateOf(const fs::path& dir, const ModelManifest& manifest) {
  StoredModel state;
  state.complete = true;
  for (const ModelFile& file : manifest.files) {
    state.files.push_back(StateOf(dir, file));
    state.complete = state.complete && state.files.back().complete;
  }
  return state;
}

// The time of the manifest's last change tells when a model was last asked for.
void Touch(const fs::path& dir) {
  std::error_code error;
  fs::last_write_time(dir / kManifest, fs::file_time_type::clock::now(), error);
}

uint64_t FreeBytes(const fs::path& dir) {
  struct statvfs info = {};
  if (statvfs(dir.c_str(), &info) != 0) return UINT64_MAX;
  return uint64_t{info.f_bavail} * info.f_frsize;
}

Error DiskError(int errno_value, const fs::path& path) {
  Error error = FileError(errno_value, path, "write");
  if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG) {
    error.code = ErrorCode::kResourceExhausted;
  }
  return error;
}

}  // namespace

struct ModelStore::Lock {
  explicit Lock(int descriptor) : fd(descriptor) {}
  ~Lock() { close(fd); }
  const int fd;
};

struct ModelStore::Upload::State {
  State(ModelStore& of, std::string model, ModelFile made_for)
      : store(of), hash(std::move(model)), file(std::move(made_for)) {}
  ~State() {
    if (fd >= 0) close(fd);
    {
      std::lock_guard lock(store.mutex_);
      store.arriving_.erase(part);
    }
    store.Unpin(hash);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  ModelStore& store;
  const std::string hash;
  const ModelFile file;
  fs::path dir;
  fs::path part;
  int fd = -1;
  uint64_t received = 0;
  Sha256 sha256;
};

ModelStore::Upload::Upload(std::unique_ptr<State> state) : state_(std::move(state)) {}
ModelStore::Upload::~Upload() = default;

Status ModelStore::Upload::Write(std::string_view bytes) {
  State& s = *state_;
  if (bytes.size() > s.file.size - s.received) {
    return Error{ErrorCode::kInvalidData, Quote(s.file.name) + ": found more than its " +
                                              std::to_string(s.file.size) + " bytes"};
  }
  while (!bytes.empty()) {
    const ssize_t written = write(s.fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return DiskError(errno, s.part);
    s.sha256.Update(bytes.substr(0, static_cast<size_t>(written)));
    s.received += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<StoredFile> ModelStore::Upload::Finish() {
  State& s = *state_;
  if (s.received < s.file.size) return StoredFile{s.file.name, s.received, false};
  const std::string found = s.sha256.Finish();
  if (found != s.file.sha256) {
    unlink(s.part.c_str());
    return Error{ErrorCode::kInvalidData, Quote(s.file.name) + ": what arrived has the SHA-256 " +
                                              found + "; expected " + s.file.sha256 +
                                              ". It was dropped: send it again from the start"};
  }
  if (fsync(s.fd) != 0) return DiskError(errno, s.part);
  if (rename(s.part.c_str(), (s.dir / s.file.name).c_str()) != 0) return DiskError(errno, s.part);
  BERTIE_RETURN_IF_ERROR(SyncDirectory(s.dir));
  return StoredFile{s.file.name, s.received, true};
}

ModelStore::ModelStore(ModelStoreOptions options) : options_(std::move(options)) {}
ModelStore::~ModelStore() = default;

Result<std::unique_ptr<ModelStore>> ModelStore::Open(ModelStoreOptions options) {
  std::error_code error;
  fs::create_directories(options.dir, error);
  if (error) {
    return Error{ErrorCode::kIo, options.dir.string() + ": cannot make it: " + error.message()};
  }
  std::unique_ptr<ModelStore> store(new ModelStore(std::move(options)));
  const fs::path lock = store->dir() / ".lock";
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(errno, lock, "open");
  store->lock_ = std::make_unique<Lock>(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Error{ErrorCode::kUnavailable, store->dir().string() +
                                              ": another accelerator keeps its models there; give "
                                              "this one a folder of its own with --store"};
  }
  store->Sweep();
  return store;
}

// Only what this store made is removed: somebody may have named a folder of theirs.
void ModelStore::Sweep() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.dir, error)) {
    const std::string name = entry.path().filename();
    if (!IsSha256(name) || !entry.is_directory(error)) continue;
    auto manifest = ReadManifest(name);
    if (!manifest.ok()) {
      fs::remove_all(entry.path(), error);
      continue;
    }
    std::set<std::string> known = {kManifest};
    for (const ModelFile& file : manifest->files) {
      known.insert(file.name);
      known.insert(kPartPrefix + file.name);
      // Where the power went, a file may be there in name only.
      if (SizeOf(entry.path() / file.name) != file.size) {
        fs::remove(entry.path() / file.name, error);
      }
    }
    for (const auto& file : fs::directory_iterator(entry.path(), error)) {
      if (!known.contains(file.path().filename())) fs::remove_all(file.path(), error);
    }
  }
}

Result<ModelManifest> ModelStore::ReadManifest(const std::string& hash) const {
  Error missing{ErrorCode::kNotFound, "the accelerator has no place for the model " + Quote(hash) +
                                          ": ask with FindModel first"};
  if (!IsSha256(hash)) return missing;
  auto text = ReadFile(options_.dir / hash / kManifest, kMaxManifestBytes);
  if (!text.ok()) return missing;
  auto manifest = ParseManifest(*text, hash);
  if (!manifest) return missing;
  return *std::move(manifest);
}

uint64_t ModelStore::BytesMissing(const ModelManifest& manifest) const {
  uint64_t bytes = 0;
  const fs::path dir = options_.dir / manifest.content_hash;
  for (const ModelFile& file : manifest.files) bytes += file.size - StateOf(dir, file).received;
  return bytes;
}

Status ModelStore::MakeRoom(const ModelManifest& manifest) {
  struct Other {
    fs::file_time_type used;
    fs::path dir;
    uint64_t bytes;
    bool held;
  };
  std::vector<Other> others;
  uint64_t total = TotalSize(manifest);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.dir, error)) {
    const std::string name = entry.path().filename();
    if (name == manifest.content_hash) continue;
    auto other = ReadManifest(name);
    if (!other.ok()) continue;
    others.push_back({fs::last_write_time(entry.path() / kManifest, error), entry.path(),
                      TotalSize(*other), pins_.contains(name)});
    total += others.back().bytes;
  }
  std::sort(others.begin(), others.end(),
            [](const Other& a, const Other& b) { return a.used < b.used; });
  const uint64_t missing = BytesMissing(manifest);
  for (const Other& other : others) {
    if (total <= options_.max_bytes && missing <= FreeBytes(options_.dir)) return {};
    if (other.held) continue;
    fs::remove_all(other.dir, error);
    total -= other.bytes;
  }
  if (total > options_.max_bytes) {
    return Error{ErrorCode::kResourceExhausted,
                 "the model's files need " + FormatGigabytes(TotalSize(manifest)) +
                     "; the accelerator's store keeps " + FormatGigabytes(options_.max_bytes) +
                     " (--store-size), and " + FormatGigabytes(total - TotalSize(manifest)) +
                     " of that are in use"};
  }
  if (const uint64_t free = FreeBytes(options_.dir); missing > free) {
    return Error{ErrorCode::kResourceExhausted,
                 "the model's files need " + FormatGigabytes(missing) +
                     " more; the accelerator's disk has " + FormatGigabytes(free)};
  }
  return {};
}

Result<StoredModel> ModelStore::Find(const ModelManifest& manifest) {
  BERTIE_RETURN_IF_ERROR(CheckManifest(manifest));
  std::lock_guard lock(mutex_);
  const fs::path dir = options_.dir / manifest.content_hash;
  if (!ReadManifest(manifest.content_hash).ok()) {
    BERTIE_RETURN_IF_ERROR(MakeRoom(manifest));
    std::error_code error;
    fs::create_directory(dir, error);
    if (error) return Error{ErrorCode::kIo, dir.string() + ": cannot make it: " + error.message()};
    BERTIE_RETURN_IF_ERROR(WriteFileAtomically(dir / kManifest, ManifestText(manifest.files)));
    BERTIE_RETURN_IF_ERROR(SyncDirectory(options_.dir));
  }
  Touch(dir);
  return StateOf(dir, manifest);
}

Result<std::unique_ptr<ModelStore::Upload>> ModelStore::BeginUpload(const std::string& content_hash,
                                                                    const std::string& name,
                                                                    uint64_t offset) {
  std::unique_ptr<Upload::State> state;
  {
    std::lock_guard lock(mutex_);
    BERTIE_ASSIGN_OR_RETURN(const ModelManifest manifest, ReadManifest(content_hash));
    const auto file = std::find_if(manifest.files.begin(), manifest.files.end(),
                                   [&](const ModelFile& f) { return f.name == name; });
    if (file == manifest.files.end()) {
      return Error{ErrorCode::kNotFound, "the model has no file " + Quote(name)};
    }
    const fs::path dir = options_.dir / content_hash;
    const fs::path part = PartOf(dir, name);
    if (arriving_.contains(part)) {
      return Error{ErrorCode::kUnavailable,
                   Quote(name) + " is being sent by somebody else; ask with FindModel later"};
    }
    const StoredFile found = StateOf(dir, *file);
    if (found.complete || found.received != offset) {
      return Error{ErrorCode::kInvalidArgument,
                   Quote(name) + ": found the offset " + std::to_string(offset) + "; " +
                       (found.complete ? "the file is complete"
                                       : "expected " + std::to_string(found.received))};
    }
    arriving_.insert(part);
    ++pins_[content_hash];
    state = std::make_unique<Upload::State>(*this, content_hash, *file);
    state->dir = dir;
    state->part = part;
  }
  state->fd = open(state->part.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (state->fd < 0) return FileError(errno, state->part, "open");
  // The hash goes over the whole file: what arrived earlier is read again.
  std::vector<char> buffer(1 << 20);
  while (state->received < offset) {
    const size_t want = std::min<uint64_t>(buffer.size(), offset - state->received);
    const ssize_t got = read(state->fd, buffer.data(), want);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return FileError(got < 0 ? errno : EIO, state->part, "read");
    state->sha256.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
    state->received += static_cast<uint64_t>(got);
  }
  return std::unique_ptr<Upload>(new Upload(std::move(state)));
}

Result<std::unique_ptr<ModelStore::Pin>> ModelStore::Acquire(const std::string& content_hash) {
  ModelManifest manifest;
  std::unique_ptr<Pin> pin;
  {
    std::lock_guard lock(mutex_);
    BERTIE_ASSIGN_OR_RETURN(manifest, ReadManifest(content_hash));
    if (!StateOf(options_.dir / content_hash, manifest).complete) {
      return Error{ErrorCode::kNotFound, "the model " + Quote(content_hash, 64) +
                                             " has not arrived whole: send its files first"};
    }
    ++pins_[content_hash];
    pin = std::make_unique<Pin>(*this, content_hash);
    Touch(pin->dir());
  }
  for (const ModelFile& file : manifest.files) {
    const fs::path path = pin->dir() / file.name;
    BERTIE_ASSIGN_OR_RETURN(const std::string found, Sha256OfFile(path));
    if (found == file.sha256) continue;
    std::error_code error;
    fs::remove(path, error);
    return Error{ErrorCode::kInvalidData,
                 "the accelerator's copy of " + Quote(file.name) +
                     " was damaged on its disk and has been dropped: send it again"};
  }
  return pin;
}

void ModelStore::Unpin(const std::string& hash) {
  std::lock_guard lock(mutex_);
  if (const auto pin = pins_.find(hash); --pin->second == 0) pins_.erase(pin);
}

}  // namespace bertie::accelerator
