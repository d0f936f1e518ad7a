// CloudWatch Logs' operations that read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cloud/json_service.h"
#include "cloud/logs/log_streams.h"
#include "cloud/settings.h"

namespace bertie::cloud {

// DescribeLogGroups, DescribeLogStreams, GetLogEvents, FilterLogEvents, for a JsonService. The
// arguments must outlive it.
std::map<std::string, JsonService::Operation> LogOperations(const Settings& settings,
                                                            std::vector<const LogSource*> sources);

}  // namespace bertie::cloud
