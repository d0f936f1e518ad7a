// Test sentences that a model got wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "model/config.h"

namespace bertie::cli {

struct Mistake {
  std::string text;
  std::string pair;                                                // "" where there is none
  int64_t line = 0;                                                // of its file
  std::string truth, predicted;                                    // a label; several; a number
  std::optional<double> truth_probability, predicted_probability;  // with one label a sentence
  double size = 0;  // how wrong: the larger the worse
};

struct Mistakes {
  std::vector<Mistake> worst;  // the worst first, no more than 50
  int64_t all = 0;
};

// The wrong answers among the examples; logits are theirs, [examples, labels]. Those come first
// that held the true label for the least likely; with several labels a sentence, whose loss is
// largest; with numbers (all of which are wrong), that are furthest off.
Mistakes FindMistakes(const std::vector<data::Example>& examples, std::span<const float> logits,
                      const model::Config& config, double threshold);

}  // namespace bertie::cli
