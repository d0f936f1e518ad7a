// What a run is made of: two runs of one recipe take the same steps.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"
#include "model/checkpoint.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace bertie::train {

// Values by name, in words that a message can show: "epochs" -> "3".
using Recipe = std::map<std::string, std::string>;

// The options that change the weights a run ends with, and those that decide when it ends.
Recipe DescribeOptions(const TrainerOptions& options);

// SHA-256 of the sentences as the model reads them, with their labels or numbers.
std::string HashDataset(const EncodedDataset& data);

// SHA-256 of all weights with their names and shapes.
std::string HashWeights(const model::Checkpoint& checkpoint);

// SHA-256 of all names and values.
std::string HashRecipe(const Recipe& recipe);

// "NAME is FOUND, expected EXPECTED" for each name whose values differ; "absent" where there is
// none.
std::vector<std::string> CompareRecipes(const Recipe& found, const Recipe& expected);

formats::Json RecipeToJson(const Recipe& recipe);
// kInvalidData, naming `where`, for anything but an object of strings.
Result<Recipe> RecipeFromJson(const formats::Json& json, const std::string& where);

}  // namespace bertie::train
