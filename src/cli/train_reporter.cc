#include "cli/train_reporter.h"

#include <iostream>
#include <string>
#include <system_error>
#include <utility>

#include "cli/table.h"

namespace bertie::cli {
namespace {

void Warn(const Error& error) { std::cerr << "bertie: warning: " << error.message << std::endl; }

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
  BeginEpoch(position.epoch, position.sentences);
  return {};
}

train::HistoryEvent TrainReporter::StartEvent(const model::Config& config, int threads) const {
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
  // The log is a help, not the result: a full disk here must not end the run before its save.
  if (Status status = Append(event); !status.ok()) Warn(status.error());
}

void TrainReporter::OnEpoch(const train::EpochReport& epoch) {
  progress_->Finish();
  history_.reset();  // the save put a new folder, with the old history in it, into its place
  train::HistoryEvent event("epoch");
  event.Set("epoch", epoch.epoch).Set("step", epoch.steps).Set("train_loss", epoch.train_loss);
  event.Set("seconds", epoch.seconds).Set("sentences_per_s", epoch.sentences_per_s);
  if (epoch.test) {
    event.SetMetrics("test_", *epoch.test).Set("test_seconds", epoch.test_seconds);
  }
  if (Status status = Append(event); !status.ok()) Warn(status.error());
  Print(epoch);
  if (epoch.epoch < job_.trainer.epochs) BeginEpoch(epoch.epoch + 1);
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
    std::cout << "  test loss " << FormatFixed(epoch.test->loss, 4) << "  accuracy "
              << FormatFixed(epoch.test->accuracy, 4) << "  F1 "
              << FormatFixed(epoch.test->binary_f1.value_or(epoch.test->macro_f1), 4) << "  MCC "
              << FormatFixed(epoch.test->mcc, 4);
  }
  std::cout << "  " << FormatSpeed(epoch.sentences_per_s) << " sentences/s  "
            << FormatDuration(epoch.seconds) << std::endl;
}

}  // namespace bertie::cli
