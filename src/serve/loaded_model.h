// One model ready to answer: what turns its texts into logits, and what is known of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "infer/batcher.h"
#include "infer/compute_pool.h"
#include "infer/executor.h"
#include "model/classifier.h"
#include "model/classifier_weights.h"
#include "model/config.h"
#include "serve/answer.h"
#include "serve/metrics.h"
#include "text/tokenizer.h"

namespace bertie::serve {

// Which model: a server may have several versions of one name.
struct ModelId {
  std::string name;
  std::string version = "1";
};

// What an executor is made of that is not simply the model here.
struct ExecutorContext {
  const ModelId& id;
  std::filesystem::path dir;  // the model's folder
  const model::Config& config;
  infer::Executor* local = nullptr;  // computes here; nullptr where no weights were to be loaded
  std::optional<model::WeightType> precision;  // local's
};

using ExecutorFactory =
    std::function<Result<std::unique_ptr<infer::Executor>>(const ExecutorContext&)>;

struct LoadOptions {
  int threads = 1;        // for the loading itself
  size_t max_length = 0;  // tokens of one text; 0: what the model was made for
  // Refuses a model whose texts of up to so many tokens cannot be read as they are to be.
  std::function<Status(size_t max_length)> check_length = {};
  std::optional<model::WeightType> precision;  // absent: as the model is stored
  ExecutorFactory make_executor = {};          // absent: the model is computed here
  bool local_weights = true;                   // false, with make_executor: none are loaded
  infer::BatcherOptions batcher = {};
};

// A model's folder. Where it is a temporary one, files keeps it; a model that is computed elsewhere
// needs it for as long as it is served.
struct ModelFolder {
  std::filesystem::path dir;
  std::shared_ptr<const void> files = {};
  // Where they are known; else "".
  std::string commit = {};          // of the hub's repository
  std::string weights_sha256 = {};  // of the one file with weights
};

// What a log line tells of the model that was loaded.
struct ModelSummary {
  std::vector<std::string> labels;
  size_t max_length = 0;
  std::optional<model::WeightType> precision;  // absent: no weights were loaded
  std::string note;                            // OpenedModel's
  std::chrono::milliseconds load_time{0};
};

// Only read once it is made: any thread. Whoever works on a request keeps it by a shared_ptr of
// ModelTable::Adopt, which ends it on a thread that is none of its own.
//
// In the order that the parts are made; taken apart in reverse.
struct LoadedModel {
  LoadedModel(ModelId model_id, text::Tokenizer loaded)
      : id(std::move(model_id)), tokenizer(std::move(loaded)) {}

  ModelId id;
  ModelFolder folder;
  text::Tokenizer tokenizer;
  model::Config config;
  LabelScheme scheme;
  size_t max_length = 512;  // tokens of one text, special ones counted
  ModelSummary summary;
  std::shared_ptr<ModelMetrics> metrics;

  std::optional<model::Classifier> classifier;
  std::unique_ptr<infer::Executor> local;
  std::unique_ptr<infer::Executor> made;
  std::unique_ptr<infer::Batcher> batcher;
};

// Every weight must be there: a model without its classification head is refused, since its answers
// would mean nothing. Without make_executor the folder may go afterwards. The pool and the metrics
// must outlive the model.
Result<std::unique_ptr<LoadedModel>> LoadModel(ModelId id, ModelFolder folder,
                                               const LoadOptions& options, infer::ComputePool& pool,
                                               Metrics& metrics);

}  // namespace bertie::serve
