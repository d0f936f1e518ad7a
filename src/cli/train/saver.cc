#include "cli/train/saver.h"

#include <iostream>
#include <string>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/figures.h"
#include "cli/output.h"
#include "model/checkpoint.h"

namespace bertie::cli {

namespace fs = std::filesystem;

TrainSaver::TrainSaver(const TrainJob& job, const text::Tokenizer& tokenizer,
                       train::RunIdentity identity)
    : job_(job),
      tokenizer_(tokenizer),
      identity_(std::move(identity)),
      folder_(CheckpointFolder(job)),
      schedule_(job.checkpoints.steps, job.checkpoints.minutes) {}

Status TrainSaver::Start(const std::optional<ResumePoint>& point) {
  std::error_code error;
  if (!WritesCheckpoints() && !fs::exists(folder_, error)) return {};
  BERTIE_ASSIGN_OR_RETURN(train::CheckpointStore store, train::CheckpointStore::Open(folder_));
  RemoveAbandonedFiles(job_.out);  // with the store's lock, nobody else writes there
  if (!point) {
    store.Clear();
  } else if (fs::exists(fs::path(job_.out) / "model.safetensors", error)) {
    saved_epoch_ = point->state.position.selection.best_epoch;
  }
  store_ = std::move(store);
  return {};
}

Status TrainSaver::SaveModel(model::TrainableClassifier& model) const {
  return model::SaveCheckpoint(job_.out, model.config(),
                               model.parameters().NamedTensors(model.config()), tokenizer_);
}

void TrainSaver::OnEpoch(const train::EpochReport& epoch, model::TrainableClassifier& model) {
  if (!epoch.best) return;
  if (Status saved = SaveModel(model); !saved.ok()) {
    Warn("the model of epoch " + std::to_string(epoch.epoch) +
         " was not saved; the run goes on: " + saved.error().message);
    return;
  }
  saved_epoch_ = epoch.epoch;
}

void TrainSaver::OnBoundary(const train::TrainingState& state, train::Boundary boundary) {
  if (!WritesCheckpoints() || !store_) return;
  if (!schedule_.IsDue(boundary, state.position) || written_ == state.position) return;
  // After the end only the model matters.
  const bool saved = saved_epoch_ == state.position.selection.best_epoch;
  if (state.finished && saved && !job_.checkpoints.keep) return;
  auto written = store_->Save(state, identity_, tokenizer_, job_.checkpoints.keep.value_or(2));
  schedule_.Written();
  if (!written.ok()) {
    Warn("no checkpoint was written at step " + FormatCount(state.position.step) +
         (boundary == train::Boundary::kStop ? ": " : "; the run goes on: ") +
         written.error().message);
    return;
  }
  written_ = state.position;
  std::cerr << "checkpoint " << written->dir.string() << "  " << FormatMegabytes(written->bytes)
            << " in " << FormatSeconds(written->seconds) << std::endl;
}

std::string TrainSaver::NewestCheckpoint() const {
  const auto all = train::CheckpointStore::List(folder_);
  return all.empty() ? "" : " (newest checkpoint: " + all.front().dir.string() + ")";
}

Status TrainSaver::Finish(const train::TrainOutcome& outcome, model::TrainableClassifier& model) {
  const int64_t best = outcome.selection.best_epoch;
  if (saved_epoch_ != best && best == outcome.epochs) {
    if (Status saved = SaveModel(model); !saved.ok()) {
      return Error{saved.error().code, saved.error().message + NewestCheckpoint()};
    }
    saved_epoch_ = best;
  }
  if (saved_epoch_ != best) {
    return Error{ErrorCode::kIo,
                 "the model of epoch " + std::to_string(best) + ", the best by " +
                     train::SelectByName(job_.trainer.selection.by) +
                     ", could not be saved when it was at hand; " + job_.out +
                     (saved_epoch_ == 0 ? " has none"
                                        : " has that of epoch " + std::to_string(saved_epoch_)) +
                     NewestCheckpoint()};
  }
  return {};
}

void TrainSaver::RemoveCheckpoints() {
  if (!store_ || job_.checkpoints.keep) return;
  store_->Clear();
  store_.reset();
  std::error_code ignored;  // it may hold files of the user's
  if (job_.checkpoints.folder.empty()) fs::remove(folder_, ignored);
}

}  // namespace bertie::cli
