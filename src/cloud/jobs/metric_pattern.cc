#include "cloud/jobs/metric_pattern.h"

#include <cmath>
#include <cstdlib>

namespace bertie::cloud {
namespace {

// Metrics stand in short lines; the rest of a long one is not searched.
constexpr size_t kMaxSearched = 4096;

// Python's form of a group's name, which ECMAScript's of C++ does not have.
std::string WithoutGroupNames(const std::string& pattern) {
  static const std::regex name(R"(\(\?P<[A-Za-z_][A-Za-z_0-9]*>)");
  return std::regex_replace(pattern, name, "(");
}

}  // namespace

Result<MetricPattern> MetricPattern::Compile(std::string name, const std::string& pattern) {
  const auto error = [&](ErrorCode code, const std::string& why) {
    return Error{code, "the regular expression of metric " + name + ", " + pattern + ", " + why};
  };
  for (const char* construct : {"(?<=", "(?<!", "(?P="}) {
    if (pattern.find(construct) != pattern.npos) {
      return error(ErrorCode::kUnsupported,
                   std::string("has ") + construct + ", which bertie cloud does not offer");
    }
  }
  try {
    // By libstdc++'s automaton that follows all alternatives at once: no pattern makes it slow, or
    // deep. It has no references to groups.
    std::regex regex(WithoutGroupNames(pattern),
                     std::regex::ECMAScript | std::regex_constants::__polynomial);
    if (regex.mark_count() == 0) {
      return error(ErrorCode::kInvalidArgument, "has no group in brackets for the number");
    }
    return MetricPattern(std::move(name), std::move(regex));
  } catch (const std::regex_error& failure) {
    return error(failure.code() == std::regex_constants::error_complexity
                     ? ErrorCode::kUnsupported
                     : ErrorCode::kInvalidArgument,
                 std::string("cannot be used: ") + failure.what());
  }
}

std::optional<double> MetricPattern::Find(std::string_view line) const {
  line = line.substr(0, kMaxSearched);
  std::match_results<std::string_view::const_iterator> match;
  if (!std::regex_search(line.begin(), line.end(), match, regex_)) return std::nullopt;
  const std::string text = match[1].str();
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(number)) return std::nullopt;
  return number;
}

}  // namespace bertie::cloud
