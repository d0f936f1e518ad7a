// bertie eval: how good a model is on labelled sentences.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "cli/checks.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/data_flags.h"
#include "cli/metric_tables.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "data/dataset.h"
#include "model/problem.h"
#include "train/evaluator.h"
#include "train/figures.h"
#include "train/metrics.h"
#include "train/selection.h"

namespace bertie::cli {
namespace {

using train::SelectBy;

struct EvalFlags {
  ClassifyFlags model;
  std::string data_file;
  DataFlags data;
  bool json = false;
  std::optional<double> threshold;
  std::optional<double> min_accuracy, min_f1, min_mcc, min_pearson, min_spearman, max_rmse;
};

struct Evaluation {
  data::Dataset dataset;
  train::Metrics metrics;
  double threshold = 0;
  LongTextCount long_texts;
  int64_t max_length = 0;
  double seconds = 0;
};

// A bound on a figure, as a flag gives it.
struct Bound {
  const char* flag;
  SelectBy by;
  std::optional<double> value;
  bool most = false;  // the figure may be no more
};

std::vector<Bound> Bounds(const EvalFlags& flags) {
  return {{"--min-accuracy", SelectBy::kAccuracy, flags.min_accuracy},
          {"--min-f1", SelectBy::kF1, flags.min_f1},
          {"--min-mcc", SelectBy::kMcc, flags.min_mcc},
          {"--min-pearson", SelectBy::kPearson, flags.min_pearson},
          {"--min-spearman", SelectBy::kSpearman, flags.min_spearman},
          {"--max-rmse", SelectBy::kRmse, flags.max_rmse, true}};
}

// Whether the flags go with what the model answers.
Status CheckFlags(const EvalFlags& flags, ProblemType problem) {
  for (const Bound& bound : Bounds(flags)) {
    if (!bound.value || train::CheckSelectBy(bound.by, problem).ok()) continue;
    return Error{ErrorCode::kInvalidArgument,
                 std::string(bound.flag) + " is given, but " + flags.model.model + " is for " +
                     ProblemTypeName(problem) + ", which has no such figure"};
  }
  if (!flags.threshold || problem == ProblemType::kMultiLabel) return {};
  return Error{ErrorCode::kInvalidArgument, "--threshold is for several labels a text; " +
                                                flags.model.model + " is for " +
                                                ProblemTypeName(problem)};
}

// The examples as the model reads them. Those that it cannot read are bad rows.
Result<model::WindowedTexts> ReadExamples(LocalModel& model, bool skip_bad,
                                          data::Dataset& dataset) {
  std::vector<data::Row> rows;
  for (const data::Example& example : dataset.examples) {
    rows.push_back({example.text, example.pair, std::nullopt, example.line});
  }
  ReadRows read = model.Read(rows);
  if (read.bad.empty()) return std::move(read.texts);
  if (!skip_bad) return read.bad.front().error;
  std::vector<data::UnusableExample> unusable;
  for (const BadRow& row : read.bad) unusable.push_back({row.index, row.error.message});
  BERTIE_RETURN_IF_ERROR(data::LeaveOut(unusable, dataset));
  return std::move(read.texts);
}

Result<Evaluation> Evaluate(const EvalFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  BERTIE_ASSIGN_OR_RETURN(LocalModel model, LocalModel::Load(flags.model));
  BERTIE_RETURN_IF_ERROR(ReadAsModelAnswers(model.config(), flags.model.model, options));
  BERTIE_RETURN_IF_ERROR(CheckFlags(flags, model::ProblemOf(model.config())));
  Evaluation result;
  result.threshold = flags.threshold.value_or(train::kDefaultThreshold);
  BERTIE_ASSIGN_OR_RETURN(result.dataset, data::LoadDataset(flags.data_file, options));

  Progress::Options shown;
  shown.title = "eval";
  shown.total = static_cast<int64_t>(result.dataset.examples.size());
  Progress progress(shown);
  BERTIE_ASSIGN_OR_RETURN(model::WindowedTexts texts,
                          ReadExamples(model, options.skip_bad, result.dataset));
  const train::Targets targets = train::MakeTargets(
      result.dataset.examples, model::ProblemOf(model.config()), model.config().num_labels());
  BERTIE_ASSIGN_OR_RETURN(
      const Classified classified,
      model.Classify(std::move(texts), [&](int64_t done) { progress.Update(done); }));
  progress.Clear();
  result.seconds = progress.seconds();
  result.long_texts.Add(classified);
  result.max_length = model.max_length();
  BERTIE_ASSIGN_OR_RETURN(
      result.metrics,
      train::ComputeMetrics(targets, classified.logits,
                            static_cast<int>(model.config().num_labels()), result.threshold));
  return result;
}

std::string ToText(const Evaluation& evaluation) {
  const int64_t count = evaluation.metrics.examples;
  const std::vector<std::string>& labels = evaluation.dataset.labels;
  std::string text = data::DescribeDataset(evaluation.dataset) + "\n" +
                     FiguresTable(evaluation.metrics, labels) + "\n" +
                     (evaluation.metrics.problem == ProblemType::kRegression
                          ? ""
                          : DetailTables(evaluation.metrics, labels, "--json") + "\n") +
                     FormatCount(count) + " sentences in " + FormatFixed(evaluation.seconds, 1) +
                     " s (" + FormatSpeed(static_cast<double>(count) / evaluation.seconds) +
                     "/s)\n";
  const std::string long_texts = evaluation.long_texts.InWords("them", evaluation.max_length);
  if (!long_texts.empty()) text += long_texts + "\n";
  return text;
}

std::string ToJson(const EvalFlags& flags, const Evaluation& evaluation, bool passed) {
  const train::Metrics& metrics = evaluation.metrics;
  OrderedJson json = {{"model", flags.model.model},
                      {"data", evaluation.dataset.table.source},
                      {"examples", metrics.examples},
                      {"problem_type", ProblemTypeName(metrics.problem)},
                      {"skipped", evaluation.dataset.skipped},
                      {"skipped_lines", evaluation.dataset.bad_lines},
                      {"truncated", evaluation.long_texts.truncated},
                      {"windowed", evaluation.long_texts.windowed},
                      {"max_length", evaluation.max_length}};
  for (const train::Figure& figure : train::Figures(metrics)) json[figure.key] = figure.value;
  if (metrics.problem == ProblemType::kMultiLabel) json["threshold"] = evaluation.threshold;
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
  if (metrics.problem != ProblemType::kRegression) json["labels"] = std::move(labels);
  // [true label][predicted label]
  if (metrics.problem == ProblemType::kSingleLabel) json["confusion"] = metrics.confusion;
  json["seconds"] = evaluation.seconds;
  json["passed"] = passed;
  return Dump(json) + "\n";
}

// "accuracy is 0.7; expected at least 0.8 (--min-accuracy)" for each bound that is not kept.
std::vector<std::string> Failures(const EvalFlags& flags, const train::Metrics& metrics) {
  std::vector<std::string> failures;
  for (const Bound& bound : Bounds(flags)) {
    if (!bound.value) continue;
    const train::Figure figure = *train::FigureOf(bound.by, metrics);
    if (bound.most ? figure.value <= *bound.value : figure.value >= *bound.value) continue;
    failures.push_back(std::string(figure.name) + " is " + FormatFixed(figure.value, 6) +
                       "; expected at " + (bound.most ? "most " : "least ") +
                       FormatFixed(*bound.value, 6) + " (" + bound.flag + ")");
  }
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
  constexpr const char* kGroup = "Bounds: the exit code is 1 where one is not kept";
  command
      .add_option("--min-accuracy", flags.min_accuracy,
                  "Least accuracy: of texts, all of whose labels must be right")
      ->group(kGroup)
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1");
  command
      .add_option("--min-f1", flags.min_f1,
                  "Least F1: of the second label where there are two, else macro F1; micro F1 "
                  "where a text may have several labels")
      ->group(kGroup)
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1");
  command.add_option("--min-mcc", flags.min_mcc, "Least Matthews correlation coefficient")
      ->group(kGroup)
      ->check(Between(-1.0, 1.0).description(""))
      ->type_name("-1..1");
  command
      .add_option("--min-pearson", flags.min_pearson, "Least correlation of numbers (Pearson's)")
      ->group(kGroup)
      ->check(Between(-1.0, 1.0).description(""))
      ->type_name("-1..1");
  command.add_option("--min-spearman", flags.min_spearman, "Least correlation of their ranks")
      ->group(kGroup)
      ->check(Between(-1.0, 1.0).description(""))
      ->type_name("-1..1");
  command.add_option("--max-rmse", flags.max_rmse, "Most root mean squared error of numbers")
      ->group(kGroup)
      ->check(Between(0.0, 1e30).description(""))
      ->type_name("NUMBER");
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
  AddThresholdFlag(*command, flags->threshold);
  AddBounds(*command, *flags);
  AddDataFlags(*command, flags->data);
  command->footer(
      "Labels in DATA are matched with the model's by name; where the model's have no names\n"
      "(LABEL_0, LABEL_1, ...), 0, 1, ... stand for them. A model that gives several labels or\n"
      "numbers is measured on such data.\n"
      "\n"
      "Examples:\n"
      "  bertie eval model test.csv\n"
      "  bertie eval model.tar.gz in_domain_dev.tsv --json\n"
      "  bertie eval tagger news.csv --label-separator ';' --threshold 0.3\n"
      "  bertie eval model test.csv --min-accuracy 0.9 && ./deploy");
  command->callback([flags, &exit_code] { exit_code = RunEval(*flags); });
}

}  // namespace bertie::cli
