// safetensors: every tensor of a file that is accepted lies within the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = bertie::formats::SafetensorsFile::Parse(bytes, "fuzz");
  if (!file.ok()) return 0;
  size_t total = 0;
  for (const auto& [name, tensor] : file->tensors) {
    if (tensor.data < bytes.data() || tensor.data + tensor.bytes() > bytes.data() + size) {
      std::abort();
    }
    total += tensor.bytes();
  }
  if (total > size) std::abort();
  return 0;
}
