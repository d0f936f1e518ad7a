#include "train/history.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "formats/json.h"
#include "train/figures.h"

namespace bertie::train {
namespace {

std::string ValueToJson(const HistoryValue& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const std::string* text = std::get_if<std::string>(&value)) return formats::DumpJson(*text);
  const double number = std::get<double>(value);
  if (!std::isfinite(number)) return "null";
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

// The length of the file up to and including its last line end.
Result<off_t> WholeLines(int fd, const std::filesystem::path& path) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) return FileError(errno, path, "find the end");
  char block[4096];
  while (end > 0) {
    const off_t begin = end > off_t{sizeof(block)} ? end - off_t{sizeof(block)} : 0;
    const ssize_t got = pread(fd, block, static_cast<size_t>(end - begin), begin);
    if (got < 0 && errno == EINTR) continue;
    if (got != end - begin) return FileError(got < 0 ? errno : EIO, path, "read");
    const size_t last = std::string_view(block, static_cast<size_t>(got)).rfind('\n');
    if (last != std::string_view::npos) return begin + static_cast<off_t>(last) + 1;
    end = begin;
  }
  return off_t{0};
}

// Whether the run had written the line by the time it stood at position.
bool WasWritten(const formats::Json& event, const Position& position) {
  if (!event.is_object()) return true;
  const auto integer = [&](const char* key) {
    const auto found = event.find(key);
    return found != event.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  if (event.value("event", formats::Json()) == "epoch") return integer("epoch") < position.epoch;
  return integer("step") <= position.step;
}

// A line that is not JSON is somebody's, and stays; a last one without its end was cut by a crash.
std::string KeepWritten(std::string_view text, const Position& position) {
  std::string kept;
  std::string run;  // lines since the last "start"
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(begin, end + 1 - begin);
    begin = end + 1;
    const auto event = formats::ParseJson(line, "history");
    if (event.ok() && event->is_object() && event->value("event", formats::Json()) == "start") {
      kept = text.substr(0, end + 1 - line.size());
      run.clear();
    }
    if (!event.ok() || WasWritten(*event, position)) run += line;
  }
  return kept + run;
}

}  // namespace

Status RewindHistory(const std::filesystem::path& path, const Position& position) {
  constexpr uint64_t kMost = uint64_t{1} << 30;
  auto text = ReadFile(path, kMost);
  if (!text.ok() && text.error().code == ErrorCode::kNotFound) return {};
  if (!text.ok()) return text.error();
  std::string kept = KeepWritten(*text, position);
  return kept == *text ? Status() : WriteFileAtomically(path, kept);
}

HistoryEvent& HistoryEvent::Add(std::string key, HistoryValue value) {
  members_.emplace_back(std::move(key), std::move(value));
  return *this;
}
HistoryEvent& HistoryEvent::Set(std::string key, bool value) { return Add(std::move(key), value); }
HistoryEvent& HistoryEvent::Set(std::string key, int64_t value) {
  return Add(std::move(key), value);
}
HistoryEvent& HistoryEvent::Set(std::string key, double value) {
  return Add(std::move(key), value);
}
HistoryEvent& HistoryEvent::Set(std::string key, std::string value) {
  return Add(std::move(key), std::move(value));
}

HistoryEvent& HistoryEvent::SetMetrics(const std::string& prefix, const Metrics& metrics) {
  for (const Figure& figure : Figures(metrics)) Set(prefix + figure.key, figure.value);
  return Set(prefix + "examples", metrics.examples);
}

std::string HistoryEvent::ToJson() const {
  std::string text = "{";
  for (const auto& [key, value] : members_) {
    if (text.size() > 1) text += ',';
    text += formats::DumpJson(key);
    text += ':';
    text += ValueToJson(value);
  }
  return text + "}";
}

Result<History> History::Open(const std::filesystem::path& path, Mode mode) {
  const int flags =
      O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND | (mode == Mode::kReplace ? O_TRUNC : 0);
  const int fd = open(path.c_str(), flags, 0644);
  if (fd < 0) return FileError(errno, path, "open");
  History history(path, fd, 0);
  if (mode == Mode::kContinue) {
    BERTIE_ASSIGN_OR_RETURN(history.length_, WholeLines(fd, path));
    if (ftruncate(fd, history.length_) != 0) return FileError(errno, path, "cut off half a line");
  }
  const std::filesystem::path parent = path.parent_path();
  BERTIE_RETURN_IF_ERROR(SyncDirectory(parent.empty() ? "." : parent));
  return history;
}

History::History(History&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), length_(other.length_) {}

History& History::operator=(History&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(length_, other.length_);
  return *this;
}

History::~History() {
  if (fd_ >= 0) close(fd_);
}

Status History::Append(const HistoryEvent& event) {
  const std::string line = event.ToJson() + "\n";
  if (Status status = WriteAll(fd_, line, path_); !status.ok()) {
    // A reader of JSON lines would stumble over half a line. Should even this fail, opening the
    // file to continue it cuts the half line off.
    [[maybe_unused]] const int ignored = ftruncate(fd_, length_);
    return status;
  }
  length_ += static_cast<int64_t>(line.size());
  if (fdatasync(fd_) != 0) return FileError(errno, path_, "sync");
  return {};
}

}  // namespace bertie::train
