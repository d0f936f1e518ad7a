#include "cli/metric_tables.h"

#include "cli/progress.h"
#include "cli/table.h"

namespace bertie::cli {

double MainF1(const train::Metrics& metrics) {
  return metrics.binary_f1.value_or(metrics.macro_f1);
}

std::string FiguresTable(const train::Metrics& metrics, const std::vector<std::string>& labels) {
  Table table;
  table.AlignRight({1});
  table.Add({"accuracy", FormatFixed(metrics.accuracy, 4)});
  if (metrics.binary_f1) {
    table.Add({"F1 of " + OneLine(labels[1], 30), FormatFixed(*metrics.binary_f1, 4)});
  }
  table.Add({"macro F1", FormatFixed(metrics.macro_f1, 4)});
  table.Add({"micro F1", FormatFixed(metrics.micro_f1, 4)});
  table.Add({"MCC", FormatFixed(metrics.mcc, 4)});
  table.Add({"loss", FormatFixed(metrics.loss, 4)});
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

}  // namespace bertie::cli
