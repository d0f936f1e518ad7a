#include "formats/torch_tensors.h"

#include <cstring>
#include <utility>

#include "base/quote.h"

namespace bertie::formats {
namespace {

using Bytes = std::span<const std::byte>;

bool IsContiguous(const PickleTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] == 1) continue;
    if (tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Copies a strided tensor row by row of its last dimension, the index counted up like an odometer.
void Gather(const PickleTensor& tensor, const std::byte* storage, std::byte* out) {
  const size_t size = DTypeSize(tensor.storage.dtype);
  const size_t dimensions = tensor.shape.size();
  std::vector<int64_t> index(dimensions, 0);
  int64_t at = tensor.offset;
  for (int64_t left = NumElements(tensor.shape); left > 0; --left) {
    std::memcpy(out, storage + static_cast<size_t>(at) * size, size);
    out += size;
    for (size_t d = dimensions; d-- > 0;) {
      at += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      at -= tensor.strides[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace

TorchTensors::TorchTensors(const std::string& where, uint64_t file_bytes, FindStorage find_storage)
    : where_(where),
      copy_budget_(2 * file_bytes),
      find_storage_(std::move(find_storage)),
      copies_(std::make_shared<std::vector<std::vector<std::byte>>>()) {}

Result<TensorView> TorchTensors::View(const std::string& name, const PickleTensor& tensor) {
  TensorView view{tensor.storage.dtype, tensor.shape, nullptr};
  const size_t size = DTypeSize(view.dtype);
  BERTIE_ASSIGN_OR_RETURN(const Bytes storage, find_storage_(tensor.storage));
  if (static_cast<uint64_t>(tensor.storage.elements) > storage.size() / size) {
    return Error{ErrorCode::kInvalidData,
                 where_ + ": tensor " + Quote(name, 200) + ": its storage " +
                     Quote(tensor.storage.key) + " has " + std::to_string(storage.size()) +
                     " bytes, expected " + std::to_string(tensor.storage.elements) +
                     " elements of " + DTypeName(view.dtype)};
  }
  // The pickle's reader has checked the offset against elements, so this stays in the storage.
  const std::byte* first = storage.data() + static_cast<size_t>(tensor.offset) * size;
  if (view.elements() == 0 || IsContiguous(tensor)) {
    view.data = first;
    return view;
  }
  // A stride of 0 makes any number of elements out of one; a state dict has no such tensors.
  if (view.elements() > tensor.storage.elements || view.bytes() > copy_budget_) {
    return Error{ErrorCode::kUnsupported, where_ + ": tensor " + Quote(name, 200) +
                                              ": repeats its elements by strides " +
                                              ShapeString(tensor.strides)};
  }
  copy_budget_ -= view.bytes();
  copies_->emplace_back(view.bytes());
  Gather(tensor, storage.data(), copies_->back().data());
  view.data = copies_->back().data();
  return view;
}

}  // namespace bertie::formats
