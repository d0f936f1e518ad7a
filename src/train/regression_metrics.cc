#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "train/metric_parts.h"
#include "train/metrics.h"

namespace bertie::train {
namespace {

// Pearson's, by deviations from the means so that nothing is lost to their size.
double Correlation(std::span<const double> a, std::span<const double> b) {
  const auto count = static_cast<double>(a.size());
  if (a.empty()) return 0;
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / count;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / count;
  double both = 0, squares_a = 0, squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    both += (a[i] - mean_a) * (b[i] - mean_b);
    squares_a += (a[i] - mean_a) * (a[i] - mean_a);
    squares_b += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return Ratio(both, std::sqrt(squares_a) * std::sqrt(squares_b));
}

// Places from 1 in rising order; equal numbers share the mean of theirs.
std::vector<double> PlacesOf(std::span<const float> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double shared = static_cast<double>(begin + 1 + end) / 2;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = shared;
    begin = end;
  }
  return ranks;
}

}  // namespace

double RankCorrelation(std::span<const float> a, std::span<const float> b) {
  return Correlation(PlacesOf(a), PlacesOf(b));
}

Result<Metrics> ComputeRegressionMetrics(std::span<const float> targets,
                                         std::span<const float> predictions) {
  BERTIE_RETURN_IF_ERROR(CheckLogits(predictions, targets.size(), 1));
  Metrics metrics;
  metrics.problem = ProblemType::kRegression;
  metrics.examples = static_cast<int64_t>(targets.size());
  const auto count = static_cast<double>(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const double error = static_cast<double>(predictions[i]) - static_cast<double>(targets[i]);
    metrics.loss += Ratio(error * error, count);
    metrics.mae += Ratio(std::abs(error), count);
  }
  metrics.rmse = std::sqrt(metrics.loss);
  metrics.pearson = Correlation(std::vector<double>(targets.begin(), targets.end()),
                                std::vector<double>(predictions.begin(), predictions.end()));
  metrics.spearman = RankCorrelation(targets, predictions);
  return metrics;
}

}  // namespace bertie::train
