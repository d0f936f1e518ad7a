// The artifact that a model is served from: an object, or the objects under a prefix.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/failure.h"
#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_uri.h"

namespace bertie::cloud {

// s3://BUCKET/KEY, https://BUCKET.s3.REGION.amazonaws.com/KEY, https://s3.REGION.amazonaws.com/
// BUCKET/KEY. nullopt for anything else.
std::optional<S3Uri> ParseS3Url(const std::string& url);

// What the file of an artifact is called, so that `bertie serve` knows an archive from TorchScript.
std::string ModelFileName(const std::string& key);

// ValidationException when nothing is there; a container of several models may have none yet.
Done CheckModelData(const ObjectStore& store, const ContainerPlan& container);

// What `bertie serve` takes, below a folder that FetchModelData has filled.
std::filesystem::path ModelDataPath(const ContainerPlan& container,
                                    const std::filesystem::path& folder);

// Writes the artifact below folder, in the place of what an earlier call wrote there: that stays as
// it was where the artifact is not to be had as a whole. Nobody else may be writing there. Failures
// are worded for an endpoint's FailureReason.
Done FetchModelData(const ObjectStore& store, const ContainerPlan& container,
                    const std::filesystem::path& folder);

}  // namespace bertie::cloud
