// How much of this process is in memory, and how much more there could be.
#pragma once

#include <cstdint>
#include <optional>

namespace bertie {

// Bytes, from /proc/self/statm; 0 where the system does not tell. Any thread.
int64_t ResidentBytes();

// What this process could still take: of the machine, and within the limits of its control groups
// (version 2). Files in the cache count as free. nullopt where the system does not tell. Any
// thread.
std::optional<int64_t> AvailableBytes();

}  // namespace bertie
