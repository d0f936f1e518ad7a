// Deployments as they are asked for: from names in requests to what endpoints are to run.
#pragma once

#include <string>

#include "cloud/endpoints/endpoint_rows.h"
#include "cloud/failure.h"
#include "cloud/settings.h"
#include "cloud/state.h"
#include "formats/json.h"

namespace bertie::cloud {

// The deployment (cloud/endpoints/endpoint_plan.h) of a configuration and its models as they are
// now, with an id of its own.
Outcome<formats::Json> MakeDeployment(const Settings& settings, const State& state,
                                      const std::string& config);
// The same of a configuration that has no name: CreateEndpointConfig's request.
Outcome<formats::Json> MakeDeployment(const Settings& settings, const State& state,
                                      formats::Json config);

// UpdateEndpoint's RetainAllVariantProperties: variants that both have keep weight and count, but
// for those that ExcludeRetainedVariantProperties names. PlanOf's errors.
Status RetainProperties(const formats::Json& request, const formats::Json& current,
                        formats::Json& target);

// The current deployment with DesiredWeightsAndCapacities. ValidationException.
Outcome<formats::Json> WithWeights(const formats::Json& request, const formats::Json& current);

// Workers that an endpoint has or is to have.
int64_t InstancesOf(const EndpointRow& row);

}  // namespace bertie::cloud
