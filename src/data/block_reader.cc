#include "data/block_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.h"

namespace bertie::data {

size_t WholeRecords(std::string_view data, const RecordEnds& ends) {
  if (!ends.quoted) {
    const size_t last = data.rfind('\n');
    return last == std::string_view::npos ? 0 : last + 1;
  }
  // kClosed: behind a quote inside a quoted field, which ended it unless a second one follows.
  enum class State { kFieldBegins, kPlain, kQuoted, kClosed } state = State::kFieldBegins;
  size_t whole = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    const char c = data[i];
    if (state == State::kQuoted) {
      if (c == '"') state = State::kClosed;
    } else if (c == '"' && state != State::kPlain) {
      state = State::kQuoted;
    } else if (c == ends.delimiter || c == '\n' || c == '\r') {
      state = State::kFieldBegins;
      if (c == '\n') whole = i + 1;
    } else {
      state = State::kPlain;
    }
  }
  return whole;
}

int64_t CountLineEnds(std::string_view data) {
  int64_t count = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    count += data[i] == '\n' || (data[i] == '\r' && !(i + 1 < data.size() && data[i + 1] == '\n'));
  }
  return count;
}

Result<BlockReader> BlockReader::Open(const std::string& source) {
  if (source == "-") return BlockReader("stdin", STDIN_FILENO);
  const int fd = open(source.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, source, "open");
  return BlockReader(source, fd);
}

BlockReader::BlockReader(BlockReader&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      begun_(other.begun_),
      gunzip_(std::move(other.gunzip_)),
      buffer_(std::move(other.buffer_)),
      taken_(other.taken_),
      at_end_(other.at_end_) {}

BlockReader& BlockReader::operator=(BlockReader&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(fd_, other.fd_);
  std::swap(begun_, other.begun_);
  std::swap(gunzip_, other.gunzip_);
  std::swap(buffer_, other.buffer_);
  std::swap(taken_, other.taken_);
  std::swap(at_end_, other.at_end_);
  return *this;
}

BlockReader::~BlockReader() {
  if (fd_ > STDIN_FILENO) close(fd_);
}

Result<size_t> BlockReader::ReadInto(std::span<char> to) {
  if (gunzip_) return gunzip_->Read(to);
  ssize_t got = 0;
  do {
    got = read(fd_, to.data(), to.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) return FileError(errno, name_, "read");
  return static_cast<size_t>(got);
}

Status BlockReader::ReadOnce() {
  if (taken_ > 0) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  const size_t filled = buffer_.size();
  buffer_.resize(filled + kBlock);
  const auto got = ReadInto(std::span(buffer_).subspan(filled));
  buffer_.resize(filled + (got.ok() ? *got : 0));
  if (!got.ok()) return got.error();
  at_end_ = *got == 0;
  // A pipe may give the first byte alone.
  if (begun_ || (buffer_ == "\x1f" && !at_end_)) return {};
  begun_ = true;
  if (!formats::LooksLikeGzip(buffer_)) return {};
  BERTIE_ASSIGN_OR_RETURN(gunzip_, formats::Gunzip::Open(name_, std::exchange(buffer_, {}), fd_));
  return ReadOnce();
}

Status BlockReader::Fill(size_t bytes) {
  while (!at_end_ && pending().size() < bytes) BERTIE_RETURN_IF_ERROR(ReadOnce());
  return {};
}

bool BlockReader::HasWholeRecords(const RecordEnds& ends) const {
  return WholeRecords(pending(), ends) > 0 || (at_end_ && !pending().empty());
}

Result<std::string_view> BlockReader::Next(const RecordEnds& ends) {
  size_t whole = WholeRecords(pending(), ends);
  while (whole == 0 && !at_end_ && pending().size() < kMaxRecord) {
    const size_t seen = pending().size();
    if (ends.quoted) {
      // The search begins anew each time: reading twice as much before it keeps the cost linear.
      BERTIE_RETURN_IF_ERROR(Fill(seen * 2 + 1));
      whole = WholeRecords(pending(), ends);
    } else {
      BERTIE_RETURN_IF_ERROR(Fill(seen + 1));
      whole = WholeRecords(pending().substr(seen), ends);
      if (whole > 0) whole += seen;
    }
  }
  if (whole == 0 && !at_end_) {
    // A quote that never closes: whole lines are the next best.
    whole = WholeRecords(pending(), {.quoted = false, .delimiter = ends.delimiter});
  }
  if (whole == 0) whole = pending().size();
  const std::string_view block = pending().substr(0, whole);
  taken_ += whole;
  return block;
}

}  // namespace bertie::data
