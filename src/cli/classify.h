// A model ready to answer, for the commands that classify in this process.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "cli/source.h"
#include "data/row_reader.h"
#include "model/classifier.h"
#include "serve/answer.h"
#include "text/tokenizer.h"

namespace bertie::cli {

struct ClassifyFlags {
  std::string model;  // a folder, a .tar.gz of one, or a TorchScript archive
  SourceFlags source;
  int64_t max_length = 0;  // 0: as long as the model allows
  int64_t batch_tokens = 8192;
  int threads = 0;        // 0: all processors
  std::string precision;  // empty: the model's own
};

// Registers --precision.
CLI::Option* AddPrecisionFlag(CLI::App& command, std::string& precision);

// Registers --threshold.
void AddThresholdFlag(CLI::App& command, std::optional<double>& threshold);

// Registers the positional MODEL and --max-length, --batch-tokens, --precision, --threads, and
// AddSourceFlags'.
void AddClassifyFlags(CLI::App& command, ClassifyFlags& flags);

// Sentences with their logits, in the order of the sentences.
struct Classified {
  std::vector<float> logits;  // [sentences, labels], row-major
  int64_t truncated = 0;      // sentences cut to max_length
};

// One thread at a time.
class LocalModel {
 public:
  // Errors name the model: what is missing in it (a classifier, for instance, with what to do), or
  // that max_length is beyond its position embeddings.
  static Result<LocalModel> Load(const ClassifyFlags& flags);

  const model::Config& config() const { return classifier_.config(); }
  // Labels have names here even where the model has none: LABEL_0, ...
  const serve::LabelScheme& scheme() const { return scheme_; }
  int64_t max_length() const { return flags_.max_length; }

  // Tokenises and classifies; the rows' labels are not looked at. progress hears how many are done.
  Result<Classified> Classify(std::span<const data::Row> rows,
                              const std::function<void(int64_t done)>& progress);

 private:
  LocalModel(ClassifyFlags flags, text::Tokenizer tokenizer, model::Classifier classifier,
             std::unique_ptr<ThreadPool> pool);

  ClassifyFlags flags_;
  text::Tokenizer tokenizer_;
  model::Classifier classifier_;
  serve::LabelScheme scheme_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace bertie::cli
