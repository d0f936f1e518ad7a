#include "cli/train/class_weights.h"

#include <algorithm>
#include <cstdio>

#include "base/quote.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

Result<std::vector<float>> Balanced(const data::Dataset& train) {
  const bool several = train.problem() == ProblemType::kMultiLabel;
  const std::vector<int64_t>& counts = train.label_counts;
  const auto all = static_cast<double>(train.examples.size());
  std::vector<float> weights;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<double>(counts[i]);
    if (count == 0 || (several && count == all)) {
      return Error{ErrorCode::kInvalidArgument,
                   std::string("--class-weights balanced: ") + (count == 0 ? "no" : "every") +
                       " sentence to train on has the label " + Quote(train.labels[i])};
    }
    weights.push_back(static_cast<float>(
        several ? (all - count) / count : all / (static_cast<double>(counts.size()) * count)));
  }
  return weights;
}

Result<std::vector<float>> FromFile(const std::string& file,
                                    const std::vector<std::string>& labels) {
  BERTIE_ASSIGN_OR_RETURN(const formats::Json json, formats::ReadJsonFile(file));
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidData, "--class-weights " + file + ": " + what};
  };
  if (!json.is_object()) {
    return bad(std::string("found ") + formats::JsonTypeName(json) +
               ", expected an object of labels and their weights");
  }
  std::vector<float> weights;
  for (const std::string& label : labels) {
    const auto weight = json.find(label);
    if (weight == json.end()) return bad("no weight for the label " + Quote(label));
    const double value = weight->is_number() ? weight->get<double>() : 0;
    if (!(value >= 1e-6 && value <= 1e6)) {
      return bad("the weight of " + Quote(label) + " is " + Quote(formats::DumpJson(*weight)) +
                 ", expected a number from 0.000001 to 1000000");
    }
    weights.push_back(static_cast<float>(value));
  }
  if (json.size() == labels.size()) return weights;
  for (const auto& [name, weight] : json.items()) {
    if (std::find(labels.begin(), labels.end(), name) == labels.end()) {
      return bad("a weight for " + Quote(name) + ", which is none of the labels");
    }
  }
  return weights;
}

}  // namespace

Result<std::vector<float>> MakeClassWeights(const std::string& option, const data::Dataset& train) {
  if (option.empty()) return std::vector<float>();
  if (train.problem() == ProblemType::kRegression) {
    return Error{ErrorCode::kInvalidArgument,
                 "--class-weights does not go with --regression: numbers are of no class"};
  }
  return option == "balanced" ? Balanced(train) : FromFile(option, train.labels);
}

std::string DescribeClassWeights(const std::vector<float>& weights,
                                 const std::vector<std::string>& labels) {
  std::string text;
  for (size_t i = 0; i < weights.size(); ++i) {
    char number[32];
    std::snprintf(number, sizeof(number), "%.4g", static_cast<double>(weights[i]));
    text += (i == 0 ? "" : ", ") + Quote(labels[i], 40) + " " + number;
    if (i == 19 && weights.size() > 20) return text + ", ...";
  }
  return text;
}

}  // namespace bertie::cli
