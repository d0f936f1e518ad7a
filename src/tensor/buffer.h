// Memory for activations and packed weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace bertie {

// Floats aligned to a cache line, on huge pages where the kernel grants them (weights are streamed
// from memory for every short request, and a 4 KiB page costs a TLB miss each). Grows, never
// shrinks; growing loses the content. Content is not initialised. What takes a huge page or more is
// mapped by itself: buffers that grow leave no holes in the heap.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t floats) { Resize(floats); }

  // At least `floats` long from now on. Throws std::bad_alloc.
  float* Resize(int64_t floats);

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t capacity() const { return capacity_; }

 private:
  struct Free {
    size_t mapped;  // bytes; 0: of the heap
    void operator()(float* data) const;
  };
  std::unique_ptr<float, Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace bertie
