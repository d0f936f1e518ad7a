#include <system_error>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/endpoints/endpoint_logs.h"
#include "cloud/endpoints/worker.h"
#include "cloud/processes/stamped_log.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxAddress = 256;

}  // namespace

bool WorkerProgram::Adopt() {
  auto child = ChildProcess::Adopt(folder_);
  if (!child.ok() || child->Poll()) return false;
  child_ = *std::move(child);
  return true;
}

Status WorkerProgram::Start(std::vector<std::string> arguments,
                            std::vector<std::string> environment) {
  std::error_code error;
  fs::remove(address_file(), error);
  BERTIE_RETURN_IF_ERROR(MakeFolders(log_.parent_path()));
  const uintmax_t size = fs::file_size(log_, error);
  log_begin_ = error ? 0 : size;
  BERTIE_ASSIGN_OR_RETURN(ChildProcess child,
                          ChildProcess::Start({.arguments = std::move(arguments),
                                               .environment = std::move(environment),
                                               .working_folder = {},
                                               .folder = folder_,
                                               .log = log_,
                                               .max_log = kMaxInstanceLog}));
  child_ = std::move(child);
  return {};
}

std::optional<ChildExit> WorkerProgram::Poll() {
  if (!child_) return std::nullopt;
  auto end = child_->Poll();
  if (end) child_.reset();
  return end;
}

void WorkerProgram::Signal(int signal) {
  if (child_) child_->Signal(signal);
}

std::string WorkerProgram::address() const {
  const auto text = ReadFile(address_file(), kMaxAddress);
  return text.ok() ? text->substr(0, text->find('\n')) : "";
}

std::string WorkerProgram::LastWords() const {
  std::string last;
  const auto read = ReadLog(log_, log_begin_, [&](const LogLine& line) {
    if (!line.text.empty()) last = line.text;
    return true;
  });
  if (!read.ok() || last.empty()) return "it said nothing";
  constexpr std::string_view kProgram = "bertie: ";
  return last.starts_with(kProgram) ? last.substr(kProgram.size()) : last;
}

}  // namespace bertie::cloud
