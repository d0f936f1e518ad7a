#include "cli/train/class_weights.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "base/quote.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

Result<std::vector<float>> Balanced(const std::vector<std::string>& labels,
                                    const std::vector<int64_t>& counts) {
  const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::vector<float> weights;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (counts[i] == 0) {
      return Error{ErrorCode::kInvalidArgument,
                   "--class-weights balanced: no sentence to train on "
                   "has the label " +
                       Quote(labels[i])};
    }
    weights.push_back(static_cast<float>(
        all / (static_cast<double>(labels.size()) * static_cast<double>(counts[i]))));
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

Result<std::vector<float>> MakeClassWeights(const std::string& option,
                                            const std::vector<std::string>& labels,
                                            const std::vector<int64_t>& counts) {
  if (option.empty()) return std::vector<float>();
  return option == "balanced" ? Balanced(labels, counts) : FromFile(option, labels);
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
