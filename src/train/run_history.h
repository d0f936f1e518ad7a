// What a history file says of its last run, as numbers and as a table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "train/metrics.h"

namespace bertie::train {

// Members are named as in the file. A number that was not finite is NaN.
struct StepRow {
  int64_t epoch = 0, step = 0;
  double loss = 0, lr = 0, grad_norm = 0, sentences_per_s = 0;
};

struct EpochRow {
  int64_t epoch = 0, step = 0;
  double train_loss = 0, seconds = 0, sentences_per_s = 0;
  std::optional<Metrics> test;  // its figures; neither labels nor a confusion matrix
};

struct RunHistory {
  ProblemType problem = ProblemType::kSingleLabel;
  std::vector<StepRow> steps;
  std::vector<EpochRow> epochs;
};

// Reads the events since the last "start". A "resume" event with a member "step" takes back the
// rows of later steps: they were computed again. Lines that are no event (the unfinished last one
// of a run that is going on) are passed over.
Result<RunHistory> ReadRunHistory(const std::filesystem::path& history_jsonl);

// One line a row, in the order of their steps, under the header "event,epoch,step,loss,lr,...",
// which ends with the problem's figures;
// cells that a row has no value for are empty.
std::string ToCsv(const RunHistory& history);

}  // namespace bertie::train
