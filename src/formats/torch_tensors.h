// The tensors that a pickle of PyTorch describes, as views of its storages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/pickle.h"
#include "tensor/tensor.h"

namespace bertie::formats {

class TorchTensors {
 public:
  // Gives a storage's bytes as they lie in the file, or an error.
  using FindStorage = std::function<Result<std::span<const std::byte>>(const PickleStorage&)>;

  // where outlives the object; what is copied together is at most twice file_bytes.
  TorchTensors(const std::string& where, uint64_t file_bytes, FindStorage find_storage);

  // A contiguous tensor where it lies, any other copied together. kInvalidData: a storage with
  // fewer bytes than its elements need; kUnsupported: a tensor with more elements than its storage.
  Result<TensorView> View(const std::string& name, const PickleTensor& tensor);

  // What the copied tensors point into.
  std::shared_ptr<const void> copies() const { return copies_; }

 private:
  const std::string& where_;
  uint64_t copy_budget_;
  FindStorage find_storage_;
  std::shared_ptr<std::vector<std::vector<std::byte>>> copies_;
};

}  // namespace bertie::formats
