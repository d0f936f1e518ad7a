#include "cloud/times.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace bertie::cloud {
namespace {

std::string Format(Milliseconds time, const char* format) {
  const std::time_t seconds = time / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const size_t size = std::strftime(text.data(), text.size(), format, &parts);
  return {text.data(), size};
}

// The text must be what the format makes of the time read, so that nothing is read in two ways.
std::optional<Milliseconds> Parse(std::string_view text, const char* format) {
  if (text.size() > 40) return std::nullopt;
  std::tm parts{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), format, &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  const Milliseconds time = int64_t{timegm(&parts)} * 1000;
  if (Format(time, format) != text) return std::nullopt;
  return time;
}

constexpr char kHttpFormat[] = "%a, %d %b %Y %H:%M:%S GMT";
constexpr char kBasicFormat[] = "%Y%m%dT%H%M%SZ";

}  // namespace

Milliseconds Now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string IsoTime(Milliseconds time) {
  char fraction[8];
  std::snprintf(fraction, sizeof(fraction), ".%03dZ", static_cast<int>(time % 1000));
  return Format(time, "%Y-%m-%dT%H:%M:%S") + fraction;
}

std::string IsoTimeSeconds(Milliseconds time) { return Format(time, "%Y-%m-%dT%H:%M:%SZ"); }
std::string HttpTime(Milliseconds time) { return Format(time, kHttpFormat); }
std::string BasicTime(Milliseconds time) { return Format(time, kBasicFormat); }

std::optional<Milliseconds> ParseHttpTime(std::string_view text) {
  return Parse(text, kHttpFormat);
}
std::optional<Milliseconds> ParseBasicTime(std::string_view text) {
  return Parse(text, kBasicFormat);
}

}  // namespace bertie::cloud
