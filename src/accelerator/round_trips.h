// How long an accelerator's answers took of late.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bertie::accelerator {

// Not safe for several threads: its owner guards it.
class RoundTrips {
 public:
  // Buckets of the histogram: up to kFirst seconds, then each bound twice the one before; the last
  // is for what is above all bounds.
  static constexpr double kFirst = 0.00025;
  static constexpr size_t kBounds = 16;
  using Counts = std::array<uint64_t, kBounds + 1>;

  void Add(std::chrono::steady_clock::duration time);

  // Of the last 256; 0 while there are fewer than 20.
  std::chrono::steady_clock::duration p99() const { return p99_; }
  const Counts& counts() const { return counts_; }
  double seconds() const { return seconds_; }  // of all together

 private:
  static constexpr size_t kRecent = 256;
  static constexpr size_t kFew = 20;

  std::array<std::chrono::steady_clock::duration, kRecent> recent_{};
  size_t added_ = 0;
  std::chrono::steady_clock::duration p99_{0};
  Counts counts_{};
  double seconds_ = 0;
};

}  // namespace bertie::accelerator
