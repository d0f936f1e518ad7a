// What gRPC counts of its servers' connections, by its channelz.
#pragma once

#include <cstdint>

namespace bertie::kserve {

// HTTP/2's streams that clients have begun and that have not ended, of all gRPC servers of this
// process: calls, also those whose requests are on their way, of which gRPC tells nobody. 0 where
// gRPC counts none. Any thread.
int64_t OpenStreams();

}  // namespace bertie::kserve
