#include "cli/sagemaker/flags.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace bertie::cli {
namespace {

using formats::Json;

// Where the container puts things is not the user's to say.
const std::set<std::string> kOwn = {"from",    "help",       "help-all",   "train",     "test",
                                    "model",   "out",        "resume",     "overwrite", "archive",
                                    "report",  "rank",       "world-size", "master",    "nproc",
                                    "reports", "tensorboard"};

const std::map<std::string, std::string> kOtherNames = {
    {"num-epochs", "epochs"},
    {"num-train-epochs", "epochs"},
    {"train-batch-size", "batch-size"},
    {"per-device-train-batch-size", "batch-size"},
    {"eval-batch-size", "test-batch-size"},
    {"per-device-eval-batch-size", "test-batch-size"},
    {"learning-rate", "lr"},
    {"lr-scheduler-type", "lr-schedule"},
    {"gradient-accumulation-steps", "gradient-accumulation"},
    {"max-seq-length", "max-length"},
    {"logging-steps", "log-interval"},
    {"model-name", "model"},
    {"model-name-or-path", "model"},
    {"validation-file", "test-file"},
};

std::string WithDashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string WithUnderscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// Names without dashes before them.
std::set<std::string> KnownFlags(const CLI::App& command) {
  std::set<std::string> names = {"backend", "model", "train-file", "test-file"};
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (!kOwn.contains(name) && !name.starts_with("no-")) names.insert(name);
    }
  }
  return names;
}

std::string Listed(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + WithUnderscores(name);
  return text;
}

Result<std::string> ToText(const std::string& name, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return std::string(value.get<bool>() ? "true" : "false");
  if (value.is_number_float()) {
    const double number = value.get<double>();
    // Other scripts count epochs as 3.0.
    if (std::abs(number) < 1e15 && number == std::floor(number)) {
      return std::to_string(static_cast<int64_t>(number));
    }
  }
  if (value.is_number()) return formats::DumpJson(value);
  return Error{ErrorCode::kInvalidArgument, "hyperparameter " + name + ": found " +
                                                formats::JsonTypeName(value) +
                                                ", expected a number or a string"};
}

Status Unknown(const std::vector<std::string>& names, const std::set<std::string>& known) {
  if (names.empty()) return {};
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return Error{ErrorCode::kInvalidArgument,
               "unknown hyperparameter " + text + "; known are " + Listed(known)};
}

}  // namespace

Result<std::vector<std::string>> ToFlags(const std::map<std::string, Json>& hyperparameters,
                                         const CLI::App& command, NamedFiles& files) {
  const std::set<std::string> known = KnownFlags(command);
  std::vector<std::string> flags, unknown;
  std::map<std::string, std::string> given;  // flag, and the hyperparameter that set it
  for (const auto& [name, value] : hyperparameters) {
    std::string flag = WithDashes(name);
    if (const auto other = kOtherNames.find(flag); other != kOtherNames.end()) {
      flag = other->second;
    }
    if (!known.contains(flag)) {
      unknown.push_back(name);
      continue;
    }
    if (value.is_null()) continue;
    if (const auto [first, fresh] = given.emplace(flag, name); !fresh) {
      return Error{ErrorCode::kInvalidArgument,
                   "hyperparameters " + first->second + " and " + name + " mean the same"};
    }
    BERTIE_ASSIGN_OR_RETURN(const std::string text, ToText(name, value));
    if (flag == "backend") {
      if (text != "gloo") {
        return Error{ErrorCode::kInvalidArgument,
                     "hyperparameter backend: found " + text + ", expected gloo"};
      }
    } else if (flag == "model") {
      files.model = text;
    } else if (flag == "train-file") {
      files.train = text;
    } else if (flag == "test-file") {
      files.test = text;
    } else {
      flags.push_back("--" + flag + "=" + text);
    }
  }
  BERTIE_RETURN_IF_ERROR(Unknown(unknown, known));
  return flags;
}

}  // namespace bertie::cli
