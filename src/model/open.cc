#include "model/open.h"

#include <utility>

#include "model/compiled_file.h"

namespace bertie::model {
namespace {

Error NoHead(const Checkpoint& checkpoint, const std::string& model) {
  std::string names;
  for (const std::string& name : checkpoint.missing) names += (names.empty() ? "" : ", ") + name;
  return {ErrorCode::kInvalidData,
          model + ": found no " + names +
              "; expected a model trained to classify. Train one from it: bertie train DATA "
              "--model " +
              model};
}

Status CheckMaxLength(const Config& config, const std::string& name, int64_t max_length) {
  if (max_length <= config.max_position_embeddings) return {};
  return Error{ErrorCode::kInvalidArgument,
               "--max-length is " + std::to_string(max_length) + "; " + name + " takes at most " +
                   std::to_string(config.max_position_embeddings) + " tokens"};
}

Result<OpenedModel> OpenCompiled(const std::filesystem::path& dir, const std::string& name,
                                 const OpenOptions& options, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const Config config, LoadConfig(dir / "config.json"));
  BERTIE_RETURN_IF_ERROR(CheckMaxLength(config, name, options.max_length));
  BERTIE_ASSIGN_OR_RETURN(CompiledModel compiled, LoadCompiled(dir, pool));
  const WeightType precision = compiled.info.precision;
  if (options.precision && *options.precision != precision) {
    return Error{ErrorCode::kInvalidArgument,
                 name + " was compiled in " + PrecisionName(precision) + ", and " +
                     PrecisionName(*options.precision) +
                     " is asked for: compile its source again, or ask for none"};
  }
  std::string note;
  if (compiled.repacked > 0) {
    note = "compiled for another processor (" + compiled.info.cpu + "); " +
           std::to_string(compiled.repacked) +
           " matrices were laid out anew for this one. To start quicker, compile here";
  }
  return OpenedModel{Classifier(std::move(compiled.weights)), precision, std::move(note)};
}

}  // namespace

Result<OpenedModel> OpenClassifier(const std::filesystem::path& dir, const OpenOptions& options,
                                   ThreadPool& pool) {
  const std::string name = options.name.empty() ? dir.string() : options.name;
  if (IsCompiled(dir)) return OpenCompiled(dir, name, options, pool);
  BERTIE_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(dir));
  if (!checkpoint.missing.empty()) return NoHead(checkpoint, name);
  BERTIE_RETURN_IF_ERROR(CheckMaxLength(checkpoint.config, name, options.max_length));
  const WeightType precision = options.precision.value_or(WeightType::kF32);
  BERTIE_ASSIGN_OR_RETURN(ClassifierWeights weights,
                          PackWeights(checkpoint, {precision, {}}, pool));
  return OpenedModel{Classifier(std::move(weights)), precision, ""};
}

}  // namespace bertie::model
