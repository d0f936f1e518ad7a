// Pickles, and PyTorch files in both forms: what is accepted can be read through to the last byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/pickle.h"
#include "formats/torch_file.h"
#include "read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto pickle = bertie::formats::ReadPickle(bytes, "fuzz");
  if (pickle.ok() && (pickle->consumed > size || pickle->root == nullptr)) std::abort();
  const auto file = bertie::formats::TorchFile::Parse(bytes, "fuzz");
  if (!file.ok()) return 0;
  ReadTensors(file->tensors);
  return 0;
}
