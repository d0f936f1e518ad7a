// What the logs service reads: groups of streams, each a file in cloud/processes/stamped_log.h's
// form.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cloud/times.h"

namespace bertie::cloud {

struct LogStream {
  std::string name;
  std::filesystem::path file;
  Milliseconds created = 0;
};

// Whoever has programs that log. Any thread.
class LogSource {
 public:
  virtual ~LogSource() = default;
  virtual std::vector<std::string> Groups() const = 0;
  // Of a group; nullopt for one that is not its own. Streams whose files are not there yet may be
  // among them.
  virtual std::optional<std::vector<LogStream>> Streams(const std::string& group) const = 0;
};

}  // namespace bertie::cloud
