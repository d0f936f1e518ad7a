#include "cloud/endpoints/endpoint_logs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <system_error>

#include "base/sha256.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEndpointGroups = "/aws/sagemaker/Endpoints/";
constexpr uint64_t kMaxKept = uint64_t{256} << 20;
// Letters of an instance's id, as EC2 has them after "i-".
constexpr size_t kIdLetters = 17;

struct LogFile {
  fs::path path;
  Milliseconds created = 0, written = 0;
  uint64_t bytes = 0;  // on the disk
};

Milliseconds TimeOf(const statx_timestamp& time) {
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

// Where the file system does not say when a file was made, that is 0.
std::optional<LogFile> LookAt(const fs::path& path) {
  struct statx found {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &found) != 0 ||
      !S_ISREG(found.stx_mode)) {
    return std::nullopt;
  }
  return LogFile{path, TimeOf(found.stx_btime), TimeOf(found.stx_mtime), found.stx_blocks * 512};
}

std::vector<LogFile> FilesIn(const fs::path& folder) {
  std::vector<LogFile> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (auto file = LookAt(entry->path())) files.push_back(*std::move(file));
  }
  return files;
}

}  // namespace

fs::path EndpointLogs::FileOf(const std::string& endpoint, const std::string& deployment,
                              const std::string& variant, size_t number) const {
  Sha256 digest;
  digest.Update(deployment + "/" + variant + "/" + std::to_string(number));
  return folder_ / endpoint / variant / ("i-" + digest.Finish().substr(0, kIdLetters));
}

std::vector<std::string> EndpointLogs::Groups() const {
  std::vector<std::string> groups;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    groups.push_back(std::string(kEndpointGroups) + entry.path().filename().string());
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

std::optional<std::vector<LogStream>> EndpointLogs::Streams(const std::string& group) const {
  if (!group.starts_with(kEndpointGroups)) return std::nullopt;
  const std::string endpoint = group.substr(kEndpointGroups.size());
  std::error_code ignored;
  const bool plain = !endpoint.empty() && endpoint.find_first_of("/.") == endpoint.npos;
  if (!plain || !fs::is_directory(folder_ / endpoint, ignored)) return std::nullopt;
  std::vector<LogStream> streams;
  for (const LogFile& file : FilesIn(folder_ / endpoint)) {
    streams.push_back(
        {file.path.lexically_relative(folder_ / endpoint).string(), file.path, file.created});
  }
  return streams;
}

void EndpointLogs::Prune(const std::set<fs::path>& in_use) const {
  std::vector<LogFile> files = FilesIn(folder_);
  std::erase_if(files, [&](const LogFile& file) { return in_use.contains(file.path); });
  std::sort(files.begin(), files.end(),
            [](const LogFile& a, const LogFile& b) { return a.written > b.written; });
  uint64_t kept = 0;
  for (const LogFile& file : files) {
    kept += file.bytes;
    if (kept <= kMaxKept) continue;
    std::error_code ignored;
    fs::remove(file.path, ignored);
    // Its folders, where nothing else is in them.
    fs::remove(file.path.parent_path(), ignored);
    fs::remove(file.path.parent_path().parent_path(), ignored);
  }
}

}  // namespace bertie::cloud
