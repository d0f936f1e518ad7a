// How much of this process is in memory.
#pragma once

#include <cstdint>

namespace bertie {

// Bytes, from /proc/self/statm; 0 where the system does not tell. Any thread.
int64_t ResidentBytes();

}  // namespace bertie
