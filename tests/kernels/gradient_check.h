// Gradients held against the values they predict.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/random_values.h"

namespace bertie::kernels {

// Moves `values` a step along a random direction, both ways, and compares the change of value()
// with what `gradient` says of it.
template <class Value>
void ExpectPredicts(std::vector<float>& values, const std::vector<float>& gradient, float step,
                    const Value& value) {
  const auto direction = RandomValues(static_cast<int64_t>(values.size()), 9);
  double slope = 0, size = 0;
  for (size_t i = 0; i < direction.size(); ++i) {
    slope += static_cast<double>(gradient[i]) * static_cast<double>(direction[i]);
    size += std::abs(static_cast<double>(gradient[i]));
  }
  const auto original = values;
  auto value_at = [&](float distance) {
    for (size_t i = 0; i < direction.size(); ++i) {
      values[i] = original[i] + distance * direction[i];
    }
    return value();
  };
  const double measured = (value_at(step) - value_at(-step)) / (2 * static_cast<double>(step));
  values = original;
  EXPECT_NEAR(measured, slope, 1e-3 * size + 1e-3);
}

}  // namespace bertie::kernels
