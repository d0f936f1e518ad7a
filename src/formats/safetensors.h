// The safetensors format: eight bytes of little-endian header length, a JSON header of names to
// {dtype, shape, data_offsets}, the data. https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace bertie::formats {

// A file (or bytes) whose header has been checked. Copies share the mapping.
struct SafetensorsFile {
  std::map<std::string, TensorView> tensors;    // views into storage; no alignment promised
  std::map<std::string, std::string> metadata;  // "__metadata__"
  std::shared_ptr<const void> storage;          // what the views point into

  // Maps the file; weights are read from disk when they are touched.
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);

  // The same for bytes that outlive the result (storage stays empty).
  // Refused (kInvalidData) before any tensor is touched: a header longer than the file or than
  // 16 MiB, one that is not a JSON object or has a key twice, an entry without its three members, a
  // negative size, a product of sizes that overflows, data_offsets that disagree with shape and
  // dtype, leave the file, overlap or leave a hole, bytes after the last tensor.
  // kUnsupported: an element type bertie does not know (F8_*, U16, ...).
  static Result<SafetensorsFile> Parse(std::span<const std::byte> bytes, const std::string& where);
};

struct SafetensorsEntry {
  std::string name;
  TensorView tensor;
};

// Writes a file in the order given, atomically. The header is padded with blanks so that the data
// begins on a multiple of 64, and a tensor stays aligned when the sizes of those before it allow.
// metadata should hold {"format", "pt"}: transformers refuses files without it.
Status WriteSafetensors(const std::filesystem::path& path,
                        const std::vector<SafetensorsEntry>& entries,
                        const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace bertie::formats
