// How good a model's answers are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/problem_type.h"
#include "base/status.h"

namespace bertie::train {

// The sentences' true answers.
struct Targets {
  ProblemType problem = ProblemType::kSingleLabel;
  std::vector<int> labels;    // kSingleLabel: each sentence's id
  std::vector<float> values;  // else [sentences, labels]: 0 or 1, or numbers
};

// One label against all others. A ratio whose denominator is 0 counts as 0, as in scikit-learn.
struct ClassMetrics {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  int64_t support = 0;    // sentences that have this label
  int64_t predicted = 0;  // sentences that were given this label
};

// Equal to scikit-learn's figures of the same names (with its defaults; Spearman's correlation to
// scipy's) in exact arithmetic. What a problem has no use for is 0 or empty: see train/figures.h.
struct Metrics {
  ProblemType problem = ProblemType::kSingleLabel;
  int64_t examples = 0;
  // Mean cross-entropy, binary cross-entropy over all labels too, or squared error.
  double loss = 0;
  double accuracy = 0;  // kMultiLabel: share of the sentences all of whose labels are right
  // Mean over the labels; kSingleLabel: over those that occur among the true or the predicted ones.
  double macro_f1 = 0;
  double micro_f1 = 0;  // of all labels' decisions together; the accuracy with kSingleLabel
  // F1 of label 1; absent unless there are two labels.
  std::optional<double> binary_f1;
  // Matthews correlation coefficient in its form for any number of labels (Gorodkin, "Comparing
  // two K-category assignments by a K-category correlation coefficient", 2004). 0 where it is not
  // defined: all true or all predicted labels are the same.
  double mcc = 0;
  // kMultiLabel: share of the decisions, one for each sentence and label, that are wrong.
  double hamming_loss = 0;
  // kMultiLabel: mean over the labels of the area under precision by recall, by any threshold.
  double average_precision = 0;
  std::vector<ClassMetrics> classes;            // [num_labels]; empty in a regression
  std::vector<std::vector<int64_t>> confusion;  // [true label][predicted label], kSingleLabel
  // kRegression. The correlations are 0 where they are not defined: all numbers are the same.
  double rmse = 0;
  double mae = 0;
  double pearson = 0;
  double spearman = 0;  // of ranks; equal numbers share the mean of theirs
};

// The label with the largest logit, the first one among equals. logits is not empty.
int ArgMax(std::span<const float> logits);

// labels[i] in [0, num_labels); logits [labels.size(), num_labels], row-major. kInvalidArgument
// when the sizes do not match or a label is out of range; kInvalidData, naming the row, when a
// logit is not finite.
Result<Metrics> ComputeMetrics(std::span<const int> labels, std::span<const float> logits,
                               int num_labels);

// From which score, sigmoid(logit), on a text is given a label where it may have several.
inline constexpr double kDefaultThreshold = 0.5;
bool ReachesThreshold(float logit, double threshold);

// targets and logits [sentences, num_labels]. Errors are ComputeMetrics'.
Result<Metrics> ComputeMultiLabelMetrics(std::span<const float> targets,
                                         std::span<const float> logits, int num_labels,
                                         double threshold = kDefaultThreshold);

// Errors are ComputeMetrics'.
Result<Metrics> ComputeRegressionMetrics(std::span<const float> targets,
                                         std::span<const float> predictions);

// Spearman's rank correlation; 0 where it is not defined. Both of one size.
double RankCorrelation(std::span<const float> a, std::span<const float> b);

// The one of these that the problem asks for. kUnsupported: a regression of several numbers.
Result<Metrics> ComputeMetrics(const Targets& targets, std::span<const float> logits,
                               int num_labels, double threshold = kDefaultThreshold);

}  // namespace bertie::train
