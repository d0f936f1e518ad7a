#include "cli/sagemaker/config.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr std::string_view kOwnPrefix = "sagemaker_";

std::string Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

std::string Upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string AsText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : formats::DumpJson(value);
}

// An object out of the file, or else out of the variable; empty where neither is there.
Result<Json> ReadObject(const fs::path& file, const std::string& variable) {
  std::error_code error;
  Json value = Json::object();
  std::string where = file.string();
  if (fs::exists(file, error)) {
    BERTIE_ASSIGN_OR_RETURN(value, formats::ReadJsonFile(file));
  } else if (const std::string text = variable.empty() ? "" : Variable(variable); !text.empty()) {
    where = "$" + variable;
    BERTIE_ASSIGN_OR_RETURN(value, formats::ParseJson(text, where));
  }
  if (value.is_object()) return value;
  return Error{ErrorCode::kInvalidData,
               where + ": found " + formats::JsonTypeName(value) + ", expected an object"};
}

Status ReadHyperparameters(const SageMakerPaths& paths, SageMakerConfig& config) {
  BERTIE_ASSIGN_OR_RETURN(const Json all,
                          ReadObject(paths.config() / "hyperparameters.json", "SM_HPS"));
  for (const auto& [name, value] : all.items()) {
    const Json decoded = value.is_string() ? DecodeHyperparameter(value.get<std::string>()) : value;
    if (name.starts_with(kOwnPrefix)) {
      config.sagemaker[name.substr(kOwnPrefix.size())] = AsText(decoded);
    } else {
      config.hyperparameters[name] = decoded;
    }
  }
  return {};
}

// The names in $SM_CHANNELS, or the folders that are there.
Result<std::vector<std::string>> NamesWithoutFile(const fs::path& data) {
  std::vector<std::string> names;
  if (const std::string text = Variable("SM_CHANNELS"); !text.empty()) {
    BERTIE_ASSIGN_OR_RETURN(const Json list, formats::ParseJson(text, "$SM_CHANNELS"));
    for (const Json& name : list) names.push_back(AsText(name));
    return names;
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data, error)) {
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  }
  return names;
}

Status ReadChannels(const SageMakerPaths& paths, SageMakerConfig& config) {
  const fs::path file = paths.config() / "inputdataconfig.json";
  const fs::path data = paths.base / "input" / "data";
  BERTIE_ASSIGN_OR_RETURN(const Json object, ReadObject(file, ""));
  std::vector<std::string> names;
  for (const auto& [name, channel] : object.items()) {
    names.push_back(name);
    if (channel.is_object() && channel.value("TrainingInputMode", Json()) == "Pipe") {
      return Error{ErrorCode::kUnsupported, file.string() + ": channel " + name +
                                                " is in pipe mode; bertie reads files: use File or "
                                                "FastFile"};
    }
  }
  if (names.empty()) {
    BERTIE_ASSIGN_OR_RETURN(names, NamesWithoutFile(data));
  }
  for (const std::string& name : names) {
    const std::string told = Variable("SM_CHANNEL_" + Upper(name));
    config.channels[name] = told.empty() ? data / name : fs::path(told);
  }
  return {};
}

Status ReadHosts(const SageMakerPaths& paths, SageMakerConfig& config) {
  const fs::path file = paths.config() / "resourceconfig.json";
  BERTIE_ASSIGN_OR_RETURN(Json resource, ReadObject(file, "SM_RESOURCE_CONFIG"));
  if (!resource.contains("hosts") && !Variable("SM_HOSTS").empty()) {
    BERTIE_ASSIGN_OR_RETURN(resource["hosts"],
                            formats::ParseJson(Variable("SM_HOSTS"), "$SM_HOSTS"));
    resource["current_host"] = Variable("SM_CURRENT_HOST");
  }
  const Json hosts = resource.value("hosts", Json::array({"algo-1"}));
  const Json current = resource.value("current_host", Json("algo-1"));
  if (!hosts.is_array() || hosts.empty() ||
      !std::all_of(hosts.begin(), hosts.end(), [](const Json& h) { return h.is_string(); }) ||
      std::find(hosts.begin(), hosts.end(), current) == hosts.end()) {
    return Error{ErrorCode::kInvalidData,
                 file.string() +
                     ": expected \"hosts\", a list of names, and \"current_host\", one "
                     "of them; found " +
                     formats::DumpJson(hosts) + " and " + formats::DumpJson(current)};
  }
  for (const Json& host : hosts) config.hosts.push_back(host.get<std::string>());
  std::sort(config.hosts.begin(), config.hosts.end());
  config.current_host = current.get<std::string>();
  return {};
}

}  // namespace

SageMakerPaths SageMakerPaths::FromEnvironment() {
  const auto either = [](const char* name, const fs::path& otherwise) {
    const std::string value = Variable(name);
    return value.empty() ? otherwise : fs::path(value);
  };
  SageMakerPaths paths;
  paths.base = either("SAGEMAKER_BASE_DIR", "/opt/ml");
  paths.model = either("SM_MODEL_DIR", paths.base / "model");
  paths.output = paths.base / "output";
  paths.output_data = either("SM_OUTPUT_DATA_DIR", paths.output / "data");
  return paths;
}

std::string SageMakerConfig::Setting(const std::string& name) const {
  const auto found = sagemaker.find(name);
  return found != sagemaker.end() ? found->second : Variable("SAGEMAKER_" + Upper(name));
}

Result<SageMakerConfig> ReadSageMakerConfig(const SageMakerPaths& paths) {
  SageMakerConfig config;
  BERTIE_RETURN_IF_ERROR(ReadHyperparameters(paths, config));
  BERTIE_RETURN_IF_ERROR(ReadChannels(paths, config));
  BERTIE_RETURN_IF_ERROR(ReadHosts(paths, config));
  return config;
}

Json DecodeHyperparameter(const std::string& text) {
  auto parsed = formats::ParseJson(text, "");
  return parsed.ok() ? std::move(*parsed) : Json(text);
}

}  // namespace bertie::cli
