// Models in memory, each there once however many sessions use it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "accelerator/model_store.h"
#include "base/status.h"
#include "model/classifier.h"
#include "model/open.h"

namespace bertie::accelerator {

struct LoadedModel {
  LoadedModel(std::string hash, model::OpenedModel opened, std::unique_ptr<ModelStore::Pin> pin);

  // Work of a sentence in millions of multiplications: what sessions are charged for, so that a
  // large model costs more of a share than a small one.
  double Cost(int64_t tokens) const;

  const std::string content_hash;
  const std::unique_ptr<ModelStore::Pin> files;  // first, since weights may be mapped from them
  const model::Classifier classifier;
  const model::WeightType precision;
  uint64_t memory_bytes = 0;  // weights and activations, an estimate

  const model::Config& config() const { return classifier.config(); }
};

using ModelPtr = std::shared_ptr<const LoadedModel>;

// Weights in the precision and activations for a batch of that many tokens, before any is read.
uint64_t EstimateMemory(const model::Config& config, model::WeightType precision,
                        int64_t batch_tokens);

struct OpenRequest {
  std::string content_hash;
  std::optional<model::WeightType> precision;  // absent: as the files are
  uint64_t max_memory = 0;
  std::string limit_name;  // whose memory that is, for the message: "ml.eia2.xlarge"
};

// Any thread; one Open at a time is worked on.
class LoadedModels {
 public:
  struct Options {
    int threads = 1;           // to pack weights with
    int64_t batch_tokens = 0;  // of the largest batch computed at once
    std::chrono::seconds keep{600};
  };
  LoadedModels(ModelStore& store, const Options& options) : store_(store), options_(options) {}

  // May read gigabytes; waits for others that do. A model that is there already is shared. Errors:
  // ModelStore::Acquire's, model::OpenClassifier's; kResourceExhausted "model needs X GB, ..." when
  // the estimate is over max_memory, before any weight is read.
  Result<ModelPtr> Open(const OpenRequest& request);

  // Drops models that nobody has used for `keep`, and, the one unused longest first, as many as
  // take the rest to at most max_unused_bytes.
  void Trim(uint64_t max_unused_bytes);

  std::vector<ModelPtr> List() const;

 private:
  struct Kept {
    ModelPtr model;
    std::chrono::steady_clock::time_point used;
  };
  Result<ModelPtr> Load(const OpenRequest& request);

  ModelStore& store_;
  const Options options_;
  std::mutex loading_;        // held while a model is loaded
  mutable std::mutex mutex_;  // guards kept_
  std::vector<Kept> kept_;
};

}  // namespace bertie::accelerator
