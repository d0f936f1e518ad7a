#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace bertie {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Whole huge pages, aligned to them.
void* Map(size_t bytes) {
  void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, kHugePage - before);
  // Advice only: a kernel without transparent huge pages refuses it and nothing is lost.
  (void)madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace

void Buffer::Free::operator()(float* data) const {
  if (mapped > 0) {
    munmap(data, mapped);
  } else {
    std::free(data);
  }
}

float* Buffer::Resize(int64_t floats) {
  if (floats <= capacity_) return data_.get();
  data_.reset();
  capacity_ = 0;
  size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  const bool large = bytes >= kHugePage;
  const size_t alignment = large ? kHugePage : 64;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  void* memory = large ? Map(bytes) : std::aligned_alloc(alignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  data_ = std::unique_ptr<float, Free>(static_cast<float*>(memory), Free{large ? bytes : 0});
  capacity_ = static_cast<int64_t>(bytes / sizeof(float));
  return data_.get();
}

}  // namespace bertie
