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
#include "cli/long_texts.h"
#include "cli/source.h"
#include "data/row_reader.h"
#include "model/classifier.h"
#include "model/windows.h"
#include "serve/answer.h"
#include "text/tokenizer.h"

namespace bertie::cli {

struct ClassifyFlags {
  std::string model;  // a folder, a .tar.gz of one, or a TorchScript archive
  SourceFlags source;
  int64_t max_length = 0;  // 0: as long as the model allows
  LongTextFlags long_texts;
  int64_t batch_tokens = 8192;
  int threads = 0;        // 0: all processors
  std::string precision;  // empty: the model's own
};

// Registers --precision.
CLI::Option* AddPrecisionFlag(CLI::App& command, std::string& precision);

// Registers --threshold.
void AddThresholdFlag(CLI::App& command, std::optional<double>& threshold);

// Registers the positional MODEL and --max-length, --batch-tokens, --precision, --threads, and
// AddLongTextFlags' and AddSourceFlags'.
void AddClassifyFlags(CLI::App& command, ClassifyFlags& flags);

// One of several rows that cannot be read.
struct BadRow {
  size_t index = 0;
  Error error;  // kInvalidData, naming the line
};

// Rows as the model reads them.
struct ReadRows {
  model::WindowedTexts texts;  // of the rows that are not bad, in their order
  std::vector<BadRow> bad;     // in the order of the rows
};

// Sentences with their logits, in the order of the sentences.
struct Classified {
  std::vector<float> logits;  // [sentences, labels], row-major
  int64_t truncated = 0;      // sentences cut to max_length
  // Of each sentence: how many windows it was read in, 1 where it fitted or was cut.
  std::vector<uint32_t> windows;
};

// How many of the texts were long, over all that was classified.
struct LongTextCount {
  int64_t texts = 0;
  int64_t truncated = 0;
  int64_t windowed = 0;  // read in several windows
  int64_t windows = 0;   // of those

  void Add(const Classified& classified);
  // "3 of WHAT cut to 40 tokens", "3 of WHAT read in 17 windows of 40 tokens", or "" for none.
  std::string InWords(const std::string& what, int64_t max_length) const;
};

// One thread at a time.
class LocalModel {
 public:
  // Errors name the model: what is missing in it (a classifier, for instance, with what to do), or
  // that max_length is beyond its position embeddings; or a flag.
  static Result<LocalModel> Load(const ClassifyFlags& flags);

  const model::Config& config() const { return classifier_.config(); }
  // Labels have names here even where the model has none: LABEL_0, ...
  const serve::LabelScheme& scheme() const { return scheme_; }
  int64_t max_length() const { return flags_.max_length; }

  // Tokenises; the rows' labels are not looked at. Bad is a row whose second text leaves no room
  // for windows, or whose windows would fill the memory.
  ReadRows Read(std::span<const data::Row> rows);

  // progress hears how many are done.
  Result<Classified> Classify(model::WindowedTexts texts,
                              const std::function<void(int64_t done)>& progress);

 private:
  LocalModel(ClassifyFlags flags, const serve::LongTextOptions& long_texts,
             text::Tokenizer tokenizer, model::Classifier classifier,
             std::unique_ptr<ThreadPool> pool);

  Result<text::Windows> ReadRow(const data::Row& row) const;

  ClassifyFlags flags_;
  serve::LongTextOptions long_texts_;
  text::Tokenizer tokenizer_;
  model::Classifier classifier_;
  serve::LabelScheme scheme_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace bertie::cli
