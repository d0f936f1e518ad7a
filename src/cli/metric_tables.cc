#include "cli/metric_tables.h"

#include <algorithm>
#include <string_view>

#include "base/figures.h"
#include "cli/table.h"

namespace bertie::cli {

namespace {

// With the loss last.
std::vector<train::Figure> LossLast(const train::Metrics& metrics) {
  std::vector<train::Figure> figures = train::Figures(metrics);
  std::rotate(figures.begin(), figures.begin() + 1, figures.end());
  return figures;
}

}  // namespace

double MainF1(const train::Metrics& metrics) {
  if (metrics.problem == ProblemType::kMultiLabel) return metrics.micro_f1;
  return metrics.binary_f1.value_or(metrics.macro_f1);
}

std::vector<train::Figure> ShownFigures(const train::Metrics& metrics) {
  const bool single = metrics.problem == ProblemType::kSingleLabel;
  std::vector<train::Figure> figures = LossLast(metrics);
  std::erase_if(figures, [&](const train::Figure& figure) {
    return figure.key == std::string_view(single ? "micro_f1" : "mse");
  });
  return figures;
}

std::string FiguresTable(const train::Metrics& metrics, const std::vector<std::string>& labels) {
  Table table;
  table.AlignRight({1});
  for (const train::Figure& figure : LossLast(metrics)) {
    const bool of_label = figure.key == std::string_view("f1");
    table.Add(
        {of_label ? "F1 of " + OneLine(labels[1], 30) : figure.name, FormatFixed(figure.value, 4)});
  }
  return table.ToString();
}

std::string LabelsTable(const train::Metrics& metrics, const std::vector<std::string>& labels) {
  Table table({"label", "precision", "recall", "F1", "sentences"});
  table.AlignRight({1, 2, 3, 4});
  for (size_t label = 0; label < metrics.classes.size(); ++label) {
    const train::ClassMetrics& one = metrics.classes[label];
    table.Add({OneLine(labels[label], 40), FormatFixed(one.precision, 4),
               FormatFixed(one.recall, 4), FormatFixed(one.f1, 4), FormatCount(one.support)});
  }
  return table.ToString();
}

std::string ConfusionTable(const train::Metrics& metrics, const std::vector<std::string>& labels,
                           const std::string& elsewhere) {
  constexpr size_t kMostLabels = 20;
  if (labels.size() > kMostLabels) {
    return "confusion matrix: " + std::to_string(labels.size()) + " labels; see " + elsewhere +
           "\n";
  }
  std::vector<std::string> header = {"true \\ predicted"};
  std::vector<size_t> right;
  for (size_t label = 0; label < labels.size(); ++label) {
    header.push_back(OneLine(labels[label], 20));
    right.push_back(label + 1);
  }
  Table table(std::move(header));
  table.AlignRight(right);
  for (size_t label = 0; label < labels.size(); ++label) {
    std::vector<std::string> row = {OneLine(labels[label], 40)};
    for (int64_t count : metrics.confusion[label]) row.push_back(FormatCount(count));
    table.Add(std::move(row));
  }
  return table.ToString();
}

std::string DetailTables(const train::Metrics& metrics, const std::vector<std::string>& labels,
                         const std::string& elsewhere) {
  if (metrics.problem == ProblemType::kRegression) return FiguresTable(metrics, labels);
  std::string text = LabelsTable(metrics, labels);
  if (metrics.problem == ProblemType::kSingleLabel) {
    text += "\n" + ConfusionTable(metrics, labels, elsewhere);
  }
  return text;
}

}  // namespace bertie::cli
