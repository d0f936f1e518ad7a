// What endpoints' servers write: kept in files of the logs' own, for an endpoint's lines are read
// after it is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cloud/logs/log_streams.h"

namespace bertie::cloud {

// Bytes kept of each instance's lines, the newest; a server that logs without end fills no disk.
inline constexpr uint64_t kMaxInstanceLog = uint64_t{10} << 20;

// FOLDER/ENDPOINT/VARIANT/INSTANCE, each a stream of the group /aws/sagemaker/Endpoints/ENDPOINT.
// Any thread.
class EndpointLogs : public LogSource {
 public:
  explicit EndpointLogs(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Where an instance of a deployment writes: always the same file, so that a server that is
  // started again, by whichever process, goes on there.
  std::filesystem::path FileOf(const std::string& endpoint, const std::string& deployment,
                               const std::string& variant, size_t number) const;

  std::vector<std::string> Groups() const override;
  std::optional<std::vector<LogStream>> Streams(const std::string& group) const override;

  // Removes the oldest of the files that are not in use, until those have 256 MB at most.
  void Prune(const std::set<std::filesystem::path>& in_use) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace bertie::cloud
