#include "cli/train_job.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <iostream>

#include "cli/base_model.h"
#include "cli/commands.h"
#include "cli/train_data.h"
#include "cli/train_reporter.h"
#include "kernels/bf16_matmul.h"
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

// The job's tuning, in fp32 where the processor does no better.
model::TuningOptions CheckedTuning(const TrainJob& job) {
  model::TuningOptions tuning = job.tuning;
  tuning.lora.seed = job.trainer.seed;
  if (tuning.bf16 && !kernels::UseBF16()) {
    std::cerr << "this processor has no bf16 products (AVX512_BF16 or AMX): training in fp32\n";
    tuning.bf16 = false;
  }
  if (!tuning.bf16 && kernels::UseBF16()) {
    std::cerr << "this processor multiplies bf16: --precision bf16 may be faster\n";
  }
  return tuning;
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

Result<int> Run(TrainJob job) {
  fs::path model_path = job.model;
  if (job.model.empty()) {
    BERTIE_ASSIGN_OR_RETURN(model_path, FindBaseModel());
  }
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
  BERTIE_ASSIGN_OR_RETURN(auto model,
                          model::TrainableClassifier::Create(checkpoint, CheckedTuning(job)));
  checkpoint = {};  // its mapping is no longer needed
  DescribeTuning(model.parameters());

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
  if (job.archive) BERTIE_RETURN_IF_ERROR(model::SaveArchive(job.out, ArchivePath(job.out)));
  std::cout << "saved " << job.out << (job.archive ? " and " + ArchivePath(job.out).string() : "")
            << (outcome.interrupted
                    ? ", as it was after epoch " + std::to_string(outcome.epochs) + " (interrupted)"
                    : "")
            << "\nnext: bertie serve " << job.out << std::endl;
  return outcome.interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace

int RunTrainJob(const TrainJob& job) {
  auto code = Run(job);
  return code.ok() ? *code : ReportError(code.error());
}

}  // namespace bertie::cli
