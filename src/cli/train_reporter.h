// What a training run shows and leaves behind while it goes on: the saved model, the history as
// JSON lines and as a table, TensorBoard's events, lines for people.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "cli/progress.h"
#include "cli/train_job.h"
#include "model/trainable_classifier.h"
#include "text/tokenizer.h"
#include "train/event_file.h"
#include "train/history.h"
#include "train/trainer.h"

namespace bertie::cli {

// One thread at a time. The job and the tokenizer must outlive it.
class TrainReporter {
 public:
  // sentences: of one epoch.
  TrainReporter(const TrainJob& job, const text::Tokenizer& tokenizer, int64_t sentences);

  // Makes the output folder and writes the run's first event. That the history can be written is
  // tried here; later failures of all but the save are warnings: the log is a help, not the result.
  Status Start(const model::Config& config, int threads);

  void OnStep(const train::StepReport& step);

  // Saves the model, then says how the epoch went.
  Status OnEpoch(const train::EpochReport& epoch, model::TrainableClassifier& model);

  // Brings history.csv up to date.
  void End();

 private:
  void BeginEpoch(int64_t epoch);
  Status Append(const train::HistoryEvent& event);
  void OpenEvents();
  void AddScalars(int64_t step, const std::vector<train::Scalar>& scalars);
  void WriteTable();
  void Print(const train::EpochReport& epoch) const;

  const TrainJob& job_;
  const text::Tokenizer& tokenizer_;
  int64_t sentences_;
  std::filesystem::path out_;
  std::optional<train::History> history_;
  std::optional<train::EventFile> events_;
  std::unique_ptr<Progress> progress_;
  std::chrono::steady_clock::time_point next_table_;  // not before
};

}  // namespace bertie::cli
