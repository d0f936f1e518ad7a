// JSON: whatever is accepted can be written and read back to the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bertie::formats;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = ParseJson(text, "fuzz");
  if (!json.ok()) {
    if (json.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = ParseJson(DumpJson(*json), "fuzz");
  if (!again.ok() || *again != *json) std::abort();
  return 0;
}
