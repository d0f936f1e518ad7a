#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace bertie {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

void Buffer::Free::operator()(float* data) const { std::free(data); }

float* Buffer::Resize(int64_t floats) {
  if (floats <= capacity_) return data_.get();
  data_.reset();
  capacity_ = 0;
  size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  // Advice only: a kernel without transparent huge pages refuses it and nothing is lost.
  if (alignment == kHugePage) (void)madvise(memory, bytes, MADV_HUGEPAGE);
  data_.reset(static_cast<float*>(memory));
  capacity_ = static_cast<int64_t>(bytes / sizeof(float));
  return data_.get();
}

}  // namespace bertie
