// Any model folder as a classifier: a checkpoint, packed now, or a compiled one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/classifier.h"

namespace bertie::model {

struct OpenOptions {
  std::string name;  // of the model in messages; empty: the folder's path
  // Absent: fp32 for a checkpoint, what it was compiled for else. Given for a compiled model, it
  // must be that.
  std::optional<WeightType> precision;
  // Tokens that a text may be asked to have (--max-length); 0: as many as the model takes.
  int64_t max_length = 0;
};

struct OpenedModel {
  Classifier classifier;
  WeightType precision;
  std::string note;  // what a user should hear, or "": that weights had to be laid out anew
};

// Errors name the model: no weights, no classification head (with what to do), a compiled model of
// another precision than asked for, fewer positions than max_length. They come before any weight is
// packed.
Result<OpenedModel> OpenClassifier(const std::filesystem::path& dir, const OpenOptions& options,
                                   ThreadPool& pool);

}  // namespace bertie::model
