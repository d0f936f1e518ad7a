// Where a training run stands.
#pragma once

#include <cstdint>

#include "train/selection.h"

namespace bertie::train {

// With the weights, the optimiser's state and the recipe, all that decides how a run goes on. The
// order of the sentences and the dropout masks are functions of seed, epoch and pass, so that no
// generator's state is part of it. Stands between two steps.
struct Position {
  int64_t epoch = 1;       // under way, or about to begin; epochs + 1 after the last one
  int64_t epoch_step = 0;  // optimiser steps done in this epoch
  int64_t step = 0;        // optimiser steps done in the run
  uint64_t passes = 0;     // forward passes done in the run: they choose the dropout masks

  // Of this epoch so far, for its report.
  double loss_sum = 0;
  int64_t sentences = 0;
  double seconds = 0;

  Selection selection;

  friend bool operator==(const Position&, const Position&) = default;
};

}  // namespace bertie::train
