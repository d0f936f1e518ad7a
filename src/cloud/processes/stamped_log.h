// A log whose lines carry their times: "1700000000123 text", milliseconds since 1970, a line each.
// Where the oldest lines were dropped, zeros stand in their place (a hole, which takes no room on
// the disk), and the rest of the line after them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cloud/times.h"

namespace bertie::cloud {

// Longer lines are cut into several; CloudWatch Logs takes none above 256 kB.
inline constexpr size_t kMaxLogLine = 32 * 1024;

// Digits of a time and the blank after it.
inline constexpr size_t kStampSize = 14;
// Writes time, 0 and more and below 10^13 (the year 2286), and a blank. Safe after a fork.
void WriteStamp(int64_t time, char* to);

// Adds lines, one for each line of text, with the time now: in one write, so that they do not mix
// with those of the program that writes there too. Makes the file when it is not there.
Status AppendToLog(const std::filesystem::path& path, std::string_view text);

struct LogLine {
  Milliseconds time = 0;
  std::string_view text;  // without its line end
  uint64_t begin = 0;     // where it stands in the file, in bytes
  uint64_t end = 0;       // where the next one does
};

// Calls take for each whole line from an offset on, which is where a line begins; ends after the
// one for which it returns false. A line that is being written is left for the next call. Lines
// without a time get the time of the one before. Lines that were dropped are passed over. Returns
// where the next line begins. A file that is not there is empty.
Result<uint64_t> ReadLog(const std::filesystem::path& path, uint64_t offset,
                         const std::function<bool(const LogLine&)>& take);

}  // namespace bertie::cloud
