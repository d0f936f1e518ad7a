// Random first values of parameters, the same on every machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

namespace bertie::model {

// Standard normal numbers by Box and Muller from mt19937_64, whose sequence the standard fixes;
// std::normal_distribution's is each library's own. One thread at a time.
class NormalGenerator {
 public:
  // Each name has a stream of its own, so that a tensor does not depend on what else is made.
  NormalGenerator(uint64_t seed, std::string_view name) : bits_(seed ^ Hash(name)) {}

  double Next() {
    if (spare_) return *std::exchange(spare_, std::nullopt);
    const double radius = std::sqrt(-2 * std::log(Uniform()));
    const double angle = 2 * std::numbers::pi * Uniform();
    spare_ = radius * std::sin(angle);
    return radius * std::cos(angle);
  }

 private:
  // FNV-1a.
  static uint64_t Hash(std::string_view name) {
    uint64_t hash = 14695981039346656037u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return hash;
  }

  // In (0, 1]: 53 random bits, never 0, whose logarithm is none.
  double Uniform() { return static_cast<double>((bits_() >> 11) + 1) * 0x1p-53; }

  std::mt19937_64 bits_;
  std::optional<double> spare_;
};

}  // namespace bertie::model
