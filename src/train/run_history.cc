#include "train/run_history.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/file.h"
#include "formats/json.h"

namespace bertie::train {
namespace {

using formats::Json;

// Lines of some 200 bytes: a hundred million steps would be a run of years.
constexpr uint64_t kMostBytes = uint64_t{1} << 34;

double Number(const Json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) return std::numeric_limits<double>::quiet_NaN();
  return found->get<double>();
}

int64_t Whole(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::optional<EpochTest> TestOf(const Json& event) {
  if (!event.contains("test_accuracy")) return std::nullopt;
  EpochTest test = {Number(event, "test_loss"), Number(event, "test_accuracy"),
                    Number(event, "test_macro_f1"), Number(event, "test_mcc"), std::nullopt};
  if (event.contains("test_f1")) test.f1 = Number(event, "test_f1");
  return test;
}

void TakeBack(RunHistory& history, int64_t step) {
  std::erase_if(history.steps, [&](const StepRow& row) { return row.step > step; });
  std::erase_if(history.epochs, [&](const EpochRow& row) { return row.step > step; });
}

void Add(const Json& event, RunHistory& history) {
  const auto kind = event.find("event");
  if (kind == event.end()) return;
  if (*kind == "start") {
    history = {};
  } else if (*kind == "resume") {
    if (event.contains("step")) TakeBack(history, Whole(event, "step"));
  } else if (*kind == "step") {
    history.steps.push_back({Whole(event, "epoch"), Whole(event, "step"), Number(event, "loss"),
                             Number(event, "lr"), Number(event, "grad_norm"),
                             Number(event, "sentences_per_s")});
  } else if (*kind == "epoch") {
    history.epochs.push_back({Whole(event, "epoch"), Whole(event, "step"),
                              Number(event, "train_loss"), Number(event, "seconds"),
                              Number(event, "sentences_per_s"), TestOf(event)});
  }
}

// As short as reads back to the same value; nothing for what is not finite.
std::string Cell(double value) {
  if (!std::isfinite(value)) return "";
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

std::string ToLine(const StepRow& row) {
  return "step," + std::to_string(row.epoch) + ',' + std::to_string(row.step) + ',' +
         Cell(row.loss) + ',' + Cell(row.lr) + ',' + Cell(row.grad_norm) + ',' +
         Cell(row.sentences_per_s) + ",,,,,,\n";
}

std::string ToLine(const EpochRow& row) {
  std::string line = "epoch," + std::to_string(row.epoch) + ',' + std::to_string(row.step) + ',' +
                     Cell(row.train_loss) + ",,," + Cell(row.sentences_per_s) + ',' +
                     Cell(row.seconds);
  if (!row.test) return line + ",,,,,\n";
  for (const double value : {row.test->loss, row.test->accuracy, row.test->f1.value_or(NAN),
                             row.test->macro_f1, row.test->mcc}) {
    line += ',' + Cell(value);
  }
  return line + '\n';
}

}  // namespace

Result<RunHistory> ReadRunHistory(const std::filesystem::path& history_jsonl) {
  BERTIE_ASSIGN_OR_RETURN(const std::string content, ReadFile(history_jsonl, kMostBytes));
  RunHistory history;
  std::string_view rest = content;
  for (size_t end; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
    const auto event = formats::ParseJson(rest.substr(0, end), history_jsonl.string());
    if (event.ok() && event->is_object()) Add(*event, history);
  }
  return history;
}

std::string ToCsv(const RunHistory& history) {
  std::string csv =
      "event,epoch,step,loss,lr,grad_norm,sentences_per_s,seconds,test_loss,test_accuracy,test_f1,"
      "test_macro_f1,test_mcc\n";
  auto epoch = history.epochs.begin();
  for (const StepRow& step : history.steps) {
    for (; epoch != history.epochs.end() && epoch->step < step.step; ++epoch) csv += ToLine(*epoch);
    csv += ToLine(step);
  }
  for (; epoch != history.epochs.end(); ++epoch) csv += ToLine(*epoch);
  return csv;
}

}  // namespace bertie::train
