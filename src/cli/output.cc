#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iostream>

#include "base/file.h"
#include "cli/commands.h"

namespace bertie::cli {

Status WriteStdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EPIPE) return Error{ErrorCode::kCancelled, "stdout: closed"};
    if (written < 0) return FileError(errno, "stdout", "write");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

void IgnoreBrokenPipes() { std::signal(SIGPIPE, SIG_IGN); }

void Warn(const std::string& message) { std::cerr << "bertie: warning: " << message << std::endl; }

int PrintAnswer(std::string_view text) {
  IgnoreBrokenPipes();
  const Status status = WriteStdout(text);
  if (status.ok() || status.error().code == ErrorCode::kCancelled) return kExitOk;
  return ReportError(status.error());
}

std::string Dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string ShellWord(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string word = "'";
  for (char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

}  // namespace bertie::cli
