#include "cloud/processes/stamped_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/fd.h"
#include "base/file.h"

namespace bertie::cloud {
namespace {

// The time in front of a line, which is taken away from it; nullopt where there is none.
std::optional<Milliseconds> TakeStamp(std::string_view& line) {
  if (line.size() < kStampSize || line[kStampSize - 1] != ' ') return std::nullopt;
  Milliseconds time = 0;
  for (const char digit : line.substr(0, kStampSize - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    time = time * 10 + (digit - '0');
  }
  line.remove_prefix(kStampSize);
  return time;
}

// Where the first whole line begins at an offset or after it: behind the dropped lines and what is
// left of the last of them.
uint64_t PastDropped(int file, uint64_t offset) {
  char bytes[4096];
  // ENXIO: nothing is after it; otherwise a file system that does not tell holes from zeros.
  const off_t data = ::lseek(file, static_cast<off_t>(offset), SEEK_DATA);
  const bool in_hole = data > static_cast<off_t>(offset);
  uint64_t at = in_hole ? static_cast<uint64_t>(data) : offset;
  bool text = false;
  while (true) {
    const ssize_t size = ::pread(file, bytes, sizeof(bytes), static_cast<off_t>(at));
    if (size <= 0) return at;
    const std::string_view rest(bytes, static_cast<size_t>(size));
    if (!in_hole && at == offset && rest[0] != '\0') return offset;
    const size_t begin = text ? 0 : rest.find_first_not_of('\0');
    text = begin != rest.npos;
    const size_t end = text ? rest.find('\n', begin) : rest.npos;
    if (end != rest.npos) return at + end + 1;
    at += rest.size();
  }
}

}  // namespace

void WriteStamp(int64_t time, char* to) {
  for (size_t at = kStampSize - 1; at-- > 0;) {
    to[at] = static_cast<char>('0' + time % 10);
    time /= 10;
  }
  to[kStampSize - 1] = ' ';
}

Status AppendToLog(const std::filesystem::path& path, std::string_view text) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) return FileError(errno, path, "open");
  char stamp[kStampSize];
  WriteStamp(Now(), stamp);
  std::string lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    do {
      lines.append(stamp, kStampSize);
      lines.append(line.substr(0, kMaxLogLine));
      lines += '\n';
      line.remove_prefix(std::min(kMaxLogLine, line.size()));
    } while (!line.empty());
  }
  return WriteAll(file.get(), lines, path);
}

Result<uint64_t> ReadLog(const std::filesystem::path& path, uint64_t offset,
                         const std::function<bool(const LogLine&)>& take) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) return offset;
    return FileError(errno, path, "open");
  }
  offset = PastDropped(file.get(), offset);
  std::string held(256 * 1024, '\0');
  Milliseconds last = 0;
  while (true) {
    const ssize_t size = ::pread(file.get(), held.data(), held.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return FileError(errno, path, "read");
    std::string_view rest(held.data(), static_cast<size_t>(size));
    const uint64_t begin = offset;
    for (size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
      LogLine line{.time = last, .text = rest.substr(0, end), .begin = offset};
      line.end = offset = line.begin + end + 1;
      rest.remove_prefix(end + 1);
      line.time = last = TakeStamp(line.text).value_or(last);
      if (!take(line)) return offset;
    }
    if (offset == begin) return offset;  // no whole line more
  }
}

}  // namespace bertie::cloud
