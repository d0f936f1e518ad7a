// Amazon's own host names, which the cloud plays for clients that come through its proxy.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bertie::cloud {

// The host in "HOST:443" when it is one of a service that is offered here, in whichever region.
std::optional<std::string> OfferedHost(std::string_view authority);

}  // namespace bertie::cloud
