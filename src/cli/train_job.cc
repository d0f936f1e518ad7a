#include "cli/train_job.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/base_model.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "data/split.h"
#include "model/checkpoint.h"
#include "model/model_source.h"
#include "text/tokenizer.h"
#include "train/history.h"

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

// The data as examples, the test part split off where no test file is named.
struct Data {
  data::Dataset train;
  std::vector<data::Example> test;
};

Result<Data> LoadData(const TrainJob& job) {
  data::DatasetOptions options = job.dataset;
  for (int64_t i = 0; i < job.num_labels; ++i) {
    options.labels.push_back("LABEL_" + std::to_string(i));
  }
  Data result;
  BERTIE_ASSIGN_OR_RETURN(result.train, data::LoadDataset(job.train_file, options));
  std::cerr << data::DescribeDataset(result.train);
  if (!job.test_file.empty()) {
    options.labels = result.train.labels;
    options.table.format = data::TableFormat::kAuto;
    BERTIE_ASSIGN_OR_RETURN(data::Dataset test, data::LoadDataset(job.test_file, options));
    std::cerr << data::DescribeDataset(test);
    result.test = std::move(test.examples);
    return result;
  }
  if (job.holdout == 0) return result;
  std::vector<int> labels;
  for (const auto& example : result.train.examples) labels.push_back(example.label);
  BERTIE_ASSIGN_OR_RETURN(const data::Split split,
                          data::SplitIndices(labels, {job.holdout, job.trainer.seed, true}));
  std::vector<data::Example> train;
  for (size_t index : split.train) train.push_back(result.train.examples[index]);
  for (size_t index : split.test) result.test.push_back(result.train.examples[index]);
  result.train.examples = std::move(train);
  std::cerr << "held out " << FormatCount(static_cast<int64_t>(result.test.size()))
            << " sentences for the test (--holdout)\n";
  return result;
}

// Names of the labels in config.json: numbers from 0 become transformers' LABEL_0, LABEL_1, ...
std::vector<std::string> LabelNames(std::vector<std::string> labels) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != std::to_string(i)) return labels;
  }
  for (auto& label : labels) label = "LABEL_" + label;
  return labels;
}

train::EncodedDataset Encode(const text::Tokenizer& tokenizer,
                             const std::vector<data::Example>& examples, int64_t max_length,
                             const char* what) {
  train::EncodedDataset encoded =
      train::EncodeExamples(tokenizer, examples, static_cast<size_t>(max_length));
  const int64_t truncated =
      std::count_if(encoded.encodings.begin(), encoded.encodings.end(),
                    [](const text::Encoding& encoding) { return encoding.truncated; });
  if (truncated > 0) {
    std::cerr << FormatCount(truncated) << " of "
              << FormatCount(static_cast<int64_t>(examples.size())) << ' ' << what
              << " sentences are longer than " << max_length
              << " tokens and were cut (--max-length)\n";
  }
  return encoded;
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

// Saves, logs and shows the run.
class Reporter {
 public:
  Reporter(const TrainJob& job, const text::Tokenizer& tokenizer, int64_t sentences)
      : job_(job), tokenizer_(tokenizer), sentences_(sentences), out_(job.out) {}

  Status Start(const model::Config& config, int threads) {
    std::error_code error;
    fs::create_directories(out_, error);
    if (error) {
      return Error{ErrorCode::kIo, "cannot create " + out_.string() + ": " + error.message()};
    }
    const train::TrainerOptions& t = job_.trainer;
    train::HistoryEvent event("start");
    event.Set("train", job_.train_file).Set("test", job_.test_file).Set("sentences", sentences_);
    event.Set("hidden_size", config.hidden_size).Set("layers", config.num_hidden_layers);
    event.Set("labels", config.num_labels()).Set("epochs", t.epochs);
    event.Set("batch_size", t.batch_size).Set("gradient_accumulation", t.gradient_accumulation);
    event.Set("lr", t.learning_rate).Set("warmup_ratio", t.warmup_ratio);
    event.Set("weight_decay", t.weight_decay).Set("max_grad_norm", t.max_grad_norm);
    event.Set("max_length", job_.max_length).Set("seed", static_cast<int64_t>(t.seed));
    event.Set("threads", threads);
    BERTIE_RETURN_IF_ERROR(Append(event));
    BeginEpoch(1);
    return {};
  }

  void BeginEpoch(int64_t epoch) {
    Progress::Options options;
    options.title = "epoch " + std::to_string(epoch) + "/" + std::to_string(job_.trainer.epochs);
    options.total = sentences_;
    progress_ = std::make_unique<Progress>(options);
  }

  void OnStep(const train::StepReport& step) {
    progress_->Update(step.sentences, step.loss);
    if (step.step % job_.trainer.log_interval != 0 && step.step != step.total_steps) return;
    train::HistoryEvent event("step");
    event.Set("epoch", step.epoch).Set("step", step.step).Set("total_steps", step.total_steps);
    event.Set("loss", step.loss).Set("lr", step.learning_rate);
    event.Set("grad_norm", step.gradient_norm).Set("sentences_per_s", progress_->speed());
    // The log is a help, not the result: a full disk here must not end the run before its save.
    if (Status status = Append(event); !status.ok()) Warn(status.error());
  }

  Status OnEpoch(const train::EpochReport& epoch, model::TrainableClassifier& model) {
    progress_->Finish();
    BERTIE_RETURN_IF_ERROR(model::SaveCheckpoint(
        out_, model.config(), model.parameters().NamedTensors(model.config()), tokenizer_));
    history_.reset();  // the save put a new folder, with the old history in it, into its place
    train::HistoryEvent event("epoch");
    event.Set("epoch", epoch.epoch).Set("step", epoch.steps).Set("train_loss", epoch.train_loss);
    event.Set("seconds", epoch.seconds).Set("sentences_per_s", epoch.sentences_per_s);
    if (epoch.test) {
      event.SetMetrics("test_", *epoch.test).Set("test_seconds", epoch.test_seconds);
      test_ = epoch.test;
    }
    if (Status status = Append(event); !status.ok()) Warn(status.error());
    Print(epoch);
    if (epoch.epoch < job_.trainer.epochs) BeginEpoch(epoch.epoch + 1);
    return {};
  }

  const std::optional<train::Metrics>& test() const { return test_; }

 private:
  static void Warn(const Error& error) {
    std::cerr << "bertie: warning: " << error.message << std::endl;
  }

  Status Append(const train::HistoryEvent& event) {
    if (!history_) {
      BERTIE_ASSIGN_OR_RETURN(
          train::History opened,
          train::History::Open(out_ / "history.jsonl", train::History::Mode::kContinue));
      history_ = std::move(opened);
    }
    return history_->Append(event);
  }

  void Print(const train::EpochReport& epoch) const {
    std::cout << "epoch " << epoch.epoch << "/" << job_.trainer.epochs << "  train loss "
              << FormatFixed(epoch.train_loss, 4);
    if (epoch.test) {
      std::cout << "  test loss " << FormatFixed(epoch.test->loss, 4) << "  accuracy "
                << FormatFixed(epoch.test->accuracy, 4) << "  F1 "
                << FormatFixed(epoch.test->binary_f1.value_or(epoch.test->macro_f1), 4) << "  MCC "
                << FormatFixed(epoch.test->mcc, 4);
    }
    std::cout << "  " << FormatSpeed(epoch.sentences_per_s) << " sentences/s  "
              << FormatDuration(epoch.seconds) << std::endl;
  }

  const TrainJob& job_;
  const text::Tokenizer& tokenizer_;
  int64_t sentences_;
  fs::path out_;
  std::optional<train::History> history_;
  std::unique_ptr<Progress> progress_;
  std::optional<train::Metrics> test_;
};

// "/" at the end would make the archive a hidden file inside the folder.
fs::path ArchivePath(fs::path out) {
  if (!out.has_filename()) out = out.parent_path();
  return out.string() + ".tar.gz";
}

Result<int> Run(TrainJob job) {
  fs::path model_path = job.model;
  if (job.model.empty()) {
    BERTIE_ASSIGN_OR_RETURN(model_path, FindBaseModel());
  }
  BERTIE_RETURN_IF_ERROR(CheckOut(job.out, model_path));
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, model::ModelSource::Open(model_path));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  BERTIE_ASSIGN_OR_RETURN(Data data, LoadData(job));
  model::LoadOptions load;
  load.labels = LabelNames(data.train.labels);
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
  const auto train = Encode(tokenizer, data.train.examples, job.max_length, "training");
  const auto test = Encode(tokenizer, data.test, job.max_length, "test");
  BERTIE_ASSIGN_OR_RETURN(auto model, model::TrainableClassifier::Create(checkpoint));
  checkpoint = {};  // its mapping is no longer needed

  Reporter reporter(job, tokenizer, static_cast<int64_t>(train.encodings.size()));
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
