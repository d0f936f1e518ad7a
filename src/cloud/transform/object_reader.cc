#include "cloud/transform/object_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace bertie::cloud {

Outcome<ObjectReader> ObjectReader::Open(const ObjectStore& store, const ObjectFile& object,
                                         bool gzip, const std::filesystem::path& scratch) {
  ObjectReader reader;
  if (gzip) {
    ObjectFile copy = object;
    copy.path = "packed";
    if (Done done = CopyToFile(store, copy, scratch); !done.ok()) return done.error();
    BERTIE_ASSIGN_OR_RETURN(reader.packed_, OpenFile::Open(scratch / copy.path));
    std::error_code ignored;
    std::filesystem::remove(scratch / copy.path, ignored);
    BERTIE_ASSIGN_OR_RETURN(auto gunzip,
                            formats::Gunzip::Open(object.key, "", reader.packed_->fd()));
    reader.gunzip_ = std::move(gunzip);
    return reader;
  }
  auto found = store.Find(object.bucket, object.key);
  if (!found.ok()) return found.error();
  auto content = store.Read(*found, 0, found->size);
  if (!content.ok()) return content.error();
  reader.content_ = *std::move(content);
  return reader;
}

Result<size_t> ObjectReader::Read(std::span<char> to) {
  if (gunzip_) return gunzip_->Read(to);
  if (!content_.bytes.empty()) {
    const size_t size = content_.bytes.copy(to.data(), to.size());
    content_.bytes.erase(0, size);
    return size;
  }
  while (!content_.files.empty() && content_.files.front().size == 0) {
    content_.files.erase(content_.files.begin());
  }
  if (content_.files.empty()) return size_t{0};
  http::FilePiece& piece = content_.files.front();
  ssize_t got = 0;
  do {
    got = ::pread(piece.file->fd(), to.data(), std::min<uint64_t>(to.size(), piece.size),
                  static_cast<off_t>(piece.offset));
  } while (got < 0 && errno == EINTR);
  if (got < 0) return FileError(errno, "an object's file", "read");
  if (got == 0) return Error{ErrorCode::kInvalidData, "an object's file is too short"};
  piece.offset += static_cast<uint64_t>(got);
  piece.size -= static_cast<uint64_t>(got);
  return static_cast<size_t>(got);
}

}  // namespace bertie::cloud
