#include "train/run_history.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "formats/json.h"
#include "train/figures.h"

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

constexpr std::pair<const char*, double Metrics::*> kTestMembers[] = {
    {"test_loss", &Metrics::loss},
    {"test_accuracy", &Metrics::accuracy},
    {"test_macro_f1", &Metrics::macro_f1},
    {"test_micro_f1", &Metrics::micro_f1},
    {"test_mcc", &Metrics::mcc},
    {"test_hamming_loss", &Metrics::hamming_loss},
    {"test_average_precision", &Metrics::average_precision},
    {"test_rmse", &Metrics::rmse},
    {"test_mae", &Metrics::mae},
    {"test_pearson", &Metrics::pearson},
    {"test_spearman", &Metrics::spearman}};

std::optional<Metrics> TestOf(const Json& event, ProblemType problem) {
  if (!event.contains("test_loss")) return std::nullopt;
  Metrics test;
  test.problem = problem;
  for (const auto& [key, member] : kTestMembers) test.*member = Number(event, key);
  if (event.contains("test_f1")) test.binary_f1 = Number(event, "test_f1");
  test.examples = Whole(event, "test_examples");
  return test;
}

ProblemType ProblemOf(const Json& start) {
  const auto found = start.find("problem_type");
  if (found == start.end() || !found->is_string()) return ProblemType::kSingleLabel;
  return ParseProblemType(found->get_ref<const std::string&>()).value_or(ProblemType::kSingleLabel);
}

// The columns of a test. With one label a sentence F1 has one even where there are not two labels.
std::vector<std::string> TestColumns(ProblemType problem) {
  if (problem == ProblemType::kSingleLabel) return {"loss", "accuracy", "f1", "macro_f1", "mcc"};
  Metrics metrics;
  metrics.problem = problem;
  std::vector<std::string> columns;
  for (const Figure& figure : Figures(metrics)) columns.emplace_back(figure.key);
  return columns;
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
    history.problem = ProblemOf(event);
  } else if (*kind == "resume") {
    if (event.contains("step")) TakeBack(history, Whole(event, "step"));
  } else if (*kind == "step") {
    history.steps.push_back({Whole(event, "epoch"), Whole(event, "step"), Number(event, "loss"),
                             Number(event, "lr"), Number(event, "grad_norm"),
                             Number(event, "sentences_per_s")});
  } else if (*kind == "epoch") {
    history.epochs.push_back({Whole(event, "epoch"), Whole(event, "step"),
                              Number(event, "train_loss"), Number(event, "seconds"),
                              Number(event, "sentences_per_s"), TestOf(event, history.problem)});
  }
}

// As short as reads back to the same value; nothing for what is not finite.
std::string Cell(double value) {
  if (!std::isfinite(value)) return "";
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

std::string ToLine(const StepRow& row, const std::vector<std::string>& test_columns) {
  return "step," + std::to_string(row.epoch) + ',' + std::to_string(row.step) + ',' +
         Cell(row.loss) + ',' + Cell(row.lr) + ',' + Cell(row.grad_norm) + ',' +
         Cell(row.sentences_per_s) + "," + std::string(test_columns.size(), ',') + "\n";
}

std::string ToLine(const EpochRow& row, const std::vector<std::string>& test_columns) {
  std::string line = "epoch," + std::to_string(row.epoch) + ',' + std::to_string(row.step) + ',' +
                     Cell(row.train_loss) + ",,," + Cell(row.sentences_per_s) + ',' +
                     Cell(row.seconds);
  std::map<std::string, double> values;
  if (row.test) {
    for (const Figure& figure : Figures(*row.test)) values[figure.key] = figure.value;
  }
  for (const std::string& column : test_columns) {
    const auto value = values.find(column);
    line += ',' + (value == values.end() ? std::string() : Cell(value->second));
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
  const std::vector<std::string> columns = TestColumns(history.problem);
  std::string csv = "event,epoch,step,loss,lr,grad_norm,sentences_per_s,seconds";
  for (const std::string& column : columns) csv += ",test_" + column;
  csv += '\n';
  auto epoch = history.epochs.begin();
  for (const StepRow& step : history.steps) {
    for (; epoch != history.epochs.end() && epoch->step < step.step; ++epoch) {
      csv += ToLine(*epoch, columns);
    }
    csv += ToLine(step, columns);
  }
  for (; epoch != history.epochs.end(); ++epoch) csv += ToLine(*epoch, columns);
  return csv;
}

}  // namespace bertie::train
