// CloudWatch's operations that read: GetMetricStatistics, GetMetricData, ListMetrics.
// Source: its API reference, 2010-08-01.
#pragma once

#include <vector>

#include "cloud/json_service.h"
#include "cloud/metrics/metric_source.h"

namespace bertie::cloud {

// The sources must outlive what uses the operations.
JsonService::Operations MetricOperations(std::vector<const MetricSource*> sources);

}  // namespace bertie::cloud
