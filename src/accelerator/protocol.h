// What both ends of accelerator.proto must agree on beside it.
#pragma once

#include <cstdint>

namespace bertie::accelerator {

// Attach.protocol: raised when messages change in a way that an older end would misread.
inline constexpr uint32_t kProtocolVersion = 1;

}  // namespace bertie::accelerator
