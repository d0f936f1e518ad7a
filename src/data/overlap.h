// Sentences that occur more than once, in a file or in both of two.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace bertie::data {

// Two sentences are the same here when their texts (and second texts) are, but for ASCII letters'
// case and the kind and number of blanks.
struct Repetitions {
  int64_t repeated = 0;  // sentences that are the same as an earlier one
  // Sentences that are the same as an earlier one with another label, other labels or another
  // number: not both can be right.
  int64_t contradicting = 0;
  // Lines of the first few: of the earlier sentence, and of the one that repeats or contradicts it.
  std::vector<std::pair<int64_t, int64_t>> repeated_lines;
  std::vector<std::pair<int64_t, int64_t>> contradicting_lines;
};

// Of the sentences in one file. repeated counts those under another label too.
Repetitions FindRepetitions(std::span<const Example> examples);

// Of test sentences that are also training sentences: a test with them measures what was learnt by
// heart. The earlier line is the training file's. Both with the same label ids.
Repetitions FindLeakage(std::span<const Example> train, std::span<const Example> test);

}  // namespace bertie::data
