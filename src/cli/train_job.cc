#include "cli/train_job.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "cli/base_model.h"
#include "cli/commands.h"
#include "cli/model_card.h"
#include "cli/train_data.h"
#include "cli/train_reporter.h"
#include "cli/train_results.h"
#include "model/checkpoint.h"
#include "model/model_source.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// Set by the first SIGINT or SIGTERM; the second has its default effect.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void OnSignal(int signal) {
  interrupted = true;
  std::signal(signal, SIG_DFL);
}

// Refuses an output folder whose replacement would destroy something that is not a model of ours.
Status CheckOut(const fs::path& out, const fs::path& model) {
  std::error_code error;
  if (!fs::exists(out, error)) return {};
  if (!fs::is_directory(out, error)) {
    return Error{ErrorCode::kInvalidArgument, "--out " + out.string() + " is a file, not a folder"};
  }
  if (fs::equivalent(out, model, error)) {
    return Error{ErrorCode::kInvalidArgument,
                 "--out " + out.string() + " is the pretrained model; choose another folder"};
  }
  if (!fs::is_empty(out, error) && !fs::exists(out / "config.json", error) &&
      !fs::exists(out / "history.jsonl", error)) {
    return Error{
        ErrorCode::kInvalidArgument,
        "--out " + out.string() + " holds files but no model; choose another folder, or empty it"};
  }
  return {};
}

// "/" at the end would make the archive a hidden file inside the folder.
fs::path ArchivePath(fs::path out) {
  if (!out.has_filename()) out = out.parent_path();
  return out.string() + ".tar.gz";
}

// What a run leaves behind beside the model. Its lack is no reason to call a saved model a failure.
void Warn(const Error& error) { std::cerr << "bertie: warning: " << error.message << std::endl; }

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
        Warn(card.error());
      } else if (card->filename() != "README.md") {
        std::cerr << "README.md was edited and stays as it is; the new model card is "
                  << card->string() << '\n';
      }
    } else {
      Warn(made.error());
    }
  }
  if (run.job.archive) {
    BERTIE_RETURN_IF_ERROR(model::SaveArchive(run.job.out, ArchivePath(run.job.out)));
  }
  if (summary) {
    if (Status status = SaveReport(*summary); !status.ok()) Warn(status.error());
  }
  return {};
}

}  // namespace

Result<int> ExecuteTrainJob(TrainJob job) {
  const auto started = std::chrono::steady_clock::now();
  BERTIE_ASSIGN_OR_RETURN(const fs::path model_path,
                          job.model.empty() ? FindBaseModel() : FindModel(job.model));
  BERTIE_RETURN_IF_ERROR(CheckOut(job.out, model_path));
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, model::ModelSource::Open(model_path));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  BERTIE_ASSIGN_OR_RETURN(TrainData data, LoadTrainData(job));
  model::LoadOptions load;
  load.labels = ConfigLabels(data.train.labels);
  BERTIE_ASSIGN_OR_RETURN(model::Checkpoint checkpoint, model::LoadCheckpoint(source.dir(), load));
  const int threads = job.threads > 0 ? job.threads : ThreadPool::DefaultThreads();
  std::cerr << "model " << model_path.string() << ": " << checkpoint.config.num_hidden_layers
            << " layers, hidden " << checkpoint.config.hidden_size << ", " << threads
            << (threads == 1 ? " thread\n" : " threads\n");
  for (const auto& name : checkpoint.missing) {
    std::cerr << "fresh, from seed " << job.trainer.seed << ": " << name << '\n';
  }
  model::InitializeMissing(checkpoint, job.trainer.seed);
  checkpoint.config.problem_type = "single_label_classification";
  if (job.dropout) {
    const auto dropout = static_cast<float>(*job.dropout);
    checkpoint.config.hidden_dropout_prob = dropout;
    checkpoint.config.attention_probs_dropout_prob = dropout;
    checkpoint.config.classifier_dropout = dropout;
  }
  job.max_length = std::min(job.max_length, checkpoint.config.max_position_embeddings);
  const auto train = EncodeForTraining(tokenizer, data.train.examples, job.max_length, "training");
  const auto test = EncodeForTraining(tokenizer, data.test, job.max_length, "test");
  BERTIE_ASSIGN_OR_RETURN(auto model, model::TrainableClassifier::Create(checkpoint));
  checkpoint = {};  // its mapping is no longer needed

  TrainReporter reporter(job, tokenizer, static_cast<int64_t>(train.encodings.size()));
  BERTIE_RETURN_IF_ERROR(reporter.Start(model.config(), threads));
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  train::TrainerHooks hooks;
  hooks.on_step = [&](const train::StepReport& step) { reporter.OnStep(step); };
  hooks.on_epoch = [&](const train::EpochReport& epoch, model::TrainableClassifier& trained) {
    return reporter.OnEpoch(epoch, trained);
  };
  hooks.stop = &interrupted;
  ThreadPool pool(threads);
  BERTIE_ASSIGN_OR_RETURN(const train::TrainOutcome outcome,
                          train::Train(model, train, test.encodings.empty() ? nullptr : &test,
                                       job.trainer, hooks, pool));
  if (outcome.epochs == 0) {
    std::cerr << "interrupted in the first epoch: nothing was saved\n";
    return kExitInterrupted;
  }
  reporter.End();
  if (outcome.interrupted) {
    if (job.archive) BERTIE_RETURN_IF_ERROR(model::SaveArchive(job.out, ArchivePath(job.out)));
  } else {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    BERTIE_RETURN_IF_ERROR(
        Finish({job, model_path.string(), model.config(), data, test, threads, seconds}, pool));
  }
  std::cout << "saved " << job.out << (job.archive ? " and " + ArchivePath(job.out).string() : "")
            << (outcome.interrupted
                    ? ", as it was after epoch " + std::to_string(outcome.epochs) + " (interrupted)"
                    : "")
            << '\n';
  if (!outcome.interrupted && job.reports)
    std::cout << "report " << ReportPath(job).string() << '\n';
  std::cout << "next: bertie serve " << job.out << std::endl;
  return outcome.interrupted ? kExitInterrupted : kExitOk;
}

int RunTrainJob(const TrainJob& job) {
  auto code = ExecuteTrainJob(job);
  return code.ok() ? *code : ReportError(code.error());
}

}  // namespace bertie::cli
