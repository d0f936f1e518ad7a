// Keeps what a training run has made: the model after its epochs, and checkpoints to go on from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/status.h"
#include "cli/train/job.h"
#include "cli/train/resume.h"
#include "model/trainable_classifier.h"
#include "text/tokenizer.h"
#include "train/checkpoint_store.h"
#include "train/trainer.h"

namespace bertie::cli {

// A write that fails (a full disk) is said on stderr and does not end the run: the last good model
// and checkpoint stay as they are. One thread at a time. The job and the tokenizer must outlive it.
class TrainSaver {
 public:
  TrainSaver(const TrainJob& job, const text::Tokenizer& tokenizer, train::RunIdentity identity);

  // Takes hold of the folder of checkpoints, and clears what an earlier run left there unless this
  // one goes on with it. Errors say that another run is at work there, or that the folder cannot be
  // made.
  Status Start(const std::optional<ResumePoint>& point);

  // Saves the model if the epoch is the one to keep so far.
  void OnEpoch(const train::EpochReport& epoch, model::TrainableClassifier& model);

  // Writes a checkpoint where one is due.
  void OnBoundary(const train::TrainingState& state, train::Boundary boundary);

  // After the last step of a run that was not interrupted: what could not be saved is tried again.
  // The error, if the model cannot be saved, names the newest checkpoint.
  Status Finish(const train::TrainOutcome& outcome, model::TrainableClassifier& model);

  // When all is done: the checkpoints go, unless the job asks to keep some.
  void RemoveCheckpoints();

  // " (newest checkpoint: DIR)", or "".
  std::string NewestCheckpoint() const;

 private:
  Status SaveModel(model::TrainableClassifier& model) const;
  bool WritesCheckpoints() const { return job_.checkpoints.keep.value_or(2) > 0; }

  const TrainJob& job_;
  const text::Tokenizer& tokenizer_;
  train::RunIdentity identity_;
  std::filesystem::path folder_;
  std::optional<train::CheckpointStore> store_;
  train::CheckpointSchedule schedule_;
  std::optional<train::Position> written_;  // the last checkpoint's
  int64_t saved_epoch_ = 0;                 // whose model OUT holds
};

}  // namespace bertie::cli
