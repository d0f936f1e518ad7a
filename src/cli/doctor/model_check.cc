#include "cli/doctor/model_check.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/figures.h"
#include "cli/table.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "model/compiled_file.h"
#include "model/open.h"
#include "serve/answer.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// The text of a step that passed.
using StepResult = Result<std::string>;

StepResult CheckConfig(const fs::path& dir) {
  BERTIE_ASSIGN_OR_RETURN(const model::Config config, model::LoadConfig(dir / "config.json"));
  const auto labels =
      serve::MakeLabelScheme(config.labels, config.num_labels(), config.problem_type).labels;
  std::string text = std::to_string(config.num_hidden_layers) + " layers of " +
                     std::to_string(config.hidden_size) + ", " + std::to_string(labels.size()) +
                     " labels: ";
  for (size_t i = 0; i < std::min<size_t>(labels.size(), 4); ++i) {
    text += (i > 0 ? ", " : "") + OneLine(labels[i], 24);
  }
  return text + (labels.size() > 4 ? ", ..." : "");
}

StepResult CheckTokenizer(const fs::path& dir) {
  BERTIE_ASSIGN_OR_RETURN(const model::Config config, model::LoadConfig(dir / "config.json"));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(dir));
  const auto size = static_cast<int64_t>(tokenizer.vocab_size());
  if (size > config.vocab_size) {
    return Error{ErrorCode::kInvalidData, "the vocabulary has " + FormatCount(size) +
                                              " tokens and the model embeddings for " +
                                              FormatCount(config.vocab_size) +
                                              ": they belong to different models"};
  }
  return FormatCount(size) + " tokens, " + (tokenizer.lower_case() ? "lower case" : "cased");
}

// A folder that lacks its head is a model to train, and no classifier.
StepResult CheckWeights(const fs::path& dir) {
  if (model::IsCompiled(dir)) {
    BERTIE_ASSIGN_OR_RETURN(const model::CompiledInfo info, model::ReadCompiledInfo(dir));
    return "compiled to " + std::string(model::PrecisionName(info.precision)) + " for " + info.cpu;
  }
  BERTIE_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::LoadCheckpoint(dir));
  std::vector<float> values;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    values.resize(static_cast<size_t>(tensor.elements()));
    if (!CopyToFloat(tensor, values.data())) continue;
    const auto bad = std::find_if_not(values.begin(), values.end(),
                                      [](float value) { return std::isfinite(value); });
    if (bad != values.end()) {
      return Error{ErrorCode::kInvalidData, name + " holds a value that is not finite at element " +
                                                std::to_string(bad - values.begin()) +
                                                ": the training that made it failed"};
    }
  }
  if (!checkpoint.missing.empty()) {
    return Error{ErrorCode::kInvalidData, "there is no " + checkpoint.missing.front() +
                                              ": a pretrained model, which 'bertie train DATA "
                                              "--model MODEL' makes a classifier of"};
  }
  return std::to_string(checkpoint.tensors.size()) + " tensors, of the shapes that config.json " +
         "asks for, all finite";
}

StepResult WarmUp(const fs::path& dir, const std::string& name, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(dir));
  model::OpenOptions options;
  options.name = name;
  BERTIE_ASSIGN_OR_RETURN(const model::OpenedModel opened,
                          model::OpenClassifier(dir, options, pool));
  const text::Encoding encoding = tokenizer.Encode("Somebody just left - guess who.");
  model::PackedBatch batch;
  batch.Add(encoding.ids, encoding.type_ids);
  double best = 0;
  std::vector<float> logits;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    BERTIE_ASSIGN_OR_RETURN(logits, opened.classifier.Forward(batch, pool));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    best = i == 0 ? took.count() : std::min(best, took.count());
  }
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
    return Error{ErrorCode::kInvalidData, "the logits of a sentence are not finite"};
  }
  return "a sentence of " + std::to_string(encoding.ids.size()) + " tokens in " +
         FormatFixed(best, 2) + " ms (" + model::PrecisionName(opened.precision) + ", " +
         std::to_string(pool.size()) + (pool.size() == 1 ? " thread)" : " threads)");
}

}  // namespace

ModelCheck CheckModel(const std::string& model, const SourceFlags& source, ThreadPool& pool) {
  ModelCheck check;
  const auto opened = OpenSource(model, source);
  if (!opened.ok()) {
    check.steps.push_back({"files", opened.error().message, false});
    return check;
  }
  const fs::path& dir = opened->dir();
  const auto add = [&](const char* what, const StepResult& result) {
    check.steps.push_back(
        {what,
         result.ok() ? *result : model::RenamePath(result.error(), dir.string(), model).message,
         result.ok()});
    return result.ok();
  };
  if (add("config", CheckConfig(dir)) && add("tokenizer", CheckTokenizer(dir)) &&
      add("weights", CheckWeights(dir))) {
    add("answer", WarmUp(dir, model, pool));
  }
  return check;
}

}  // namespace bertie::cli
