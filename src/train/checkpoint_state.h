// state.json: where the run of a checkpoint stands, and which run it is.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/status.h"
#include "train/position.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace bertie::train {

inline constexpr const char* kStateFile = "state.json";

// What two runs have in common when one may continue the other.
struct RunIdentity {
  Recipe recipe;   // must be the same
  Recipe machine;  // where another value may change the last bits: threads, processor, version
};

// What state.json holds.
struct CheckpointState {
  Position position;
  int64_t total_steps = 0;
  int64_t optimizer_steps = 0;
  bool finished = false;
  RunIdentity identity;
};

Status WriteCheckpointState(const std::filesystem::path& dir, const TrainingState& run,
                            const RunIdentity& identity);

// Without a look at the checkpoint's manifest. kInvalidData names the member that is missing or of
// another type.
Result<CheckpointState> ReadCheckpointState(const std::filesystem::path& dir);

}  // namespace bertie::train
