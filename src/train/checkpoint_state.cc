#include "train/checkpoint_state.h"

#include <string>

#include "base/file.h"
#include "train/json_members.h"

namespace bertie::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStateFormat = 1;

Json PositionToJson(const Position& position) {
  return {{"epoch", position.epoch},
          {"epoch_step", position.epoch_step},
          {"step", position.step},
          {"passes", position.passes},
          {"loss_sum", position.loss_sum},
          {"sentences", position.sentences},
          {"seconds", position.seconds},
          {"best_epoch", position.selection.best_epoch},
          {"best_value", position.selection.best_value},
          {"epochs_without_gain", position.selection.epochs_without_gain}};
}

Result<Position> PositionFromJson(const Json& json, const std::string& where) {
  Members members(json, where);
  Position position;
  position.epoch = members.Integer("epoch");
  position.epoch_step = members.Integer("epoch_step");
  position.step = members.Integer("step");
  position.passes = static_cast<uint64_t>(members.Integer("passes"));
  position.loss_sum = members.Number("loss_sum");
  position.sentences = members.Integer("sentences");
  position.seconds = members.Number("seconds");
  position.selection.best_epoch = members.Integer("best_epoch");
  position.selection.best_value = members.Number("best_value");
  position.selection.epochs_without_gain = members.Integer("epochs_without_gain");
  BERTIE_RETURN_IF_ERROR(members.status());
  return position;
}

}  // namespace

Status WriteCheckpointState(const fs::path& dir, const TrainingState& run,
                            const RunIdentity& identity) {
  const Json json = {{"format", kStateFormat},
                     {"position", PositionToJson(run.position)},
                     {"total_steps", run.total_steps},
                     {"optimizer_steps", run.optimizer.steps()},
                     {"finished", run.finished},
                     {"recipe", RecipeToJson(identity.recipe)},
                     {"recipe_sha256", HashRecipe(identity.recipe)},
                     {"machine", RecipeToJson(identity.machine)}};
  return WriteFileAtomically(dir / kStateFile, formats::DumpJson(json, 2) + "\n");
}

Result<CheckpointState> ReadCheckpointState(const fs::path& dir) {
  const std::string path = (dir / kStateFile).string();
  BERTIE_ASSIGN_OR_RETURN(const Json json, ReadObject(path));
  Members members(json, path);
  if (const int64_t format = members.Integer("format");
      members.status().ok() && format != kStateFormat) {
    return Error{ErrorCode::kUnsupported, path + ": format is " + std::to_string(format) +
                                              ", expected " + std::to_string(kStateFormat)};
  }
  CheckpointState state;
  state.total_steps = members.Integer("total_steps");
  state.optimizer_steps = members.Integer("optimizer_steps");
  state.finished = members.Bool("finished");
  const std::string hash = members.String("recipe_sha256");
  const Json& position = members.Object("position");
  const Json& recipe = members.Object("recipe");
  const Json& machine = members.Object("machine");
  BERTIE_RETURN_IF_ERROR(members.status());
  BERTIE_ASSIGN_OR_RETURN(state.position, PositionFromJson(position, path));
  BERTIE_ASSIGN_OR_RETURN(state.identity.recipe, RecipeFromJson(recipe, path));
  BERTIE_ASSIGN_OR_RETURN(state.identity.machine, RecipeFromJson(machine, path));
  if (const std::string found = HashRecipe(state.identity.recipe); found != hash) {
    return Error{ErrorCode::kInvalidData,
                 path + ": the recipe's SHA-256 is " + found + ", expected " + hash};
  }
  return state;
}

}  // namespace bertie::train
