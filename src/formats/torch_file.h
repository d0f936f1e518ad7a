// What torch.save wrote: a state dict in a zip archive (PyTorch 1.6 and later) or in the older
// form, a row of pickles with the tensors' bytes behind them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace bertie::formats {

// The named tensors of a file. Nothing in the file is executed: its pickle is read by an
// interpreter that knows a dozen names (formats/pickle.h) and refuses every other.
struct TorchFile {
  // Views into storage. Those of contiguous tensors point into the file's mapping.
  std::map<std::string, TensorView> tensors;
  std::shared_ptr<const void> storage;

  // Accepts a dict of names to tensors, or a dict with such a dict under "state_dict". Members of
  // the dict that are not tensors are left out.
  // kInvalidData: the file is cut short or breaks its format, a tensor reaches outside its storage;
  // kUnsupported: a global that is not on the list (named), a compressed or encrypted archive, a
  // TorchScript module, an element type bertie does not know; kResourceExhausted: over a limit.
  static Result<TorchFile> Open(const std::filesystem::path& path);

  // The same for bytes that outlive the result.
  static Result<TorchFile> Parse(std::span<const std::byte> bytes, const std::string& where);
};

// Writes a state dict in the older form, which every PyTorch reads, with weights_only=True too;
// atomically, in the order given. kUnsupported: an element type that is none of F32, F16, BF16, F64
// and the integers.
Status WriteTorchFile(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, TensorView>>& tensors);

}  // namespace bertie::formats
