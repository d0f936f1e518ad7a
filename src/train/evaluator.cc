#include "train/evaluator.h"

#include <algorithm>
#include <numeric>

namespace bertie::train {

Targets MakeTargets(const std::vector<data::Example>& examples, ProblemType problem,
                    int64_t num_labels) {
  Targets targets;
  targets.problem = problem;
  const auto width = static_cast<size_t>(num_labels);
  if (problem == ProblemType::kMultiLabel) targets.values.resize(examples.size() * width);
  for (size_t row = 0; row < examples.size(); ++row) {
    const data::Example& example = examples[row];
    if (problem == ProblemType::kSingleLabel) targets.labels.push_back(example.label);
    if (problem == ProblemType::kRegression) {
      targets.values.push_back(static_cast<float>(example.number));
    }
    for (const int label : example.labels) {
      targets.values[row * width + static_cast<size_t>(label)] = 1;
    }
  }
  return targets;
}

std::vector<text::Encoding> EncodeExamples(const text::Tokenizer& tokenizer,
                                           const std::vector<data::Example>& examples,
                                           size_t max_length) {
  std::vector<text::Encoding> encodings;
  for (const data::Example& example : examples) {
    encodings.push_back(tokenizer.Encode(example.text, example.pair, max_length));
  }
  return encodings;
}

Result<std::vector<float>> ComputeLogits(const model::Classifier& classifier,
                                         const std::vector<text::Encoding>& encodings,
                                         const EvaluatorOptions& options, ThreadPool& pool) {
  const auto labels = static_cast<size_t>(classifier.config().num_labels());
  std::vector<size_t> order(encodings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return encodings[a].ids.size() < encodings[b].ids.size();
  });
  std::vector<float> logits(encodings.size() * labels);
  model::PackedBatch batch;
  for (size_t first = 0; first < order.size();) {
    if (options.stop != nullptr && options.stop->load()) {
      return Error{ErrorCode::kCancelled, "the evaluation was stopped"};
    }
    batch.Clear();
    size_t last = first;
    while (last < order.size()) {
      const auto& encoding = encodings[order[last]];
      const auto length = static_cast<int64_t>(encoding.ids.size());
      if (batch.size() == options.batch_size) break;
      if (last > first && batch.tokens() + length > options.batch_tokens) break;
      batch.Add(encoding.ids, encoding.type_ids);
      ++last;
    }
    BERTIE_ASSIGN_OR_RETURN(std::vector<float> part, classifier.Forward(batch, pool));
    for (size_t i = first; i < last; ++i) {
      std::copy_n(part.begin() + static_cast<ptrdiff_t>((i - first) * labels), labels,
                  logits.begin() + static_cast<ptrdiff_t>(order[i] * labels));
    }
    first = last;
    if (options.progress) options.progress(static_cast<int64_t>(first));
  }
  return logits;
}

Result<Metrics> Evaluate(const model::Classifier& classifier, const EncodedDataset& data,
                         const EvaluatorOptions& options, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const auto logits,
                          ComputeLogits(classifier, data.encodings, options, pool));
  return ComputeMetrics(data.targets, logits, static_cast<int>(classifier.config().num_labels()),
                        options.threshold);
}

}  // namespace bertie::train
