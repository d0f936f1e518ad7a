// Amazon resource names of what SageMaker keeps.
#pragma once

#include <string>

#include "cloud/settings.h"

namespace bertie::cloud {

// kind: model, endpoint-config, endpoint, training-job, ... The name in lower case, as SageMaker
// has it in the names of models, configurations and endpoints.
std::string SageMakerArn(const Settings& settings, const std::string& kind,
                         const std::string& name);

}  // namespace bertie::cloud
