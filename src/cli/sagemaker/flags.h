// Hyperparameters of a SageMaker training job as flags of `bertie train`.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::cli {

// Hyperparameters that name a file, and no flag.
struct NamedFiles {
  std::string train, test, model;  // "" where not given
};

// "--lr=2e-05" for each hyperparameter, by the names of the command's flags, with - or _, and by
// those that other training scripts use (learning_rate, per_device_train_batch_size, ...). Flags
// that the container sets by itself (--out, ...) are not known here. null counts as not given.
// kInvalidArgument for names that are not known (the message has all that are), for two names of
// the same flag, for lists and objects, and for a backend other than gloo.
Result<std::vector<std::string>> ToFlags(
    const std::map<std::string, formats::Json>& hyperparameters, const CLI::App& command,
    NamedFiles& files);

}  // namespace bertie::cli
