// How a run was set up, for people: in the report, in the model card, in TensorBoard.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/train/job.h"

namespace bertie::cli {

// Names and values, in the order of `bertie train --help`; one for each setting that changes the
// result.
std::vector<std::pair<std::string, std::string>> RecipeRows(const TrainJob& job);

// As a table of Markdown.
std::string RecipeMarkdown(const TrainJob& job);

}  // namespace bertie::cli
