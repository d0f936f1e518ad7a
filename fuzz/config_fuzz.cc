// config.json: what is accepted is written and read back to the same, and its sizes can be
// multiplied.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/config.h"
#include "model/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bertie::model;
  const auto config = ParseConfig({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config.ok()) return 0;
  const std::string text = ConfigToJson(*config);
  const auto again = ParseConfig(text, "fuzz");
  if (!again.ok() || ConfigToJson(*again) != text) std::abort();
  if (config->head_size() * config->num_attention_heads != config->hidden_size) std::abort();
  for (const ParameterSpec& spec : ParameterSpecs(*config)) {
    if (bertie::NumElements(spec.shape) <= 0) std::abort();
  }
  return 0;
}
