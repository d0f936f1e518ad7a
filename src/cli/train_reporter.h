// What a training run leaves behind and shows: the saved model, the history, lines for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/status.h"
#include "cli/progress.h"
#include "cli/train_job.h"
#include "model/trainable_classifier.h"
#include "text/tokenizer.h"
#include "train/history.h"
#include "train/trainer.h"

namespace bertie::cli {

// One thread at a time. The job and the tokenizer must outlive it.
class TrainReporter {
 public:
  // sentences: of one epoch.
  TrainReporter(const TrainJob& job, const text::Tokenizer& tokenizer, int64_t sentences);

  // Makes the output folder and writes the run's first event.
  Status Start(const model::Config& config, int threads);

  void OnStep(const train::StepReport& step);

  // Saves the model, then says how the epoch went.
  Status OnEpoch(const train::EpochReport& epoch, model::TrainableClassifier& model);

 private:
  void BeginEpoch(int64_t epoch);
  Status Append(const train::HistoryEvent& event);
  void Print(const train::EpochReport& epoch) const;

  const TrainJob& job_;
  const text::Tokenizer& tokenizer_;
  int64_t sentences_;
  std::filesystem::path out_;
  std::optional<train::History> history_;
  std::unique_ptr<Progress> progress_;
};

}  // namespace bertie::cli
