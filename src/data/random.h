// Random numbers that are the same on every machine: the standard library fixes its engines, but
// leaves its distributions and std::shuffle to each implementation.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <utility>

namespace bertie::data {

// xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018), its
// state filled by SplitMix64 as its authors advise. Not for secrets. One thread at a time.
class Random {
 public:
  // Streams of one seed are independent: an epoch, or another purpose, has its own.
  explicit Random(uint64_t seed, uint64_t stream = 0) {
    uint64_t mixer = seed;
    mixer = SplitMix64(mixer) ^ stream;
    for (uint64_t& word : state_) word = SplitMix64(mixer);
  }

  // Uniform over all 64-bit values.
  uint64_t Next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), bound >= 1. Draws again where a plain remainder would favour small
  // values: below the remainder of 2^64 by bound.
  uint64_t Below(uint64_t bound) {
    const uint64_t uneven = (0 - bound) % bound;
    for (;;) {
      const uint64_t drawn = Next();
      if (drawn >= uneven) return drawn % bound;
    }
  }

 private:
  static uint64_t SplitMix64(uint64_t& state) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
  }

  uint64_t state_[4];
};

// Every order equally likely (Fisher and Yates).
template <class T>
void Shuffle(std::span<T> items, Random& random) {
  for (size_t left = items.size(); left > 1; --left) {
    std::swap(items[left - 1], items[static_cast<size_t>(random.Below(left))]);
  }
}

}  // namespace bertie::data
