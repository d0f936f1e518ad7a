#include "train/metrics.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "train/metric_parts.h"

namespace bertie::train {
namespace {

// -log softmax(logits)[label], by the largest logit so that nothing overflows.
double CrossEntropy(std::span<const float> logits, int label) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(label)]);
}

Error BadLabel(size_t row, int label, int num_labels) {
  return {ErrorCode::kInvalidArgument, "sentence " + std::to_string(row) + " has label " +
                                           std::to_string(label) + "; expected 0 to " +
                                           std::to_string(num_labels - 1)};
}

// The figures that need only the confusion matrix.
void FillFromConfusion(Metrics& metrics) {
  const size_t count = metrics.confusion.size();
  const double total = static_cast<double>(metrics.examples);
  metrics.classes.resize(count);
  int64_t correct = 0;
  for (size_t row = 0; row < count; ++row) {
    correct += metrics.confusion[row][row];
    for (size_t column = 0; column < count; ++column) {
      metrics.classes[row].support += metrics.confusion[row][column];
      metrics.classes[column].predicted += metrics.confusion[row][column];
    }
  }
  double f1_sum = 0, f1_labels = 0;
  double true_by_predicted = 0, true_squares = 0, predicted_squares = 0;
  for (size_t label = 0; label < count; ++label) {
    ClassMetrics& one = metrics.classes[label];
    FillRatios(one, metrics.confusion[label][label]);
    const double support = static_cast<double>(one.support);
    const double predicted = static_cast<double>(one.predicted);
    if (one.support + one.predicted > 0) {
      f1_sum += one.f1;
      f1_labels += 1;
    }
    true_by_predicted += support * predicted;
    true_squares += support * support;
    predicted_squares += predicted * predicted;
  }
  metrics.accuracy = Ratio(static_cast<double>(correct), total);
  metrics.micro_f1 = metrics.accuracy;
  metrics.macro_f1 = Ratio(f1_sum, f1_labels);
  if (count == 2) metrics.binary_f1 = metrics.classes[1].f1;
  metrics.mcc =
      Ratio(static_cast<double>(correct) * total - true_by_predicted,
            std::sqrt((total * total - true_squares) * (total * total - predicted_squares)));
}

}  // namespace

int ArgMax(std::span<const float> logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Status CheckLogits(std::span<const float> logits, size_t sentences, int num_labels) {
  const auto width = static_cast<size_t>(num_labels);
  if (num_labels < 1 || logits.size() != sentences * width) {
    return Error{ErrorCode::kInvalidArgument, "found " + std::to_string(logits.size()) +
                                                  " logits; expected " + std::to_string(sentences) +
                                                  " x " + std::to_string(num_labels)};
  }
  const auto bad =
      std::find_if(logits.begin(), logits.end(), [](float v) { return !std::isfinite(v); });
  if (bad == logits.end()) return {};
  const auto row = static_cast<size_t>(bad - logits.begin()) / width;
  return Error{ErrorCode::kInvalidData,
               "the logits of sentence " + std::to_string(row) + " are not finite"};
}

void FillRatios(ClassMetrics& label, int64_t hits) {
  const auto right = static_cast<double>(hits);
  const auto support = static_cast<double>(label.support);
  const auto predicted = static_cast<double>(label.predicted);
  label.precision = Ratio(right, predicted);
  label.recall = Ratio(right, support);
  label.f1 = Ratio(2 * right, support + predicted);
}

Result<Metrics> ComputeMetrics(const Targets& targets, std::span<const float> logits,
                               int num_labels, double threshold) {
  switch (targets.problem) {
    case ProblemType::kSingleLabel:
      return ComputeMetrics(targets.labels, logits, num_labels);
    case ProblemType::kMultiLabel:
      return ComputeMultiLabelMetrics(targets.values, logits, num_labels, threshold);
    case ProblemType::kRegression:
      break;
  }
  if (num_labels == 1) return ComputeRegressionMetrics(targets.values, logits);
  return Error{ErrorCode::kUnsupported, "found a regression of " + std::to_string(num_labels) +
                                            " numbers; expected one of one number"};
}

Result<Metrics> ComputeMetrics(std::span<const int> labels, std::span<const float> logits,
                               int num_labels) {
  const size_t width = static_cast<size_t>(num_labels);
  BERTIE_RETURN_IF_ERROR(CheckLogits(logits, labels.size(), num_labels));
  Metrics metrics;
  metrics.examples = static_cast<int64_t>(labels.size());
  metrics.confusion.assign(width, std::vector<int64_t>(width));
  double loss = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    const std::span<const float> values = logits.subspan(row * width, width);
    if (labels[row] < 0 || labels[row] >= num_labels) return BadLabel(row, labels[row], num_labels);
    loss += CrossEntropy(values, labels[row]);
    ++metrics.confusion[static_cast<size_t>(labels[row])][static_cast<size_t>(ArgMax(values))];
  }
  metrics.loss = Ratio(loss, static_cast<double>(labels.size()));
  FillFromConfusion(metrics);
  return metrics;
}

}  // namespace bertie::train
