#include "train/recipe.h"

#include <charconv>
#include <span>

#include "base/sha256.h"
#include "tensor/dtype.h"

namespace bertie::train {
namespace {

std::string Number(double value) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

template <class T>
void UpdateArray(Sha256& sha, const std::vector<T>& values) {
  const uint64_t count = values.size();
  sha.Update(std::as_bytes(std::span(&count, 1)));
  sha.Update(std::as_bytes(std::span(values)));
}

const char* ScheduleName(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant:
      return "constant";
    case Schedule::kLinear:
      return "linear";
    case Schedule::kCosine:
      return "cosine";
  }
  return "";
}

const char* OrderName(data::Order order) {
  switch (order) {
    case data::Order::kLengthGrouped:
      return "length-grouped";
    case data::Order::kShuffled:
      return "shuffled";
    case data::Order::kSequential:
      return "sequential";
  }
  return "";
}

}  // namespace

Recipe DescribeOptions(const TrainerOptions& options) {
  Recipe recipe = {{"epochs", std::to_string(options.epochs)},
                   {"batch-size", std::to_string(options.batch_size)},
                   {"batch-tokens", std::to_string(options.batch_tokens)},
                   {"gradient-accumulation", std::to_string(options.gradient_accumulation)},
                   {"lr", Number(options.learning_rate)},
                   {"lr-schedule", ScheduleName(options.schedule)},
                   {"warmup-ratio", Number(options.warmup_ratio)},
                   {"weight-decay", Number(options.weight_decay)},
                   {"max-grad-norm", Number(options.max_grad_norm)},
                   {"seed", std::to_string(options.seed)},
                   {"order", OrderName(options.order)},
                   {"wire", options.wire == comm::Wire::kBfloat16 ? "bf16" : "fp32"},
                   {"best", SelectByName(options.selection.by)},
                   {"early-stopping", std::to_string(options.selection.patience)},
                   {"early-stopping-threshold", Number(options.selection.threshold)}};
  // Absent where there are none, so that runs of earlier versions can be gone on with.
  for (size_t i = 0; i < options.class_weights.size(); ++i) {
    recipe["class-weight " + std::to_string(i)] =
        Number(static_cast<double>(options.class_weights[i]));
  }
  if (options.threshold != kDefaultThreshold) recipe["threshold"] = Number(options.threshold);
  return recipe;
}

std::string HashDataset(const EncodedDataset& data) {
  Sha256 sha;
  for (const text::Encoding& encoding : data.encodings) {
    UpdateArray(sha, encoding.ids);
    UpdateArray(sha, encoding.type_ids);
  }
  UpdateArray(sha, data.targets.labels);
  if (data.targets.problem != ProblemType::kSingleLabel) UpdateArray(sha, data.targets.values);
  return sha.Finish();
}

std::string HashWeights(const model::Checkpoint& checkpoint) {
  Sha256 sha;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    sha.Update(name + " " + DTypeName(tensor.dtype) + ShapeString(tensor.shape));
    sha.Update(std::span(tensor.data, tensor.bytes()));
  }
  return sha.Finish();
}

std::string HashRecipe(const Recipe& recipe) {
  Sha256 sha;
  sha.Update(formats::DumpJson(RecipeToJson(recipe)));
  return sha.Finish();
}

std::vector<std::string> CompareRecipes(const Recipe& found, const Recipe& expected) {
  Recipe names = found;
  names.insert(expected.begin(), expected.end());
  auto value = [](const Recipe& recipe, const std::string& name) {
    auto at = recipe.find(name);
    return at == recipe.end() ? std::string("absent") : at->second;
  };
  std::vector<std::string> differences;
  for (const auto& [name, ignored] : names) {
    const std::string here = value(found, name);
    const std::string there = value(expected, name);
    if (here != there) differences.push_back(name + " is " + here + ", expected " + there);
  }
  return differences;
}

formats::Json RecipeToJson(const Recipe& recipe) {
  formats::Json json = formats::Json::object();
  for (const auto& [name, value] : recipe) json[name] = value;
  return json;
}

Result<Recipe> RecipeFromJson(const formats::Json& json, const std::string& where) {
  if (!json.is_object()) {
    return Error{ErrorCode::kInvalidData,
                 where + ": the recipe is " + formats::JsonTypeName(json) + ", expected an object"};
  }
  Recipe recipe;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) {
      return Error{
          ErrorCode::kInvalidData,
          where + ": '" + name + "' is " + formats::JsonTypeName(value) + ", expected a string"};
    }
    recipe[name] = value.get<std::string>();
  }
  return recipe;
}

}  // namespace bertie::train
