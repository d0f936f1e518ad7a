#include "base/sha256.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/file.h"

namespace bertie {

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> Sha256OfFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, path, "open");
  Sha256 sha;
  std::vector<std::byte> piece(size_t{1} << 20);
  ssize_t got = 0;
  int failed = 0;
  do {
    got = ::read(fd, piece.data(), piece.size());
    if (got > 0) sha.Update(std::span(piece).first(static_cast<size_t>(got)));
    failed = got < 0 ? errno : 0;
  } while (got > 0 || failed == EINTR);
  ::close(fd);
  if (failed != 0) return FileError(failed, path, "read");
  return sha.Finish();
}

}  // namespace bertie
