// Outside text in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bertie {

// The text in single quotes, control characters and bytes outside ASCII's printable range as \xNN,
// cut to max_bytes of input with "..." after it: fit for one line of a log, whatever it holds.
std::string Quote(std::string_view text, size_t max_bytes = 60);

}  // namespace bertie
