// A server of several models, and which of them it has loaded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "cloud/endpoints/model_cache.h"
#include "cloud/s3/s3_uri.h"

namespace bertie::cloud {

struct ModelHost {
  ModelHost(S3Uri the_prefix, std::shared_ptr<ModelCache> the_cache)
      : prefix(std::move(the_prefix)), cache(std::move(the_cache)) {}

  const S3Uri prefix;  // where the models' artifacts are
  const std::shared_ptr<ModelCache> cache;

  std::mutex mutex;   // guards all below
  uint16_t port = 0;  // of the server that has loaded them; one started since has none
  uint64_t uses = 0;  // of all models
  std::map<std::string, uint64_t> loaded = {};  // by target: its last use
};

}  // namespace bertie::cloud
