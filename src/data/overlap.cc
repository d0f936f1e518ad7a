#include "data/overlap.h"

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ascii.h"

namespace bertie::data {
namespace {

constexpr size_t kLinesKept = 5;

void AddPlain(std::string_view text, std::string& key) {
  bool blank = false;
  const size_t begin = key.size();
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      blank = key.size() > begin;
      continue;
    }
    if (blank) key += ' ';
    blank = false;
    key += AsciiLower(c);
  }
}

std::string KeyOf(const Example& example) {
  std::string key;
  AddPlain(example.text, key);
  key += '\0';  // which no text holds
  if (example.pair) AddPlain(*example.pair, key);
  return key;
}

using First = std::unordered_map<std::string, const Example*>;

void Count(const Example& earlier, const Example& example, Repetitions& found) {
  ++found.repeated;
  if (found.repeated_lines.size() < kLinesKept) {
    found.repeated_lines.emplace_back(earlier.line, example.line);
  }
  if (example.HasAnswerOf(earlier)) return;
  ++found.contradicting;
  if (found.contradicting_lines.size() < kLinesKept) {
    found.contradicting_lines.emplace_back(earlier.line, example.line);
  }
}

}  // namespace

Repetitions FindRepetitions(std::span<const Example> examples) {
  Repetitions found;
  First first;
  for (const Example& example : examples) {
    const auto [place, is_new] = first.try_emplace(KeyOf(example), &example);
    if (!is_new) Count(*place->second, example, found);
  }
  return found;
}

Repetitions FindLeakage(std::span<const Example> train, std::span<const Example> test) {
  First first;
  for (const Example& example : train) first.try_emplace(KeyOf(example), &example);
  Repetitions found;
  for (const Example& example : test) {
    const auto place = first.find(KeyOf(example));
    if (place != first.end()) Count(*place->second, example, found);
  }
  return found;
}

}  // namespace bertie::data
