// What a running `bertie cloud` leaves in its folder for `bertie cloud env` and for clients.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "cloud/settings.h"

namespace bertie::cli {

// $XDG_DATA_HOME/bertie/cloud, or ~/.local/share/bertie/cloud.
std::filesystem::path DefaultCloudFolder();

// DATA/cloud.json: what clients must know of a cloud that listens. Readable by its owner alone, as
// it holds the secret.
Status WriteCloudAddress(const std::filesystem::path& folder, const cloud::Settings& settings);
Result<cloud::Settings> ReadCloudAddress(const std::filesystem::path& folder);

// DATA/sagemaker.yaml, which SAGEMAKER_USER_CONFIG_OVERRIDE names: it tells SageMaker's Python SDK
// the default bucket, which it would else ask a regional host of STS for.
Result<std::filesystem::path> WriteSageMakerConfig(const std::filesystem::path& folder,
                                                   const cloud::Settings& settings);

// Credentials made up once and kept in DATA/credentials.json, readable by its owner alone.
Result<cloud::Credentials> KeptCredentials(const std::filesystem::path& folder);

}  // namespace bertie::cli
