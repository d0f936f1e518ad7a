#include "cli/train/resume.h"

#include <iostream>
#include <system_error>

#include "base/figures.h"
#include "cli/machine.h"
#include "model/problem.h"
#include "train/checkpoint_store.h"
#include "train/recipe.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;
using train::CheckpointStore;

void WarnOfDamage(const Error& error) {
  std::cerr << "bertie: warning: damaged checkpoint left out: " << error.message << std::endl;
}

std::string Joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

// The newest checkpoint whose state can be read, or nullopt. Says nothing about its other files.
std::optional<train::CheckpointState> NewestState(const std::vector<CheckpointStore::Entry>& all) {
  for (const auto& entry : all) {
    if (auto state = train::ReadCheckpointState(entry.dir); state.ok()) return *state;
  }
  return std::nullopt;
}

Status RefuseUnfinished(const fs::path& folder, const TrainJob& job) {
  const auto all = CheckpointStore::List(folder);
  if (all.empty()) return {};
  const auto state = NewestState(all);
  if (state && state->finished) return {};
  std::string where = "step " + FormatCount(all.front().step);
  if (state) {
    where = "step " + FormatCount(state->position.step) + " of " + FormatCount(state->total_steps);
  }
  return Error{ErrorCode::kInvalidArgument,
               "--out " + job.out + " holds an unfinished run (" + where + ", " + folder.string() +
                   "): add --resume to go on with it, or --overwrite to begin anew"};
}

// DIR is a checkpoint, a folder of them, or an output folder that holds such a folder.
fs::path FolderNamed(const std::string& dir) {
  std::error_code error;
  const fs::path inside = fs::path(dir) / "checkpoints";
  return fs::is_directory(inside, error) ? inside : fs::path(dir);
}

Result<std::optional<ResumePoint>> ReadPoint(const fs::path& dir) {
  BERTIE_ASSIGN_OR_RETURN(train::CheckpointState state, train::ReadCheckpointState(dir));
  return std::optional(ResumePoint{dir, std::move(state)});
}

Result<std::optional<ResumePoint>> FindNamed(const std::string& dir) {
  std::error_code error;
  if (!fs::is_directory(dir, error)) {
    return Error{ErrorCode::kInvalidArgument,
                 "--resume " + dir +
                     ": not a folder; expected a checkpoint, or the output folder "
                     "of an earlier run (to go on in --out, --resume stands alone at the end)"};
  }
  if (fs::exists(fs::path(dir) / "state.json", error)) {
    BERTIE_RETURN_IF_ERROR(train::VerifyCheckpoint(dir));
    return ReadPoint(dir);
  }
  const auto newest = CheckpointStore::FindNewest(FolderNamed(dir), WarnOfDamage);
  if (!newest) {
    return Error{ErrorCode::kInvalidArgument, "--resume " + dir + ": holds no whole checkpoint"};
  }
  return ReadPoint(newest->dir);
}

}  // namespace

fs::path CheckpointFolder(const TrainJob& job) {
  return job.checkpoints.folder.empty() ? fs::path(job.out) / "checkpoints"
                                        : fs::path(job.checkpoints.folder);
}

Result<std::optional<ResumePoint>> FindResumePoint(const TrainJob& job) {
  const CheckpointOptions& options = job.checkpoints;
  if (options.overwrite) return std::optional<ResumePoint>();
  if (!options.resume_from.empty()) return FindNamed(options.resume_from);
  const fs::path folder = CheckpointFolder(job);
  if (!options.resume) {
    BERTIE_RETURN_IF_ERROR(RefuseUnfinished(folder, job));
    return std::optional<ResumePoint>();
  }
  if (const auto newest = CheckpointStore::FindNewest(folder, WarnOfDamage)) {
    return ReadPoint(newest->dir);
  }
  if (!CheckpointStore::List(folder).empty()) {
    return Error{ErrorCode::kInvalidData,
                 folder.string() + ": no checkpoint is whole; --overwrite begins anew"};
  }
  std::cerr << "no checkpoint in " << folder.string() << ": the run begins anew\n";
  return std::optional<ResumePoint>();
}

train::RunIdentity IdentifyRun(const TrainJob& job, const model::Checkpoint& checkpoint,
                               const train::EncodedDataset& train,
                               const train::EncodedDataset& test, int threads, int ranks) {
  train::RunIdentity run;
  train::Recipe& recipe = run.recipe;
  recipe = train::DescribeOptions(job.trainer);
  recipe["max-length"] = std::to_string(job.max_length);
  recipe["labels"] = Joined(checkpoint.config.labels, ", ");
  // Absent with one label a sentence, so that runs of earlier versions can be gone on with.
  if (model::ProblemOf(checkpoint.config) != ProblemType::kSingleLabel) {
    recipe["problem-type"] = checkpoint.config.problem_type;
  }
  recipe["hidden dropout"] = std::to_string(checkpoint.config.hidden_dropout_prob);
  recipe["attention dropout"] = std::to_string(checkpoint.config.attention_probs_dropout_prob);
  recipe["classifier dropout"] = std::to_string(checkpoint.config.classifier_dropout);
  recipe["training sentences"] = train::HashDataset(train);
  recipe["test sentences"] = train::HashDataset(test);
  recipe["initial weights"] = train::HashWeights(checkpoint);
  const model::TuningOptions& tuning = job.tuning;
  recipe["freeze-layers"] = tuning.freeze_layers ? std::to_string(*tuning.freeze_layers) : "none";
  recipe["lora-rank"] = std::to_string(tuning.lora.rank);
  if (tuning.lora.rank > 0) recipe["lora-alpha"] = std::to_string(tuning.lora.alpha);
  recipe["precision"] = tuning.bf16 ? "bf16" : "fp32";
  const Machine machine = DescribeMachine();
  run.machine = {{"threads", std::to_string(threads)},
                 {"processor", machine.cpu + " (" + Joined(machine.features, " ") + ")"},
                 {"ranks", std::to_string(ranks)},
                 {"version", BERTIE_VERSION}};
  return run;
}

Status CheckSameRun(const train::RunIdentity& run, const ResumePoint& point) {
  const auto differences = train::CompareRecipes(run.recipe, point.state.identity.recipe);
  if (!differences.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 point.dir.string() +
                     ": the checkpoint is of another run: " + Joined(differences, "; ") +
                     ". Give the flags and data it was made with, or --overwrite to begin anew"};
  }
  for (const auto& other : train::CompareRecipes(run.machine, point.state.identity.machine)) {
    std::cerr << "note: " << other
              << " as in the checkpoint: the last bits may differ from a run in one go\n";
  }
  return {};
}

}  // namespace bertie::cli
