// The page that shows how a training run went.
#pragma once

#include <string>

#include "cli/train/summary.h"

namespace bertie::cli {

// One HTML page that needs nothing beside it: curves, figures, confusion matrix, the worst
// mistakes, recipe, machine. It holds test sentences.
std::string TrainReportHtml(const TrainSummary& summary);

}  // namespace bertie::cli
