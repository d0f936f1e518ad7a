// A file or a pipe in blocks that end where a record ends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/gunzip.h"

namespace bertie::data {

// How records end: at each line end, or (RFC 4180) at line ends outside quotes.
struct RecordEnds {
  bool quoted = false;
  char delimiter = ',';
};

// The length of data's part that holds whole records only: up to and including its last record end.
// Only LF and CRLF end a record here.
size_t WholeRecords(std::string_view data, const RecordEnds& ends);

// The lines that begin in data after its first one: LF, CRLF and a lone CR end a line.
int64_t CountLineEnds(std::string_view data);

// Reads in constant memory as long as records are short. One thread at a time.
class BlockReader {
 public:
  // "-" is stdin. What is gzip, by its first bytes, is unpacked. Errors name the file ("stdin") and
  // the system's reason.
  static Result<BlockReader> Open(const std::string& source);
  BlockReader(BlockReader&& other) noexcept;
  BlockReader& operator=(BlockReader&& other) noexcept;
  ~BlockReader();

  const std::string& name() const { return name_; }

  // Reads until at least `bytes` wait to be taken, or the input ends.
  Status Fill(size_t bytes);
  // What was read and not yet taken.
  std::string_view pending() const { return std::string_view(buffer_).substr(taken_); }
  bool at_end() const { return at_end_; }

  // The next bytes that hold whole records: as many as were read, one record at least. Where a
  // record is longer than kMaxRecord, whole lines; where a line is, or at the end of the input,
  // whatever there is. Empty at the end.
  // The view lasts until the next call.
  Result<std::string_view> Next(const RecordEnds& ends);
  // True when Next gives something without a read.
  bool HasWholeRecords(const RecordEnds& ends) const;
  // Takes bytes from the front.
  void Skip(size_t bytes) { taken_ += bytes; }

  static constexpr size_t kBlock = size_t{1} << 20;
  static constexpr size_t kMaxRecord = size_t{64} << 20;

 private:
  BlockReader(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}
  Status ReadOnce();
  Result<size_t> ReadInto(std::span<char> to);

  std::string name_;
  int fd_ = -1;  // 0 is not ours to close
  bool begun_ = false;
  std::optional<formats::Gunzip> gunzip_;
  std::string buffer_;
  size_t taken_ = 0;  // bytes of buffer_ already given out
  bool at_end_ = false;
};

}  // namespace bertie::data
