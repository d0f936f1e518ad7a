// How good a classifier's answers are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"

namespace bertie::train {

// One label against all others. A ratio whose denominator is 0 counts as 0, as in scikit-learn.
struct ClassMetrics {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  int64_t support = 0;    // sentences that have this label
  int64_t predicted = 0;  // sentences that were given this label
};

// Equal to scikit-learn's figures of the same names (with its defaults) in exact arithmetic.
struct Metrics {
  int64_t examples = 0;
  double loss = 0;  // mean cross-entropy, in nats
  double accuracy = 0;
  // Mean over the labels that occur among the true or the predicted ones.
  double macro_f1 = 0;
  double micro_f1 = 0;  // equals the accuracy where each sentence has one label
  // F1 of label 1; absent unless there are two labels.
  std::optional<double> binary_f1;
  // Matthews correlation coefficient in its form for any number of labels (Gorodkin, "Comparing
  // two K-category assignments by a K-category correlation coefficient", 2004). 0 where it is not
  // defined: all true or all predicted labels are the same.
  double mcc = 0;
  std::vector<ClassMetrics> classes;            // [num_labels]
  std::vector<std::vector<int64_t>> confusion;  // [true label][predicted label]
};

// The label with the largest logit, the first one among equals. logits is not empty.
int ArgMax(std::span<const float> logits);

// labels[i] in [0, num_labels); logits [labels.size(), num_labels], row-major. kInvalidArgument
// when the sizes do not match or a label is out of range; kInvalidData, naming the row, when a
// logit is not finite.
Result<Metrics> ComputeMetrics(std::span<const int> labels, std::span<const float> logits,
                               int num_labels);

}  // namespace bertie::train
