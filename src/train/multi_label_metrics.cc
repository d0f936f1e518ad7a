#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/target_losses.h"
#include "train/metric_parts.h"
#include "train/metrics.h"

namespace bertie::train {
namespace {

// One label's column: its targets and logits, by sentence.
struct Column {
  std::vector<bool> targets;
  std::vector<float> logits;
};

Column ColumnOf(std::span<const float> targets, std::span<const float> logits, size_t label,
                size_t width) {
  Column column;
  for (size_t i = label; i < targets.size(); i += width) {
    column.targets.push_back(targets[i] > 0.5f);
    column.logits.push_back(logits[i]);
  }
  return column;
}

// The sum over falling thresholds of precision times what recall gains there; sentences of one
// score come in together.
double AveragePrecision(const Column& column) {
  const size_t count = column.logits.size();
  const auto positives =
      static_cast<double>(std::count(column.targets.begin(), column.targets.end(), true));
  if (positives == 0) return 0;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return column.logits[a] > column.logits[b]; });
  double hits = 0, area = 0;
  for (size_t begin = 0; begin < count;) {
    size_t end = begin;
    double gained = 0;
    while (end < count && column.logits[order[end]] == column.logits[order[begin]]) {
      gained += column.targets[order[end++]] ? 1 : 0;
    }
    hits += gained;
    area += gained / positives * (hits / static_cast<double>(end));
    begin = end;
  }
  return area;
}

// The label's figures; sentences on which it is wrong are taken out of all_right.
ClassMetrics MeasureLabel(const Column& column, double threshold, std::vector<bool>& all_right,
                          int64_t& hits) {
  ClassMetrics label;
  hits = 0;
  for (size_t row = 0; row < column.logits.size(); ++row) {
    const bool has = column.targets[row], given = ReachesThreshold(column.logits[row], threshold);
    label.support += has;
    label.predicted += given;
    hits += has && given;
    if (has != given) all_right[row] = false;
  }
  FillRatios(label, hits);
  return label;
}

}  // namespace

bool ReachesThreshold(float logit, double threshold) {
  return 1 / (1 + std::exp(-static_cast<double>(logit))) >= threshold;
}

Result<Metrics> ComputeMultiLabelMetrics(std::span<const float> targets,
                                         std::span<const float> logits, int num_labels,
                                         double threshold) {
  const auto width = static_cast<size_t>(std::max(num_labels, 1));
  const size_t sentences = targets.size() / width;
  BERTIE_RETURN_IF_ERROR(CheckLogits(logits, sentences, num_labels));
  Metrics metrics;
  metrics.problem = ProblemType::kMultiLabel;
  metrics.examples = static_cast<int64_t>(sentences);
  metrics.loss =
      Ratio(kernels::BinaryCrossEntropy({logits.data(), targets, num_labels, 1, nullptr}),
            static_cast<double>(sentences));
  std::vector<bool> all_right(sentences, true);
  int64_t all_hits = 0, decided = 0;  // decided: labels that are there, and that are given
  for (size_t label = 0; label < width; ++label) {
    const Column column = ColumnOf(targets, logits, label, width);
    int64_t hits = 0;
    const ClassMetrics one =
        metrics.classes.emplace_back(MeasureLabel(column, threshold, all_right, hits));
    metrics.macro_f1 += one.f1 / static_cast<double>(width);
    metrics.average_precision += AveragePrecision(column) / static_cast<double>(width);
    all_hits += hits;
    decided += one.support + one.predicted;
  }
  const auto right = std::count(all_right.begin(), all_right.end(), true);
  metrics.accuracy = Ratio(static_cast<double>(right), static_cast<double>(sentences));
  metrics.micro_f1 = Ratio(2 * static_cast<double>(all_hits), static_cast<double>(decided));
  metrics.hamming_loss =
      Ratio(static_cast<double>(decided - 2 * all_hits), static_cast<double>(targets.size()));
  return metrics;
}

}  // namespace bertie::train
