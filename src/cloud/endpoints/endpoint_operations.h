// SageMaker's operations on endpoints.
#pragma once

#include "cloud/endpoints/endpoints.h"
#include "cloud/json_service.h"
#include "cloud/settings.h"
#include "cloud/state.h"

namespace bertie::cloud {

// CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint,
// UpdateEndpointWeightsAndCapacities, DeleteEndpoint. All that is given must outlive them.
JsonService::Operations EndpointOperations(const Settings& settings, State& state,
                                           Endpoints& endpoints);

}  // namespace bertie::cloud
