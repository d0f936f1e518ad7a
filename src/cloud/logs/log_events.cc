#include "cloud/logs/log_events.h"

#include <algorithm>
#include <deque>
#include <system_error>
#include <utility>

#include "cloud/processes/stamped_log.h"

namespace bertie::cloud {
namespace {

constexpr size_t kMaxPage = size_t{1} << 20;
// What an event counts beside its text.
constexpr size_t kEventCost = 26;

LogEvent ToEvent(const LogLine& line) {
  return {line.time, line.text.empty() ? std::string(" ") : std::string(line.text), line.begin,
          line.end};
}

size_t CostOf(const LogEvent& event) { return event.text.size() + kEventCost; }

bool Contains(const std::string& text, const std::string& word) {
  return text.find(word) != text.npos;
}

}  // namespace

Result<LogPage> ReadPageFrom(const LogStream& stream, const LogSpan& span, uint64_t offset,
                             size_t limit) {
  LogPage page{.events = {}, .begin = offset};
  size_t cost = 0;
  bool full = false;
  BERTIE_ASSIGN_OR_RETURN(page.end, ReadLog(stream.file, offset, [&](const LogLine& line) {
                            if (!span.Holds(line.time)) return true;
                            LogEvent event = ToEvent(line);
                            cost += CostOf(event);
                            full = cost > kMaxPage && !page.events.empty();
                            if (full) return false;
                            page.events.push_back(std::move(event));
                            return page.events.size() < limit;
                          }));
  // The line that was one too many has been read.
  if (full) page.end = page.events.back().end;
  return page;
}

Result<LogPage> ReadPageBefore(const LogStream& stream, const LogSpan& span, uint64_t offset,
                               size_t limit) {
  std::deque<LogEvent> last;
  size_t cost = 0;
  BERTIE_ASSIGN_OR_RETURN(const uint64_t end, ReadLog(stream.file, 0, [&](const LogLine& line) {
                            if (line.begin >= offset) return false;
                            if (!span.Holds(line.time)) return true;
                            last.push_back(ToEvent(line));
                            cost += CostOf(last.back());
                            while (last.size() > limit || (cost > kMaxPage && last.size() > 1)) {
                              cost -= CostOf(last.front());
                              last.pop_front();
                            }
                            return true;
                          }));
  LogPage page{.events = {last.begin(), last.end()}, .begin = 0, .end = std::min(end, offset)};
  if (!page.events.empty()) page.begin = page.events.front().begin;
  return page;
}

Result<std::optional<LogEvent>> LastEvent(const LogStream& stream) {
  // Two lines of any length; the first may begin in the middle.
  constexpr uint64_t kTail = 2 * (kMaxLogLine + kStampSize + 1);
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(stream.file, error);
  std::optional<LogEvent> last;
  if (error) return last;
  BERTIE_ASSIGN_OR_RETURN(
      [[maybe_unused]] const uint64_t end,
      ReadLog(stream.file, size > kTail ? size - kTail : 0, [&](const LogLine& line) {
        last = ToEvent(line);
        return true;
      }));
  return last;
}

Result<LogFilter> LogFilter::Parse(const std::string& pattern) {
  LogFilter filter;
  const size_t first = pattern.find_first_not_of(' ');
  if (first != pattern.npos &&
      (pattern[first] == '{' || pattern[first] == '[' || pattern[first] == '%')) {
    return Error{ErrorCode::kUnsupported, "the filter pattern " + pattern.substr(0, 100) +
                                              ": bertie cloud offers patterns of words only"};
  }
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] == ' ') {
      ++at;
      continue;
    }
    std::vector<std::string>* words = &filter.all_;
    if (pattern[at] == '-' || pattern[at] == '?') {
      words = pattern[at] == '-' ? &filter.none_ : &filter.any_;
      ++at;
    }
    const bool quoted = at < pattern.size() && pattern[at] == '"';
    const size_t begin = quoted ? at + 1 : at;
    const size_t end = std::min(pattern.find(quoted ? '"' : ' ', begin), pattern.size());
    if (end > begin) words->push_back(pattern.substr(begin, end - begin));
    at = end + 1;
  }
  return filter;
}

bool LogFilter::Matches(const std::string& text) const {
  const auto in_text = [&](const std::string& word) { return Contains(text, word); };
  return std::all_of(all_.begin(), all_.end(), in_text) &&
         std::none_of(none_.begin(), none_.end(), in_text) &&
         (any_.empty() || std::any_of(any_.begin(), any_.end(), in_text));
}

}  // namespace bertie::cloud
