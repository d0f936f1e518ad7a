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
#include "cli/train/job.h"
#include "model/config.h"
#include "train/event_file.h"
#include "train/history.h"
#include "train/trainer.h"

namespace bertie::cli {

// One thread at a time. The job must outlive it.
class TrainReporter {
 public:
  // sentences: of one epoch.
  TrainReporter(const TrainJob& job, int64_t sentences);

  // Makes the output folder and writes the run's first event. position: where the run begins, or
  // where a resumed one goes on; what the history holds beyond it is taken out. That the history
  // can be written is tried here; later failures are warnings: the log is a help, not the result.
  Status Start(const model::Config& config, int threads, const train::Position& position);

  void OnStep(const train::StepReport& step);

  // Says how the epoch went. The model has been saved, and with it the output folder may be a new
  // one with the old one's files.
  void OnEpoch(const train::EpochReport& epoch);

  // Brings history.csv up to date.
  void End();

 private:
  void BeginEpoch(int64_t epoch, int64_t sentences_before = 0);
  train::HistoryEvent StartEvent(const model::Config& config, int threads) const;
  Status Append(const train::HistoryEvent& event);
  void OpenEvents();
  void AddScalars(int64_t step, const std::vector<train::Scalar>& scalars);
  void WriteTable();
  void Print(const train::EpochReport& epoch) const;

  const TrainJob& job_;
  int64_t sentences_;
  std::filesystem::path out_;
  std::optional<train::History> history_;
  std::optional<train::EventFile> events_;
  std::unique_ptr<Progress> progress_;
  std::chrono::steady_clock::time_point next_table_;  // not before
};

}  // namespace bertie::cli
