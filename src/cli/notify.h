// What a service's supervisor hears of it (systemd's Type=notify).
#pragma once

#include <string_view>

namespace bertie::cli {

// Sends "READY=1", "STOPPING=1", ... to the socket that $NOTIFY_SOCKET names, as sd_notify(3) has
// it; nothing without one. That nobody listens there is no error.
void NotifySupervisor(std::string_view state);

}  // namespace bertie::cli
