#include "cli/train/job.h"

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <streambuf>
#include <utility>

#include "base/elapsed.h"
#include "base/figures.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/train/inputs.h"
#include "cli/train/model_card.h"
#include "cli/train/processes.h"
#include "cli/train/ranks.h"
#include "cli/train/reporter.h"
#include "cli/train/results.h"
#include "cli/train/resume.h"
#include "cli/train/run_record.h"
#include "cli/train/saver.h"
#include "model/checkpoint.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// Set by the first SIGINT or SIGTERM; a second one of either has its default effect.
std::atomic<bool> interrupted = false;
std::atomic<int> interrupting_signal = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  interrupting_signal = signal;
  interrupted = true;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

// "/" at the end would make the archive a hidden file inside the folder.
fs::path ArchivePath(fs::path out) {
  if (!out.has_filename()) out = out.parent_path();
  return out.string() + ".tar.gz";
}

void DescribeTuning(const model::ParameterStore& parameters) {
  if (parameters.tuning().trains_all()) return;
  int64_t trained = 0;
  int64_t all = 0;
  for (const auto& slot : parameters.slots()) all += slot.count;
  for (const auto& slot : parameters.trained_slots()) trained += slot.count;
  std::cerr << "training " << FormatCount(trained) << " of " << FormatCount(all)
            << " weights; the others keep their values\n";
}

// What a run leaves behind beside the model: its lack is no reason to call a saved model a failure.
// The model card is part of the model and of its archive; the report, which quotes sentences, is
// not.
Status Finish(const FinishedRun& run, ThreadPool& pool) {
  std::optional<TrainSummary> summary;
  if (run.job.reports) {
    auto made = Summarize(run, pool);
    if (made.ok()) {
      summary = std::move(*made);
      PrintTest(*summary);
      const auto card = SaveModelCard(run.job.out, ModelCard(*summary));
      if (!card.ok()) {
        Warn(card.error().message);
      } else if (card->filename() != "README.md") {
        std::cerr << "README.md was edited and stays as it is; the new model card is "
                  << card->string() << '\n';
      }
    } else {
      Warn(made.error().message);
    }
  }
  if (run.job.pytorch_bin) BERTIE_RETURN_IF_ERROR(model::SaveTorchWeights(run.job.out));
  if (run.job.archive) {
    BERTIE_RETURN_IF_ERROR(model::SaveArchive(run.job.out, ArchivePath(run.job.out)));
  }
  if (summary) {
    if (Status status = SaveReport(*summary); !status.ok()) Warn(status.error().message);
  }
  return {};
}

// A trainable model with the base's weights, or with those of the checkpoint to go on from.
Result<model::TrainableClassifier> MakeModel(model::Checkpoint base,
                                             const model::TuningOptions& tuning,
                                             const std::optional<ResumePoint>& point) {
  if (!point) return model::TrainableClassifier::Create(base, tuning);
  BERTIE_ASSIGN_OR_RETURN(model::Checkpoint saved, model::LoadCheckpoint(point->dir));
  saved.config = std::move(base.config);
  return model::TrainableClassifier::Create(saved, tuning);
}

Status Continue(const ResumePoint& point, model::TrainableClassifier& model,
                train::Trainer& trainer) {
  BERTIE_RETURN_IF_ERROR(
      train::ReadOptimizer(point.dir, point.state, trainer.optimizer(), model.parameters()));
  BERTIE_RETURN_IF_ERROR(trainer.ContinueFrom(point.state.position));
  std::cerr << "going on from " << point.dir.string() << ": step "
            << FormatCount(point.state.position.step) << " of "
            << FormatCount(trainer.total_steps()) << '\n';
  return {};
}

// stdout and stderr are rank 0's; what the others write to them is dropped while this lives.
class Hush {
 public:
  explicit Hush(bool on)
      : out_(on ? std::cout.rdbuf(nullptr) : nullptr),
        error_(on ? std::cerr.rdbuf(nullptr) : nullptr) {}
  Hush(const Hush&) = delete;
  Hush& operator=(const Hush&) = delete;
  ~Hush() {
    if (out_ != nullptr) std::cout.rdbuf(out_);
    if (error_ != nullptr) std::cerr.rdbuf(error_);
  }

 private:
  std::streambuf* out_;
  std::streambuf* error_;
};

// The last line is the command that goes on with the run, to be copied whole.
int ReportInterrupted(const TrainJob& job, const train::Position& position, int64_t total_steps) {
  const bool kept = job.checkpoints.keep.value_or(2) > 0;
  // Where another rank had it, it was as a spot machine's end.
  if (interrupting_signal == 0) interrupting_signal = SIGTERM;
  std::cout << "stopped by " << (interrupting_signal == SIGTERM ? "SIGTERM" : "SIGINT")
            << " after step " << FormatCount(position.step) << " of " << FormatCount(total_steps);
  if (kept) {
    std::cout << "; this goes on with the run:\n" << ShellLine(WithResume(ProgramArguments()));
  } else {
    std::cout << "; no checkpoint was written (--keep 0)";
  }
  std::cout << std::endl;
  return 128 + interrupting_signal;
}

void ReportSaved(const TrainJob& job, const train::TrainOutcome& outcome) {
  std::cout << "saved " << job.out
            << (job.archive ? " and " + ArchivePath(job.out).string() : std::string());
  const auto& selection = job.trainer.selection;
  if (selection.by != train::SelectBy::kLast) {
    std::cout << ": epoch " << outcome.selection.best_epoch << ", the best by "
              << train::SelectByName(selection.by) << " ("
              << FormatFixed(outcome.selection.best_value, 4) << ")";
  }
  if (outcome.stopped_early) {
    std::cout << "; stopped early after epoch " << outcome.epochs << ", the last "
              << outcome.selection.epochs_without_gain << " without a gain";
  }
  std::cout << '\n';
  if (job.reports) std::cout << "report " << ReportPath(job).string() << '\n';
  std::cout << "next: bertie serve " << job.out << std::endl;
}

// What rank 0 writes; the other ranks have none of it.
struct Records {
  Records(const TrainJob& job, const TrainInputs& inputs, const train::RunIdentity& identity)
      : record(job, inputs.model_path.string(), identity, inputs.point),
        reporter(job, static_cast<int64_t>(inputs.train.encodings.size())),
        saver(job, inputs.tokenizer, identity) {}

  RunRecord record;
  TrainReporter reporter;
  TrainSaver saver;
};

train::TrainerHooks MakeHooks(Records* records) {
  train::TrainerHooks hooks;
  hooks.stop = &interrupted;
  if (records == nullptr) return hooks;
  hooks.on_step = [records](const train::StepReport& step) { records->reporter.OnStep(step); };
  hooks.on_epoch = [records](const train::EpochReport& epoch, model::TrainableClassifier& trained) {
    records->saver.OnEpoch(epoch, trained);
    records->reporter.OnEpoch(epoch);
    return Status();
  };
  hooks.on_boundary = [records](const train::TrainingState& state, train::Boundary boundary) {
    records->saver.OnBoundary(state, boundary);
    return Status();
  };
  return hooks;
}

// After the last step, on rank 0: what the run leaves behind.
Status FinishRun(const TrainJob& job, const TrainInputs& inputs, const train::TrainOutcome& outcome,
                 model::TrainableClassifier& model, Records& records, int ranks, double seconds,
                 ThreadPool& pool) {
  BERTIE_RETURN_IF_ERROR(records.saver.Finish(outcome, model));
  records.record.WriteFinished(outcome);
  BERTIE_RETURN_IF_ERROR(Finish({job, inputs.model_path.string(), model.config(), inputs.data,
                                 inputs.test, inputs.threads, ranks, seconds},
                                pool));
  records.saver.RemoveCheckpoints();
  records.record.PrintComparison();
  ReportSaved(job, outcome);
  return {};
}

// Each step takes and gives back the same memory, much of it inside oneDNN. What the C library
// hands back to the system has to be cleared before the next step has it: 5 % of the time.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most there is
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

// This rank's part of the run.
Result<int> Run(TrainJob job, const comm::Launch& launch, comm::Communicator& ranks) {
  const auto started = std::chrono::steady_clock::now();
  const bool leads = launch.rank == 0;
  BERTIE_ASSIGN_OR_RETURN(TrainInputs inputs, TrainInputs::Load(job, launch));
  const std::optional<ResumePoint>& point = inputs.point;
  const train::RunIdentity identity =
      IdentifyRun(job, inputs.base, inputs.train, inputs.test, inputs.threads, launch.size);
  if (launch.size > 1) BERTIE_RETURN_IF_ERROR(CheckSameOnAllRanks(identity.recipe, ranks));
  if (point) BERTIE_RETURN_IF_ERROR(CheckSameRun(identity, *point));
  BERTIE_ASSIGN_OR_RETURN(auto model, MakeModel(std::move(inputs.base), job.tuning, point));
  DescribeTuning(model.parameters());

  KeepFreedMemory();
  ThreadPool pool(inputs.threads);
  train::Trainer trainer(model, inputs.train,
                         inputs.test.encodings.empty() ? nullptr : &inputs.test, job.trainer, pool,
                         &ranks);
  if (point) BERTIE_RETURN_IF_ERROR(Continue(*point, model, trainer));
  std::unique_ptr<Records> records;
  if (leads) {
    records = std::make_unique<Records>(job, inputs, identity);
    BERTIE_RETURN_IF_ERROR(
        records->reporter.Start(model.config(), inputs.threads, trainer.position()));
    BERTIE_RETURN_IF_ERROR(records->saver.Start(point));
    records->record.Write();
  }
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  auto outcome = trainer.Run(MakeHooks(records.get()));
  if (!outcome.ok()) {
    return Error{outcome.error().code,
                 outcome.error().message + (leads ? records->saver.NewestCheckpoint() : "")};
  }
  if (leads) records->reporter.End();
  if (outcome->interrupted) {
    return ReportInterrupted(job, trainer.position(), trainer.total_steps());
  }
  if (!leads) return kExitOk;
  const double seconds = SecondsSince(started);
  BERTIE_RETURN_IF_ERROR(
      FinishRun(job, inputs, *outcome, model, *records, launch.size, seconds, pool));
  return kExitOk;
}

// A run among the ranks. No rank ends well before rank 0 has saved everything.
Result<int> RunAmongRanks(const TrainJob& job, const comm::Launch& launch) {
  BERTIE_ASSIGN_OR_RETURN(const auto ranks, FindRanks(job.ranks, launch));
  auto code = Run(job, launch, *ranks);
  Status status = code.ok() ? ranks->Barrier() : Status(code.error());
  ranks->Leave(status);
  if (!status.ok()) return status.error();
  return code;
}

}  // namespace

Result<int> ExecuteTrainJob(TrainJob job) {
  BERTIE_ASSIGN_OR_RETURN(const comm::Launch launch, FindLaunch(job.ranks));
  const Hush hush(launch.rank != 0);
  auto code = RunAmongRanks(job, launch);
  if (code.ok() || launch.size == 1) return code;
  if (launch.rank != 0) return code.error().WithContext("rank " + std::to_string(launch.rank));
  Error error = code.error();
  if (error.code == ErrorCode::kUnavailable && !IsStartedRank()) {
    error.message += "; all ranks started again with --resume go on from the newest checkpoint";
  }
  return error;
}

int RunTrainJob(const TrainJob& job) {
  auto code = ExecuteTrainJob(job);
  return code.ok() ? *code : ReportError(code.error());
}

}  // namespace bertie::cli
