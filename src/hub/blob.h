// One file from a hub into blobs/.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "hub/cache.h"
#include "hub/hub.h"

namespace bertie::hub {

struct BlobProgress {
  // present: bytes of the file that are there, checked or not; fetched: that came now.
  std::function<void(int64_t present, int64_t fetched)> update;
  std::function<void(const std::string& line)> say;
};

// After success blobs/ETAG holds the file, with the hash that the etag tells. See Pull for the
// errors.
Status FetchBlob(Hub& hub, const Cache& cache, const std::string& commit, const RemoteFile& file,
                 const BlobProgress& progress);

}  // namespace bertie::hub
