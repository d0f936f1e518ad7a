// Pages of log lines, as CloudWatch Logs gives them. Internal to the logs service.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cloud/logs/log_streams.h"

namespace bertie::cloud {

struct LogEvent {
  Milliseconds time = 0;
  std::string text;    // never empty: an empty line is a blank
  uint64_t begin = 0;  // in its file
  uint64_t end = 0;
};

// Times of events, both inclusive and exclusive as the service has it: [from, until).
struct LogSpan {
  Milliseconds from = 0;
  Milliseconds until = std::numeric_limits<Milliseconds>::max();
  bool Holds(Milliseconds time) const { return time >= from && time < until; }
};

// A page of at most so many events and 1 MB of text.
struct LogPage {
  std::vector<LogEvent> events;
  uint64_t begin = 0, end = 0;  // what of the file it covers
};
Result<LogPage> ReadPageFrom(const LogStream& stream, const LogSpan& span, uint64_t offset,
                             size_t limit);
// The last events before an offset.
Result<LogPage> ReadPageBefore(const LogStream& stream, const LogSpan& span, uint64_t offset,
                               size_t limit);

// The last event of a stream, without reading what is before it.
Result<std::optional<LogEvent>> LastEvent(const LogStream& stream);

// CloudWatch's filter pattern of words: all of them must be in the text, those after "-" must not,
// of those after "?" one must; quotes hold words together. Patterns for JSON and for columns, in {}
// and [], are not offered: kUnsupported.
class LogFilter {
 public:
  static Result<LogFilter> Parse(const std::string& pattern);
  bool Matches(const std::string& text) const;

 private:
  std::vector<std::string> all_, any_, none_;
};

}  // namespace bertie::cloud
