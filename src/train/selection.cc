#include "train/selection.h"

#include <cmath>
#include <iterator>
#include <string>

namespace bertie::train {
namespace {

constexpr const char* kNames[] = {
    "last",    "loss",         "accuracy",          "f1",  "macro_f1", "micro_f1",
    "mcc",     "hamming_loss", "average_precision", "mse", "rmse",     "mae",
    "pearson", "spearman"};

bool IsBetter(const Figure& figure, double than) {
  return figure.falls ? figure.value < than : figure.value > than;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  }
  return text;
}

}  // namespace

Result<SelectBy> ParseSelectBy(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<SelectBy>(i);
  }
  return Error{ErrorCode::kInvalidArgument,
               "best epoch by '" + std::string(name) + "', expected " + Joined(SelectByNames())};
}

const char* SelectByName(SelectBy by) { return kNames[static_cast<size_t>(by)]; }

std::vector<std::string> SelectByNames() { return {std::begin(kNames), std::end(kNames)}; }

Status CheckSelectBy(SelectBy by, ProblemType problem) {
  Metrics metrics;
  metrics.problem = problem;
  if (by == SelectBy::kLast || FigureOf(by, metrics)) return {};
  std::vector<std::string> known = {"last"};
  for (const std::string& name : SelectByNames()) {
    if (FigureOf(*ParseSelectBy(name), metrics)) known.push_back(name);
  }
  return Error{ErrorCode::kInvalidArgument, std::string("best epoch by '") + SelectByName(by) +
                                                "', which " + ProblemTypeName(problem) +
                                                " does not measure; expected " + Joined(known)};
}

std::optional<Figure> FigureOf(SelectBy by, const Metrics& metrics) {
  std::string_view key = SelectByName(by);
  if (by == SelectBy::kF1 && !metrics.binary_f1) {
    key = metrics.problem == ProblemType::kMultiLabel ? "micro_f1" : "macro_f1";
  }
  for (const Figure& figure : Figures(metrics)) {
    if (key == figure.key) return figure;
  }
  return std::nullopt;
}

bool SelectEpoch(const SelectionOptions& options, int64_t epoch,
                 const std::optional<Metrics>& metrics, Selection& selection) {
  if (options.by == SelectBy::kLast || !metrics) {
    selection.best_epoch = epoch;
    return true;
  }
  const auto figure = FigureOf(options.by, *metrics);
  if (!figure) return false;  // CheckSelectBy says so before
  const double value = figure->value;
  const bool first = selection.best_epoch == 0;
  const bool better = first || IsBetter(*figure, selection.best_value);
  const bool gain = first || (better && std::abs(value - selection.best_value) > options.threshold);
  selection.epochs_without_gain = gain ? 0 : selection.epochs_without_gain + 1;
  if (!better) return false;
  selection.best_epoch = epoch;
  selection.best_value = value;
  return true;
}

bool StopsEarly(const SelectionOptions& options, const Selection& selection) {
  return options.patience > 0 && selection.epochs_without_gain >= options.patience;
}

}  // namespace bertie::train
