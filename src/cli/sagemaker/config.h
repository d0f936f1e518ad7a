// What a SageMaker training container is told: files below a base folder and variables (SageMaker's
// developer guide, "Using the SageMaker training toolkit"; the names of sagemaker-training 4).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::cli {

struct SageMakerPaths {
  std::filesystem::path base;         // $SAGEMAKER_BASE_DIR, or /opt/ml
  std::filesystem::path model;        // $SM_MODEL_DIR, or base/model
  std::filesystem::path output;       // base/output: failure, success
  std::filesystem::path output_data;  // $SM_OUTPUT_DATA_DIR, or base/output/data

  static SageMakerPaths FromEnvironment();
  std::filesystem::path config() const { return base / "input" / "config"; }
};

struct SageMakerConfig {
  // The user's, with values decoded: numbers, strings, ... Those of sagemaker_* are split off.
  std::map<std::string, formats::Json> hyperparameters;
  // As text.
  std::map<std::string, std::string> sagemaker;
  // Name and folder.
  std::map<std::string, std::filesystem::path> channels;
  std::vector<std::string> hosts;  // sorted; at least one
  std::string current_host;

  // What `sagemaker_NAME` or $SAGEMAKER_NAME (upper case) was set to, or "".
  std::string Setting(const std::string& name) const;
};

// Reads hyperparameters.json, inputdataconfig.json and resourceconfig.json, of which each may be
// absent: then the variables SM_HPS, SM_CHANNELS, SM_HOSTS and SM_CURRENT_HOST stand for them, or
// nothing was given. $SM_CHANNEL_NAME says where a channel is. kInvalidData, naming file and
// member, where one is not of its form; kUnsupported for a channel in pipe mode.
Result<SageMakerConfig> ReadSageMakerConfig(const SageMakerPaths& paths);

// A hyperparameter's text as SageMaker sends it: JSON where it is JSON, else a string.
formats::Json DecodeHyperparameter(const std::string& text);

}  // namespace bertie::cli
