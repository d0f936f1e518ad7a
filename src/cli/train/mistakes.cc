#include "cli/train/mistakes.h"

#include <algorithm>
#include <cmath>

#include "base/figures.h"
#include "kernels/target_losses.h"
#include "model/problem.h"
#include "train/metrics.h"

namespace bertie::cli {
namespace {

constexpr size_t kMostMistakes = 50;

std::vector<double> Softmax(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result;
  double sum = 0;
  for (const float logit : logits) sum += result.emplace_back(std::exp(logit - largest));
  for (double& value : result) value /= sum;
  return result;
}

// nullopt for a right answer.
std::optional<Mistake> WrongLabel(const data::Example& example, std::span<const float> logits,
                                  const std::vector<std::string>& labels) {
  const auto truth = static_cast<size_t>(example.label);
  const auto predicted = static_cast<size_t>(train::ArgMax(logits));
  if (predicted == truth) return std::nullopt;
  const std::vector<double> probabilities = Softmax(logits);
  Mistake mistake;
  mistake.truth = labels[truth];
  mistake.predicted = labels[predicted];
  mistake.truth_probability = probabilities[truth];
  mistake.predicted_probability = probabilities[predicted];
  mistake.size = -probabilities[truth];
  return mistake;
}

std::optional<Mistake> WrongLabels(const data::Example& example, std::span<const float> logits,
                                   const std::vector<std::string>& labels, double threshold) {
  std::vector<float> targets(labels.size());
  for (const int label : example.labels) targets[static_cast<size_t>(label)] = 1;
  Mistake mistake;
  bool wrong = false;
  for (size_t label = 0; label < labels.size(); ++label) {
    const bool has = targets[label] == 1, given = train::ReachesThreshold(logits[label], threshold);
    wrong |= has != given;
    if (has) mistake.truth += (mistake.truth.empty() ? "" : ", ") + labels[label];
    if (given) mistake.predicted += (mistake.predicted.empty() ? "" : ", ") + labels[label];
  }
  if (!wrong) return std::nullopt;
  for (std::string* names : {&mistake.truth, &mistake.predicted}) {
    if (names->empty()) *names = "no label";
  }
  mistake.size = kernels::BinaryCrossEntropy(
      {logits.data(), targets, static_cast<int64_t>(labels.size()), 1, nullptr});
  return mistake;
}

Mistake WrongNumber(const data::Example& example, float predicted) {
  Mistake mistake;
  mistake.truth = FormatFixed(example.number, 4);
  mistake.predicted = FormatFixed(static_cast<double>(predicted), 4);
  mistake.size = std::abs(static_cast<double>(predicted) - example.number);
  return mistake;
}

std::optional<Mistake> WrongAnswer(const data::Example& example, std::span<const float> logits,
                                   const model::Config& config, double threshold) {
  switch (model::ProblemOf(config)) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return WrongLabels(example, logits, config.labels, threshold);
    case ProblemType::kRegression:
      return WrongNumber(example, logits.front());
  }
  return WrongLabel(example, logits, config.labels);
}

}  // namespace

Mistakes FindMistakes(const std::vector<data::Example>& examples, std::span<const float> logits,
                      const model::Config& config, double threshold) {
  const auto width = static_cast<size_t>(config.num_labels());
  Mistakes found;
  for (size_t i = 0; i < examples.size(); ++i) {
    auto mistake = WrongAnswer(examples[i], logits.subspan(i * width, width), config, threshold);
    if (!mistake) continue;
    mistake->text = examples[i].text;
    mistake->pair = examples[i].pair.value_or("");
    mistake->line = examples[i].line;
    found.worst.push_back(std::move(*mistake));
  }
  found.all = static_cast<int64_t>(found.worst.size());
  std::stable_sort(found.worst.begin(), found.worst.end(),
                   [](const Mistake& a, const Mistake& b) { return a.size > b.size; });
  if (found.worst.size() > kMostMistakes) found.worst.resize(kMostMistakes);
  return found;
}

}  // namespace bertie::cli
