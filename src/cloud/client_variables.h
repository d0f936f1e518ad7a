// What Amazon's clients need in their environment to come to this cloud.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cloud/settings.h"

namespace bertie::cloud {

// Names with their values; nullopt: must not be set.
using ClientVariableList = std::vector<std::pair<std::string, std::optional<std::string>>>;

// For clients that take the address from AWS_ENDPOINT_URL. settings.url must be known. Where
// nobody's signature is checked the credentials are made up, since clients sign in any case.
ClientVariableList ClientVariables(const Settings& settings);
// For those that name Amazon's hosts and reach them through the proxy, which must be there.
ClientVariableList ProxyVariables(const Settings& settings);

}  // namespace bertie::cloud
