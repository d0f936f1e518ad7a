#include "cli/train/inputs.h"

#include <algorithm>
#include <iostream>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "cli/model_argument.h"
#include "cli/source.h"
#include "cli/train/class_weights.h"
#include "cli/train/processes.h"
#include "cli/train/ranks.h"
#include "kernels/mixed_matmul.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

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
      !fs::exists(out / "history.jsonl", error) && !fs::exists(out / "checkpoints", error)) {
    return Error{
        ErrorCode::kInvalidArgument,
        "--out " + out.string() + " holds files but no model; choose another folder, or empty it"};
  }
  return {};
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

// Whether the job's flags go with what its data's labels are.
Status CheckProblem(const TrainJob& job, ProblemType problem) {
  BERTIE_RETURN_IF_ERROR(train::CheckSelectBy(job.trainer.selection.by, problem));
  if (job.threshold && problem != ProblemType::kMultiLabel) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string("--threshold is for several labels a sentence; the data is for ") +
                     ProblemTypeName(problem)};
  }
  return {};
}

// The base model's weights and configuration as this run begins with them.
Result<model::Checkpoint> LoadBase(const TrainJob& job, const fs::path& dir,
                                   const data::Dataset& data) {
  model::LoadOptions load;
  load.labels = ConfigLabels(data);
  BERTIE_ASSIGN_OR_RETURN(model::Checkpoint checkpoint, model::LoadCheckpoint(dir, load));
  for (const auto& name : checkpoint.missing) {
    std::cerr << "fresh, from seed " << job.trainer.seed << ": " << name << '\n';
  }
  model::InitializeMissing(checkpoint, job.trainer.seed);
  checkpoint.config.problem_type = ProblemTypeName(data.problem());
  if (job.dropout) {
    const auto dropout = static_cast<float>(*job.dropout);
    checkpoint.config.hidden_dropout_prob = dropout;
    checkpoint.config.attention_probs_dropout_prob = dropout;
    checkpoint.config.classifier_dropout = dropout;
  }
  return checkpoint;
}

int ThreadsFor(const TrainJob& job, const comm::Launch& launch) {
  if (job.threads == 0) return ThreadsOfRank(launch);
  return IsStartedRank() ? std::max(1, job.threads / launch.local_size) : job.threads;
}

void Describe(const TrainJob& job, const fs::path& model, const model::Config& config, int threads,
              const comm::Launch& launch) {
  std::cerr << "model " << model.string() << ": " << config.num_hidden_layers << " layers, hidden "
            << config.hidden_size << ", " << threads << (threads == 1 ? " thread\n" : " threads\n");
  if (launch.size == 1) return;
  std::cerr << launch.size << " ranks (" << launch.starter << "), " << job.trainer.batch_size
            << " sentences of each pass shared out\n";
}

}  // namespace

Result<TrainInputs> TrainInputs::Load(TrainJob& job, const comm::Launch& launch) {
  if (job.ranks.rank_batch_size > 0) {
    job.trainer.batch_size = job.ranks.rank_batch_size * launch.size;
  }
  BERTIE_ASSIGN_OR_RETURN(fs::path model_path,
                          job.model.empty() ? FindBaseModel() : ResolveModel(job.model));
  std::optional<ResumePoint> point;
  if (launch.rank == 0) {
    BERTIE_RETURN_IF_ERROR(CheckOut(job.out, model_path));
    AtomicDirectory::Recover(job.out);
    BERTIE_ASSIGN_OR_RETURN(point, FindResumePoint(job));
  }
  BERTIE_ASSIGN_OR_RETURN(model::ModelSource source, OpenSource(model_path.string(), job.source));
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  BERTIE_ASSIGN_OR_RETURN(TrainData data, LoadTrainData(job));
  BERTIE_RETURN_IF_ERROR(CheckProblem(job, data.train.problem()));
  BERTIE_ASSIGN_OR_RETURN(job.trainer.class_weights,
                          MakeClassWeights(job.class_weights, data.train));
  if (!job.class_weights.empty()) {
    std::cerr << "class weights: "
              << DescribeClassWeights(job.trainer.class_weights, data.train.labels) << '\n';
  }
  BERTIE_ASSIGN_OR_RETURN(model::Checkpoint base, LoadBase(job, source.dir(), data.train));
  const int threads = ThreadsFor(job, launch);
  Describe(job, model_path, base.config, threads, launch);
  job.max_length = std::min(job.max_length, base.config.max_position_embeddings);
  auto train =
      EncodeForTraining(tokenizer, data.train.examples, base.config, job.max_length, "training");
  auto test = EncodeForTraining(tokenizer, data.test, base.config, job.max_length, "test");
  if (test.encodings.empty() && job.trainer.selection.by != train::SelectBy::kLast) {
    return Error{
        ErrorCode::kInvalidArgument,
        "--best and --early-stopping need test sentences: give --test FILE or a --holdout"};
  }
  job.tuning = CheckedTuning(job);
  return TrainInputs{
      std::move(model_path), std::move(point), std::move(source), std::move(tokenizer),
      std::move(data),       std::move(base),  threads,           std::move(train),
      std::move(test)};
}

}  // namespace bertie::cli
