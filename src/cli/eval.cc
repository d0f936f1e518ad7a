// bertie eval: how good a model is on labelled sentences.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/data_flags.h"
#include "cli/metric_tables.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "data/dataset.h"
#include "train/metrics.h"

namespace bertie::cli {
namespace {

struct EvalFlags {
  ClassifyFlags model;
  std::string data_file;
  DataFlags data;
  bool json = false;
  std::optional<double> min_accuracy, min_f1, min_mcc;
};

struct Evaluation {
  data::Dataset dataset;  // its examples' texts have been moved out
  train::Metrics metrics;
  int64_t truncated = 0;
  int64_t max_length = 0;
  double seconds = 0;
};

Result<Evaluation> Evaluate(const EvalFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  BERTIE_ASSIGN_OR_RETURN(LocalModel model, LocalModel::Load(flags.model));
  const std::string& problem = model.config().problem_type;
  if (!problem.empty() && problem != "single_label_classification") {
    return Error{ErrorCode::kUnsupported, flags.model.model + ": problem_type is " + problem +
                                              "; bertie eval takes single_label_classification"};
  }
  options.labels = model.scheme().labels;
  Evaluation result;
  BERTIE_ASSIGN_OR_RETURN(result.dataset, data::LoadDataset(flags.data_file, options));

  std::vector<data::Row> rows;
  std::vector<int> labels;
  for (data::Example& example : result.dataset.examples) {
    rows.push_back({std::move(example.text), std::move(example.pair), std::nullopt, example.line});
    labels.push_back(example.label);
  }
  Progress::Options shown;
  shown.title = "eval";
  shown.total = static_cast<int64_t>(rows.size());
  Progress progress(shown);
  BERTIE_ASSIGN_OR_RETURN(const Classified classified,
                          model.Classify(rows, [&](int64_t done) { progress.Update(done); }));
  progress.Clear();
  result.seconds = progress.seconds();
  result.truncated = classified.truncated;
  result.max_length = model.max_length();
  BERTIE_ASSIGN_OR_RETURN(
      result.metrics,
      train::ComputeMetrics(labels, classified.logits, static_cast<int>(options.labels.size())));
  return result;
}

std::string ToText(const Evaluation& evaluation) {
  const int64_t count = evaluation.metrics.examples;
  const std::vector<std::string>& labels = evaluation.dataset.labels;
  std::string text =
      data::DescribeDataset(evaluation.dataset) + "\n" + FiguresTable(evaluation.metrics, labels) +
      "\n" + LabelsTable(evaluation.metrics, labels) + "\n" +
      ConfusionTable(evaluation.metrics, labels, "--json") + "\n" + FormatCount(count) +
      " sentences in " + FormatFixed(evaluation.seconds, 1) + " s (" +
      FormatSpeed(static_cast<double>(count) / evaluation.seconds) + "/s)\n";
  if (evaluation.truncated > 0) {
    text += FormatCount(evaluation.truncated) + " of them cut to " +
            std::to_string(evaluation.max_length) + " tokens\n";
  }
  return text;
}

std::string ToJson(const EvalFlags& flags, const Evaluation& evaluation, bool passed) {
  const train::Metrics& metrics = evaluation.metrics;
  OrderedJson json = {{"model", flags.model.model},
                      {"data", evaluation.dataset.table.source},
                      {"examples", metrics.examples},
                      {"skipped", evaluation.dataset.skipped},
                      {"truncated", evaluation.truncated},
                      {"max_length", evaluation.max_length},
                      {"loss", metrics.loss},
                      {"accuracy", metrics.accuracy},
                      {"macro_f1", metrics.macro_f1},
                      {"micro_f1", metrics.micro_f1},
                      {"mcc", metrics.mcc}};
  if (metrics.binary_f1) json["f1"] = *metrics.binary_f1;
  OrderedJson labels = OrderedJson::array();
  for (size_t label = 0; label < metrics.classes.size(); ++label) {
    const train::ClassMetrics& one = metrics.classes[label];
    labels.push_back({{"label", evaluation.dataset.labels[label]},
                      {"precision", one.precision},
                      {"recall", one.recall},
                      {"f1", one.f1},
                      {"support", one.support},
                      {"predicted", one.predicted}});
  }
  json["labels"] = std::move(labels);
  json["confusion"] = metrics.confusion;  // [true label][predicted label]
  json["seconds"] = evaluation.seconds;
  json["passed"] = passed;
  return Dump(json) + "\n";
}

// "accuracy is 0.7, expected at least 0.8 (--min-accuracy)" for each bound that is not reached.
std::vector<std::string> Failures(const EvalFlags& flags, const train::Metrics& metrics) {
  std::vector<std::string> failures;
  const auto check = [&](const char* name, const char* flag, double found,
                         const std::optional<double>& least) {
    if (!least || found >= *least) return;
    failures.push_back(std::string(name) + " is " + FormatFixed(found, 6) + "; expected at least " +
                       FormatFixed(*least, 6) + " (" + flag + ")");
  };
  check("accuracy", "--min-accuracy", metrics.accuracy, flags.min_accuracy);
  check(metrics.binary_f1 ? "F1" : "macro F1", "--min-f1", MainF1(metrics), flags.min_f1);
  check("MCC", "--min-mcc", metrics.mcc, flags.min_mcc);
  return failures;
}

int RunEval(const EvalFlags& flags) {
  const Result<Evaluation> evaluation = Evaluate(flags);
  if (!evaluation.ok()) return ReportError(evaluation.error());
  const std::vector<std::string> failures = Failures(flags, evaluation->metrics);
  const int printed =
      PrintAnswer(flags.json ? ToJson(flags, *evaluation, failures.empty()) : ToText(*evaluation));
  for (const std::string& failure : failures) ReportError({ErrorCode::kInvalidData, failure});
  return failures.empty() ? printed : kExitFailure;
}

void AddBounds(CLI::App& command, EvalFlags& flags) {
  constexpr const char* kGroup = "Bounds: the exit code is 1 where one is not reached";
  command.add_option("--min-accuracy", flags.min_accuracy, "Least accuracy")
      ->group(kGroup)
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1");
  command
      .add_option("--min-f1", flags.min_f1,
                  "Least F1: of the second label where there are two, else macro F1")
      ->group(kGroup)
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1");
  command.add_option("--min-mcc", flags.min_mcc, "Least Matthews correlation coefficient")
      ->group(kGroup)
      ->check(Between(-1.0, 1.0).description(""))
      ->type_name("-1..1");
}

}  // namespace

void AddEval(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = app.add_subcommand("eval", "Measure a model on labelled sentences");
  AddClassifyFlags(*command, flags->model);
  command->add_option("DATA", flags->data_file, "Labelled sentences: csv, tsv or jsonl, or -")
      ->required()
      ->type_name("");
  command->add_flag("--json", flags->json, "Print one JSON object instead of tables");
  AddBounds(*command, *flags);
  AddDataFlags(*command, flags->data);
  command->footer(
      "Labels in DATA are matched with the model's by name; where the model's have no names\n"
      "(LABEL_0, LABEL_1, ...), 0, 1, ... stand for them.\n"
      "\n"
      "Examples:\n"
      "  bertie eval model test.csv\n"
      "  bertie eval model.tar.gz in_domain_dev.tsv --json\n"
      "  bertie eval model test.csv --min-accuracy 0.9 && ./deploy");
  command->callback([flags, &exit_code] { exit_code = RunEval(*flags); });
}

}  // namespace bertie::cli
