// A tile's height is a constant to the compiler, which holds its sums in registers, and a number at
// run time: tables of one function for each height.
#pragma once

#include <array>
#include <type_traits>
#include <utility>

// Before each loop over a tile's rows: unrolled early enough for its sums to become registers. GCC
// 12 leaves arrays of more than eight elements in memory otherwise, at half the speed.
#define BERTIE_UNROLL_ROWS _Pragma("GCC unroll 12")

namespace bertie::kernels {

// {make(1), make(2), ... make(kTallest)}, the numbers being std::integral_constant.
template <int kTallest, class Make>
constexpr auto TileTable(Make make) {
  return [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    return std::array{make(std::integral_constant<int, kIndex + 1>())...};
  }
  (std::make_integer_sequence<int, kTallest>());
}

}  // namespace bertie::kernels
