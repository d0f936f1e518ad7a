#include "formats/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/file.h"
#include "base/quote.h"

namespace bertie::formats {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kMaxTarNameBytes = 4'096;
constexpr size_t kMaxNameParts = 32;
// Before this much is out, a good ratio means nothing: config.json alone packs well.
constexpr int64_t kTarRatioFrom = int64_t{64} << 20;

struct ReadFree {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct WriteFree {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct EntryFree {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Reader = std::unique_ptr<archive, ReadFree>;
using Writer = std::unique_ptr<archive, WriteFree>;
using OwnedEntry = std::unique_ptr<archive_entry, EntryFree>;

std::string Reason(archive* a) {
  const char* text = archive_error_string(a);
  return text != nullptr ? text : "unknown fault";
}

// ---- writing

// Where libarchive's output goes, and the error that stopped it.
struct Sink {
  AtomicFile* file;
  Status status;
};

la_ssize_t WriteToSink(archive*, void* data, const void* bytes, size_t size) {
  auto* sink = static_cast<Sink*>(data);
  sink->status = sink->file->Write({static_cast<const std::byte*>(bytes), size});
  return sink->status.ok() ? static_cast<la_ssize_t>(size) : -1;
}

class TarWriter {
 public:
  explicit TarWriter(const fs::path& target) : target_(target) {}

  Status Write(const std::vector<TarEntry>& entries) {
    BERTIE_ASSIGN_OR_RETURN(file_, AtomicFile::Create(target_));
    sink_.file = &*file_;
    archive_.reset(archive_write_new());
    if (!archive_) return Error{ErrorCode::kResourceExhausted, target_.string() + ": no memory"};
    archive* a = archive_.get();
    // The restricted form is plain ustar wherever that can hold the entry.
    BERTIE_RETURN_IF_ERROR(Check(archive_write_set_format_pax_restricted(a)));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_add_filter_gzip(a)));
    // Weights hardly compress: on MiniLM level 1 takes 78 % of the default level's time and gives
    // 0.4 % more bytes.
    BERTIE_RETURN_IF_ERROR(
        Check(archive_write_set_filter_option(a, "gzip", "compression-level", "1")));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_set_filter_option(a, "gzip", "timestamp", nullptr)));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_set_bytes_in_last_block(a, 1)));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_open(a, &sink_, nullptr, WriteToSink, nullptr)));
    for (const TarEntry& entry : entries) BERTIE_RETURN_IF_ERROR(WriteEntry(entry));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_close(a)));
    return file_->Commit();
  }

 private:
  Status Check(int result) const {
    if (result == ARCHIVE_OK) return {};
    if (!sink_.status.ok()) return sink_.status;
    return Error{ErrorCode::kIo,
                 target_.string() + ": cannot write the archive: " + Reason(archive_.get())};
  }

  Status WriteEntry(const TarEntry& entry) {
    BERTIE_ASSIGN_OR_RETURN(const auto content, MappedFile::Open(entry.path));
    const OwnedEntry header(archive_entry_new());
    archive_entry_set_pathname(header.get(), entry.name.c_str());
    archive_entry_set_filetype(header.get(), AE_IFREG);
    archive_entry_set_perm(header.get(), 0644);
    archive_entry_set_mtime(header.get(), 0, 0);
    archive_entry_set_size(header.get(), static_cast<int64_t>(content->bytes().size()));
    BERTIE_RETURN_IF_ERROR(Check(archive_write_header(archive_.get(), header.get())));
    for (auto rest = content->bytes(); !rest.empty();) {
      const auto piece = rest.first(std::min(rest.size(), kBlockBytes));
      if (archive_write_data(archive_.get(), piece.data(), piece.size()) < 0) {
        return Check(ARCHIVE_FATAL);
      }
      rest = rest.subspan(piece.size());
    }
    return content->CheckUnchanged();
  }

  const fs::path& target_;
  std::optional<AtomicFile> file_;
  Sink sink_{nullptr, {}};
  Writer archive_;  // after what it writes to, since even giving up flushes what it holds
};

// ---- reading

// An entry's name as its parts, checked. "./" and doubled slashes mean nothing; "/" alone, as
// SageMaker's SDK calls the folder that it packs, is the archive's own.
Result<std::vector<std::string>> SplitName(std::string_view name) {
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidData, "the name " + Quote(name) + " " + what};
  };
  if (name.size() > kMaxTarNameBytes) return bad("is too long");
  if (name.starts_with('/') && name.find_first_not_of('/') != name.npos) return bad("is absolute");
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "..") return bad("has a '..'");
    if (!part.empty() && part != ".") parts.emplace_back(part);
    begin = end + 1;
  }
  if (parts.size() > kMaxNameParts) return bad("has too many folders");
  return parts;
}

class Extractor {
 public:
  Extractor(const fs::path& archive, const fs::path& root, const ExtractLimits& limits)
      : where_(archive.string()), root_(root), limits_(limits) {}

  Status Run() {
    root_fd_ = Fd(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root_fd_.get() < 0) return FileError(errno, root_, "open");
    BERTIE_RETURN_IF_ERROR(OpenArchive());
    for (int64_t count = 0;; ++count) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(archive_.get(), &entry);
      if (result == ARCHIVE_EOF) return CheckFound(count);
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Broken();
      if (count == limits_.max_entries) {
        return Error{ErrorCode::kResourceExhausted,
                     where_ + ": more than " + std::to_string(count) + " entries"};
      }
      if (Status status = ExtractEntry(entry); !status.ok()) {
        return status.error().WithContext(where_);
      }
    }
  }

 private:
  Status OpenArchive() {
    archive_.reset(archive_read_new());
    if (!archive_) return Error{ErrorCode::kResourceExhausted, where_ + ": no memory"};
    archive* a = archive_.get();
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    // So that a file of no bytes gets a message of its own and not "unrecognized format".
    archive_read_support_format_empty(a);
    if (archive_read_open_filename(a, where_.c_str(), kBlockBytes) != ARCHIVE_OK) {
      if (::access(where_.c_str(), R_OK) != 0) return FileError(errno, where_, "open");
      return Broken();
    }
    return {};
  }

  Error Broken() const {
    return {ErrorCode::kInvalidData,
            where_ + ": not a whole tar archive: " + Reason(archive_.get())};
  }

  Status CheckFound(int64_t entries) const {
    if (entries > 0) return {};
    return Error{ErrorCode::kInvalidData, where_ + ": found no entries, expected a tar archive"};
  }

  Status ExtractEntry(archive_entry* entry) {
    // The first is null where the locale cannot show a name that the archive has in UTF-8.
    const char* raw_name = archive_entry_pathname(entry);
    if (raw_name == nullptr) raw_name = archive_entry_pathname_utf8(entry);
    if (raw_name == nullptr) return Error{ErrorCode::kInvalidData, "an entry without a name"};
    const std::string_view name(raw_name);
    BERTIE_ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitName(name));
    const bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    if (archive_entry_hardlink(entry) != nullptr || archive_entry_symlink(entry) != nullptr ||
        (!folder && archive_entry_filetype(entry) != AE_IFREG)) {
      return Error{ErrorCode::kInvalidData, "the entry " + Quote(name) +
                                                " is a link or a device, expected files and "
                                                "folders only"};
    }
    BERTIE_ASSIGN_OR_RETURN(
        const Fd parent,
        OpenFolder({parts.data(), parts.size() - (folder || parts.empty() ? 0 : 1)}));
    if (folder) return {};
    if (parts.empty()) return Error{ErrorCode::kInvalidData, "a file without a name"};
    if (archive_entry_size(entry) > limits_.max_bytes - written_) return OverBytes();
    return WriteFile(parent, parts.back());
  }

  // Walks down from the root, making what is not there. Since nothing here makes links, O_NOFOLLOW
  // only guards against somebody else's.
  Result<Fd> OpenFolder(std::span<const std::string> parts) const {
    Fd folder(::fcntl(root_fd_.get(), F_DUPFD_CLOEXEC, 0));
    for (const std::string& part : parts) {
      if (::mkdirat(folder.get(), part.c_str(), 0755) != 0 && errno != EEXIST) {
        return FileError(errno, root_ / part, "create a folder");
      }
      folder =
          Fd(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (folder.get() < 0) return FileError(errno, root_ / part, "open as a folder");
    }
    return folder;
  }

  Status WriteFile(const Fd& parent, const std::string& name) {
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      return FileError(errno, root_ / name, "replace");
    }
    const Fd file(::openat(parent.get(), name.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (file.get() < 0) return FileError(errno, root_ / name, "create");
    for (;;) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(archive_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) return {};
      if (result != ARCHIVE_OK) {
        return Error{ErrorCode::kInvalidData,
                     "cannot read the entry " + Quote(name) + ": " + Reason(archive_.get())};
      }
      BERTIE_RETURN_IF_ERROR(Count(static_cast<int64_t>(size), offset));
      BERTIE_RETURN_IF_ERROR(
          WriteAt(file, {static_cast<const std::byte*>(data), size}, offset, name));
    }
  }

  Error OverBytes() const {
    return {ErrorCode::kResourceExhausted,
            "unpacks to more than " + std::to_string(limits_.max_bytes) + " bytes"};
  }

  // offset is beyond what was written where the archive stores a file with holes.
  Status Count(int64_t size, int64_t offset) {
    written_ += size;
    if (written_ > limits_.max_bytes || offset > limits_.max_bytes - size) return OverBytes();
    const int64_t in = std::max<int64_t>(1, archive_filter_bytes(archive_.get(), -1));
    if (written_ > kTarRatioFrom && written_ / in > limits_.max_ratio) {
      return Error{
          ErrorCode::kResourceExhausted,
          "unpacks to more than " + std::to_string(limits_.max_ratio) + " times its own size"};
    }
    return {};
  }

  Status WriteAt(const Fd& file, std::span<const std::byte> bytes, int64_t offset,
                 const std::string& name) const {
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(file.get(), bytes.data(), bytes.size(), offset);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return FileError(errno, root_ / name, "write");
      bytes = bytes.subspan(static_cast<size_t>(wrote));
      offset += wrote;
    }
    return {};
  }

  const std::string where_;
  const fs::path& root_;
  const ExtractLimits& limits_;
  Fd root_fd_;
  Reader archive_;
  int64_t written_ = 0;
};

}  // namespace

Status WriteTarGz(const fs::path& target, std::vector<TarEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const TarEntry& a, const TarEntry& b) { return a.name < b.name; });
  return TarWriter(target).Write(entries);
}

Status ExtractTar(const fs::path& archive, const fs::path& root, const ExtractLimits& limits) {
  return Extractor(archive, root, limits).Run();
}

}  // namespace bertie::formats
