// Models on disk in the layout of Hugging Face's Python library, which reads and writes the same
// folder (huggingface_hub: "Understand caching").
//
//   models--ORGANISATION--NAME/blobs/ETAG              content, once
//                              blobs/ETAG.incomplete   what has arrived of it
//                              refs/REVISION           the commit that a branch or tag is at
//                              snapshots/COMMIT/FILE   -> ../../blobs/ETAG
//                              .no_exist/COMMIT/FILE   the commit has no such file
//   .locks/models--ORGANISATION--NAME/ETAG.lock        held while ETAG is fetched
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "hub/lock.h"

namespace bertie::hub {

struct Snapshot {
  std::filesystem::path dir;
  std::string commit;
};

struct CachedRevision {
  std::string id;  // of the model
  std::string commit;
  std::vector<std::string> refs;  // branches and tags that are at it
  std::filesystem::path dir;
  int64_t bytes = 0;      // of the blobs it points to
  int64_t last_used = 0;  // seconds since 1970: when one of its files was read or fetched
};

struct Removed {
  int64_t revisions = 0;
  int64_t bytes = 0;
};

// Names and revisions must have passed CheckModelId and CheckRevision. Any thread.
class Cache {
 public:
  explicit Cache(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path RepoDir(const std::string& id) const;
  std::filesystem::path BlobPath(const std::string& id, const std::string& etag) const;
  std::filesystem::path SnapshotDir(const std::string& id, const std::string& commit) const;
  Result<FileLock> Lock(const std::string& id, const std::string& etag,
                        const std::function<void()>& on_wait) const;

  // The folder of a revision, whole or not: where refs/REVISION leads, or of that commit.
  std::optional<Snapshot> Find(const std::string& id, const std::string& revision) const;

  // snapshots/COMMIT/FILE -> ../../blobs/ETAG, in place of another link that may be there.
  Status Link(const std::string& id, const std::string& commit, const std::string& file,
              const std::string& etag) const;
  Status SetRef(const std::string& id, const std::string& revision,
                const std::string& commit) const;
  // Best effort: it only saves others a question.
  void MarkAbsent(const std::string& id, const std::string& commit, const std::string& file) const;
  // Best effort: the time of use that List shows, also where the file system notes no reading.
  static void MarkUsed(const std::filesystem::path& snapshot);

  // All models' revisions, by id and then newest use first. A cache that is not there is empty;
  // entries that are none are passed over.
  std::vector<CachedRevision> List() const;

  // A whole model, or with a revision the one it names: its snapshot, the refs to it and the blobs
  // that no other revision has. kNotFound where that is not there.
  Result<Removed> Remove(const std::string& id, const std::string& revision) const;

 private:
  std::filesystem::path root_;
};

// What the layout tells of what lies in a snapshot without reading it; "" of what lies elsewhere.
std::string CommitOf(const std::filesystem::path& snapshot);
// The content's SHA-256, which names the blob that a large file leads to.
std::string Sha256Of(const std::filesystem::path& file);

}  // namespace bertie::hub
