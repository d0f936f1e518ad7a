#include "cli/train/reporter.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>

#include "base/figures.h"
#include "base/file.h"
#include "cli/metric_tables.h"
#include "cli/output.h"
#include "cli/train/recipe.h"
#include "cli/train/results.h"

namespace bertie::cli {
namespace {

using Clock = std::chrono::steady_clock;

// "2025-01-31_13-45-59_HOST": sorts by time, and tells apart runs that share a folder.
std::string RunName() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  char time[32];
  std::strftime(time, sizeof(time), "%Y-%m-%d_%H-%M-%S", &local);
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) return time;
  return std::string(time) + "_" + host;
}

// The lines of two widely used training programs, by whose form SageMaker's metric definitions
// find the numbers.
void PrintForContainer(const train::StepReport& step, int64_t sentences) {
  const double share = static_cast<double>(step.sentences) / static_cast<double>(sentences);
  std::printf("Train Epoch: %lld [%lld/%lld (%.0f%%)] Loss: %.6f\n",
              static_cast<long long>(step.epoch), static_cast<long long>(step.sentences),
              static_cast<long long>(sentences), 100 * share, step.loss);
  std::printf("{'loss': %.4f, 'grad_norm': %.4f, 'learning_rate': %.6g, 'epoch': %.2f}\n",
              step.loss, step.gradient_norm, step.learning_rate,
              static_cast<double>(step.epoch - 1) + share);
  std::fflush(stdout);
}

// With one label a sentence those that the programs print, else all.
std::vector<train::Figure> ContainerFigures(const train::Metrics& metrics) {
  if (metrics.problem != ProblemType::kSingleLabel) return train::Figures(metrics);
  return {
      {"loss", "", metrics.loss}, {"accuracy", "", metrics.accuracy}, {"f1", "", MainF1(metrics)}};
}

void PrintForContainer(const train::EpochReport& epoch) {
  std::printf("Average training loss: %f\n", epoch.train_loss);
  if (epoch.test) {
    std::string line = "{";
    for (const train::Figure& figure : ContainerFigures(*epoch.test)) {
      line += std::string("'eval_") + figure.key + "': " + FormatFixed(figure.value, 4) + ", ";
    }
    if (epoch.test->problem != ProblemType::kRegression) {
      std::printf("Test set: Accuracy: %f\n", epoch.test->accuracy);
    }
    std::printf("%s'epoch': %.1f}\n", line.c_str(), static_cast<double>(epoch.epoch));
  }
  std::fflush(stdout);
}

}  // namespace

TrainReporter::TrainReporter(const TrainJob& job, int64_t sentences)
    : job_(job), sentences_(sentences), out_(job.out) {}

Status TrainReporter::Start(const model::Config& config, int threads,
                            const train::Position& position) {
  std::error_code error;
  std::filesystem::create_directories(out_, error);
  if (error) {
    return Error{ErrorCode::kIo, "cannot create " + out_.string() + ": " + error.message()};
  }
  if (position == train::Position()) {
    BERTIE_RETURN_IF_ERROR(Append(StartEvent(config, threads)));
  } else {
    BERTIE_RETURN_IF_ERROR(train::RewindHistory(out_ / "history.jsonl", position));
    train::HistoryEvent event("resume");
    event.Set("epoch", position.epoch).Set("step", position.step).Set("threads", threads);
    BERTIE_RETURN_IF_ERROR(Append(event));
  }
  if (job_.events) OpenEvents();
  BeginEpoch(position.epoch, position.sentences);
  return {};
}

train::HistoryEvent TrainReporter::StartEvent(const model::Config& config, int threads) const {
  const train::TrainerOptions& t = job_.trainer;
  train::HistoryEvent event("start");
  event.Set("train", job_.train_file).Set("test", job_.test_file).Set("sentences", sentences_);
  event.Set("hidden_size", config.hidden_size).Set("layers", config.num_hidden_layers);
  event.Set("problem_type", config.problem_type);
  event.Set("labels", config.num_labels()).Set("epochs", t.epochs);
  event.Set("batch_size", t.batch_size).Set("gradient_accumulation", t.gradient_accumulation);
  event.Set("lr", t.learning_rate).Set("warmup_ratio", t.warmup_ratio);
  event.Set("weight_decay", t.weight_decay).Set("max_grad_norm", t.max_grad_norm);
  event.Set("max_length", job_.max_length).Set("seed", static_cast<int64_t>(t.seed));
  event.Set("threads", threads);
  return event;
}

void TrainReporter::BeginEpoch(int64_t epoch, int64_t sentences_before) {
  Progress::Options options;
  options.title = "epoch " + std::to_string(epoch) + "/" + std::to_string(job_.trainer.epochs);
  options.total = sentences_;
  options.before = sentences_before;
  progress_ = std::make_unique<Progress>(options);
}

void TrainReporter::OnStep(const train::StepReport& step) {
  progress_->Update(step.sentences, step.loss);
  if (step.step % job_.trainer.log_interval != 0 && step.step != step.total_steps) return;
  train::HistoryEvent event("step");
  event.Set("epoch", step.epoch).Set("step", step.step).Set("total_steps", step.total_steps);
  event.Set("loss", step.loss).Set("lr", step.learning_rate);
  event.Set("grad_norm", step.gradient_norm).Set("sentences_per_s", progress_->speed());
  if (step.waited > 0) event.Set("step_s", step.seconds).Set("wait_s", step.waited);
  if (Status status = Append(event); !status.ok()) Warn(status.error().message);
  const double share = static_cast<double>(step.sentences) / static_cast<double>(sentences_);
  AddScalars(step.step, {{"train/loss", step.loss},
                         {"train/learning_rate", step.learning_rate},
                         {"train/grad_norm", step.gradient_norm},
                         {"train/sentences_per_s", progress_->speed()},
                         {"train/epoch", static_cast<double>(step.epoch - 1) + share}});
  if (job_.container_log) {
    progress_->Clear();
    PrintForContainer(step, sentences_);
  }
  if (Clock::now() >= next_table_) WriteTable();
}

void TrainReporter::OnEpoch(const train::EpochReport& epoch) {
  progress_->Finish();
  if (epoch.epoch == 1) RemoveOldReports(job_);
  history_.reset();  // the save put a new folder, with the old history in it, into its place
  train::HistoryEvent event("epoch");
  event.Set("epoch", epoch.epoch).Set("step", epoch.steps).Set("train_loss", epoch.train_loss);
  event.Set("seconds", epoch.seconds).Set("sentences_per_s", epoch.sentences_per_s);
  if (epoch.test) {
    event.SetMetrics("test_", *epoch.test).Set("test_seconds", epoch.test_seconds);
  }
  if (Status status = Append(event); !status.ok()) Warn(status.error().message);
  std::vector<train::Scalar> scalars = {{"train/epoch_loss", epoch.train_loss}};
  if (epoch.test) {
    for (const train::Figure& figure : ShownFigures(*epoch.test)) {
      scalars.push_back({std::string("test/") + figure.key, figure.value});
    }
  }
  AddScalars(epoch.steps, scalars);
  WriteTable();
  Print(epoch);
  if (job_.container_log) PrintForContainer(epoch);
  if (epoch.epoch < job_.trainer.epochs) BeginEpoch(epoch.epoch + 1);
}

void TrainReporter::End() { WriteTable(); }

void TrainReporter::OpenEvents() {
  const std::filesystem::path dir = job_.tensorboard.empty()
                                        ? out_ / "runs" / RunName()
                                        : std::filesystem::path(job_.tensorboard);
  auto opened = train::EventFile::Create(dir);
  Status status;
  if (opened.ok()) {
    status = opened->AddText("recipe", RecipeMarkdown(job_));
    events_ = std::move(*opened);
  } else {
    status = opened.error();
  }
  if (!status.ok()) {
    Warn(status.error().message);
    events_.reset();
  }
}

void TrainReporter::AddScalars(int64_t step, const std::vector<train::Scalar>& scalars) {
  if (!events_) return;
  if (Status status = events_->AddScalars(step, scalars); !status.ok()) {
    Warn(status.error().message);
    events_.reset();  // half a record may stand at the file's end
  }
}

// The whole table anew: it stays right through resumed runs and half-written lines.
void TrainReporter::WriteTable() {
  const auto started = Clock::now();
  const auto history = train::ReadRunHistory(out_ / "history.jsonl");
  const Status status = history.ok()
                            ? WriteFileAtomically(out_ / "history.csv", train::ToCsv(*history))
                            : Status(history.error());
  if (!status.ok()) Warn(status.error().message);
  // Half a minute apart, and further where the history is so long that this takes time itself.
  next_table_ = Clock::now() +
                std::max<Clock::duration>(std::chrono::seconds(30), 50 * (Clock::now() - started));
}

Status TrainReporter::Append(const train::HistoryEvent& event) {
  if (!history_) {
    BERTIE_ASSIGN_OR_RETURN(
        train::History opened,
        train::History::Open(out_ / "history.jsonl", train::History::Mode::kContinue));
    history_ = std::move(opened);
  }
  return history_->Append(event);
}

void TrainReporter::Print(const train::EpochReport& epoch) const {
  std::cout << "epoch " << epoch.epoch << "/" << job_.trainer.epochs << "  train loss "
            << FormatFixed(epoch.train_loss, 4);
  if (epoch.test) {
    std::cout << "  test loss " << FormatFixed(epoch.test->loss, 4);
    for (const train::Figure& figure : train::MainFigures(*epoch.test)) {
      std::cout << "  " << figure.name << " " << FormatFixed(figure.value, 4);
    }
  }
  std::cout << "  " << FormatSpeed(epoch.sentences_per_s) << " sentences/s  "
            << FormatDuration(epoch.seconds) << std::endl;
}

}  // namespace bertie::cli
