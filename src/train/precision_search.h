// What a lower precision costs a model, and which matrices to spare it so that it costs little.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/classifier_weights.h"
#include "train/evaluator.h"

namespace bertie::train {

// A model's answers beside the original's, on the same sentences.
struct Comparison {
  // Share of the sentences with the same largest logit; with several labels a sentence, share of
  // all sentences' labels that are given alike at 0.5; in a regression the rank correlation.
  double agreement = 0;
  double mean_difference = 0;  // of a logit, absolute
  double largest_difference = 0;
  Metrics before, after;

  // How much accuracy or MCC is lost, whichever is more; with several labels a sentence micro or
  // macro F1, in a regression Pearson's or Spearman's correlation. Negative where both have grown.
  double drop() const;
};

struct PrecisionBound {
  double min_agreement = 0.99;
  double max_drop = 0.005;  // of Comparison::drop: 0.005 is half a point

  bool Holds(const Comparison& comparison) const {
    return comparison.agreement >= min_agreement && comparison.drop() <= max_drop;
  }
};

// "weighing 3 of 49 matrices", for a progress bar.
struct SearchProgress {
  std::string step;
  int64_t done = 0;
  int64_t total = 0;
};

struct SearchOptions {
  PrecisionBound bound;
  int64_t sample = 128;  // sentences on which a single matrix is weighed
  std::function<void(const SearchProgress&)> progress = {};
};

struct SearchResult {
  model::ClassifierWeights weights;
  std::vector<std::string> raised;  // matrices held in a higher precision, the costliest first
  Comparison first;                 // with none raised
  Comparison comparison;            // as it is
};

// Packs the checkpoint in `precision`. Where that breaks the bound on data, each matrix is weighed
// by what raising it alone does to the logits of a sample, and the costliest ones are raised, twice
// as many each time, until the bound holds or all are raised (then it may still be broken: see
// comparison). data is not empty and its labels are the model's.
Result<SearchResult> LowerPrecision(const model::Checkpoint& checkpoint,
                                    model::WeightType precision, const EncodedDataset& data,
                                    const SearchOptions& options, ThreadPool& pool);

}  // namespace bertie::train
