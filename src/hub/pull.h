// A model from a hub into the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/status.h"
#include "hub/settings.h"

namespace bertie::hub {

struct PullOptions {
  std::string revision = "main";  // a branch, a tag or a commit
  // Asked with the folder as soon as config.json is there, before anything large is fetched.
  std::function<Status(const std::filesystem::path& dir)> check_config;
  std::function<void(int64_t done, int64_t total)> progress;  // bytes; done counts what was there
  std::function<void(const std::string& line)> say;           // of what is waited for
};

struct Pulled {
  std::filesystem::path dir;
  std::string commit;
  int64_t files = 0;
  int64_t bytes = 0;    // of the files together
  int64_t fetched = 0;  // of them, now
};

// Fetches what a classifier needs and the cache lacks (files.h), and nothing that can be run. Each
// file goes to blobs/ETAG.incomplete, under a lock; what a process that was killed left there is
// gone on from. It gets its name after its hash was found right, and refs/REVISION is written after
// the last. Several processes may pull the same model. Errors: those of Hub; kUnavailable when
// settings.offline; kResourceExhausted, too little space on the disk; kInvalidData, a file whose
// hash is not its name's; kIo.
Result<Pulled> Pull(const Settings& settings, const std::string& id, const PullOptions& options);

}  // namespace bertie::hub
