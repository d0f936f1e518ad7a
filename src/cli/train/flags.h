// The flags of `bertie train`, for it and for others that start the same job.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/status.h"
#include "cli/train/job.h"

namespace bertie::cli {

// Registers the flags. The function returned makes the job of them once the command is parsed; the
// command must live as long. kInvalidArgument, naming the flag, where a value makes no sense.
std::function<Result<TrainJob>()> AddTrainFlags(CLI::App& command);

}  // namespace bertie::cli
