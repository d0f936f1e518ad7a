#include "formats/gunzip.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/file.h"

namespace bertie::formats {
namespace {

constexpr size_t kPiece = size_t{256} << 10;

struct Free {
  void operator()(archive* a) const { archive_read_free(a); }
};

}  // namespace

struct Gunzip::Impl {
  std::string name;
  std::string beginning;
  int fd = -1;
  int failed = 0;  // the system's reason
  bool empty = false;
  std::vector<char> piece = std::vector<char>(kPiece);
  std::unique_ptr<archive, Free> reader;

  static la_ssize_t OnRead(archive*, void* self_pointer, const void** data) {
    auto& self = *static_cast<Impl*>(self_pointer);
    if (!self.beginning.empty()) {
      self.piece.assign(self.beginning.begin(), self.beginning.end());
      self.beginning.clear();
      *data = self.piece.data();
      return static_cast<la_ssize_t>(self.piece.size());
    }
    self.piece.resize(kPiece);
    ssize_t got = 0;
    do {
      got = read(self.fd, self.piece.data(), self.piece.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) self.failed = errno;
    *data = self.piece.data();
    return got;
  }

  Error Failed() const {
    if (failed != 0) return FileError(failed, name, "read");
    const char* reason = archive_error_string(reader.get());
    return {ErrorCode::kIo, name + ": its gzip is damaged or cut short" +
                                (reason == nullptr ? "" : std::string(" (") + reason + ")")};
  }
};

bool LooksLikeGzip(std::string_view beginning) { return beginning.starts_with("\x1f\x8b"); }

Result<Gunzip> Gunzip::Open(const std::string& name, std::string beginning, int fd) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->beginning = std::move(beginning);
  impl->fd = fd;
  impl->reader.reset(archive_read_new());
  archive* reader = impl->reader.get();
  if (reader == nullptr) return Error{ErrorCode::kResourceExhausted, name + ": no memory"};
  archive_read_support_filter_gzip(reader);
  archive_read_support_format_raw(reader);
  archive_read_support_format_empty(reader);
  archive_entry* entry = nullptr;
  if (archive_read_open(reader, impl.get(), nullptr, Impl::OnRead, nullptr) != ARCHIVE_OK) {
    return impl->Failed();
  }
  const int found = archive_read_next_header(reader, &entry);
  if (found != ARCHIVE_OK && found != ARCHIVE_EOF) return impl->Failed();
  impl->empty = found == ARCHIVE_EOF;
  // The raw format takes anything, also what no filter has unpacked.
  if (archive_filter_code(reader, 0) != ARCHIVE_FILTER_GZIP) return impl->Failed();
  return Gunzip(std::move(impl));
}

Gunzip::Gunzip(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gunzip::Gunzip(Gunzip&&) noexcept = default;
Gunzip& Gunzip::operator=(Gunzip&&) noexcept = default;
Gunzip::~Gunzip() = default;

Result<size_t> Gunzip::Read(std::span<char> to) {
  if (impl_->empty) return size_t{0};
  const la_ssize_t got = archive_read_data(impl_->reader.get(), to.data(), to.size());
  if (got < 0) return impl_->Failed();
  return static_cast<size_t>(got);
}

}  // namespace bertie::formats
