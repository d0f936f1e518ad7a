#include "cli/command_line.h"

#include "base/file.h"

namespace bertie::cli {

std::vector<std::string> ProgramArguments() {
  std::vector<std::string> arguments;
  auto text = ReadFile("/proc/self/cmdline", uint64_t{64} << 20);
  if (!text.ok()) return arguments;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = text->find('\0', begin);
    arguments.push_back(text->substr(begin, end - begin));
    begin = end == std::string::npos ? text->size() : end + 1;
  }
  return arguments;
}

std::string ShellLine(const std::vector<std::string>& words) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::vector<std::string> WithResume(const std::vector<std::string>& arguments) {
  std::vector<std::string> kept;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--overwrite" || word.starts_with("--resume=")) continue;
    if (word == "--resume") {
      if (i + 1 < arguments.size() && !arguments[i + 1].starts_with('-')) ++i;
      continue;
    }
    kept.push_back(word);
  }
  kept.emplace_back("--resume");
  return kept;
}

}  // namespace bertie::cli
