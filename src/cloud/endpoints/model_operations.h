// SageMaker's operations on models and endpoint configurations.
#pragma once

#include "cloud/json_service.h"
#include "cloud/s3/object_store.h"
#include "cloud/settings.h"
#include "cloud/state.h"

namespace bertie::cloud {

// CreateModel, DescribeModel, ListModels, DeleteModel, and the same of EndpointConfig. All that is
// given must outlive them.
JsonService::Operations ModelOperations(const Settings& settings, State& state,
                                        const ObjectStore& store);

// "Could not find model ...": clients look for these words.
Failure NoSuchModel(const Settings& settings, const std::string& name);
Failure NoSuchConfig(const Settings& settings, const std::string& name);

}  // namespace bertie::cloud
