#include "hub/pull.h"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "hub/blob.h"
#include "hub/cache.h"
#include "hub/files.h"
#include "hub/hub.h"
#include "hub/names.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPaperBytes = int64_t{1} << 20;

class Puller {
 public:
  Puller(const Settings& settings, const std::string& id, const PullOptions& options)
      : options_(options), hub_(settings, id, options.say), cache_(settings.cache) {}

  Result<Pulled> Run() {
    BERTIE_ASSIGN_OR_RETURN(const ModelListing listing, hub_.List(options_.revision));
    commit_ = listing.commit;
    result_.commit = commit_;
    result_.dir = cache_.SnapshotDir(hub_.id(), commit_);
    BERTIE_ASSIGN_OR_RETURN(const WantedFiles wanted, ChooseFiles(listing.files, hub_.id()));
    // config.json is the first of them, and small: what it says decides about the others.
    BERTIE_RETURN_IF_ERROR(Take({wanted.needed.front()}, false));
    if (options_.check_config) BERTIE_RETURN_IF_ERROR(options_.check_config(result_.dir));
    if (!wanted.index.empty()) BERTIE_RETURN_IF_ERROR(TakeShards(wanted.index));
    BERTIE_RETURN_IF_ERROR(Take(wanted.papers, true));
    BERTIE_RETURN_IF_ERROR(Take({wanted.needed.begin() + 1, wanted.needed.end()}, false));
    for (const std::string& name : wanted.absent) cache_.MarkAbsent(hub_.id(), commit_, name);
    BERTIE_RETURN_IF_ERROR(cache_.SetRef(hub_.id(), options_.revision, commit_));
    Cache::MarkUsed(result_.dir);
    result_.bytes = done_;
    return result_;
  }

 private:
  Status TakeShards(const std::string& index) {
    BERTIE_RETURN_IF_ERROR(Take({index}, false));
    BERTIE_ASSIGN_OR_RETURN(const std::vector<std::string> shards, ShardsIn(result_.dir / index));
    return Take(shards, false);
  }

  // Those that the snapshot lacks, into it. Sizes are asked first, for the progress.
  Status Take(const std::vector<std::string>& names, bool small_only) {
    std::vector<RemoteFile> files;
    for (const std::string& name : names) {
      std::error_code error;
      const auto size = fs::file_size(result_.dir / name, error);  // of what the link leads to
      if (!error) {
        Count(static_cast<int64_t>(size));
        continue;
      }
      BERTIE_ASSIGN_OR_RETURN(RemoteFile file, hub_.Find(commit_, name));
      if (small_only && file.size > kMaxPaperBytes) continue;
      total_ += file.size;
      files.push_back(std::move(file));
    }
    for (const RemoteFile& file : files) {
      int64_t fetched = 0;
      const BlobProgress progress{[&](int64_t present, int64_t now) {
                                    fetched = now;
                                    if (options_.progress) {
                                      options_.progress(done_ + present, total_);
                                    }
                                  },
                                  options_.say};
      BERTIE_RETURN_IF_ERROR(FetchBlob(hub_, cache_, commit_, file, progress));
      BERTIE_RETURN_IF_ERROR(cache_.Link(hub_.id(), commit_, file.name, file.etag));
      result_.fetched += fetched;
      total_ -= file.size;
      Count(file.size);
    }
    return {};
  }

  void Count(int64_t bytes) {
    total_ += bytes;
    done_ += bytes;
    ++result_.files;
  }

  const PullOptions& options_;
  Hub hub_;
  Cache cache_;
  std::string commit_;
  Pulled result_;
  int64_t done_ = 0;   // bytes of files that are there
  int64_t total_ = 0;  // and of those that are known to come
};

}  // namespace

Result<Pulled> Pull(const Settings& settings, const std::string& id, const PullOptions& options) {
  BERTIE_RETURN_IF_ERROR(CheckModelId(id));
  BERTIE_RETURN_IF_ERROR(CheckRevision(options.revision));
  if (settings.offline) {
    return Error{ErrorCode::kUnavailable,
                 id + ": HF_HUB_OFFLINE is set, so nothing is fetched; unset it to pull"};
  }
  return Puller(settings, id, options).Run();
}

}  // namespace bertie::hub
