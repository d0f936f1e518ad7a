// Times as seconds, for figures and formulas.
#pragma once

#include <chrono>

namespace bertie {

template <class Rep, class Period>
double InSeconds(std::chrono::duration<Rep, Period> time) {
  return std::chrono::duration<double>(time).count();
}

inline double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return InSeconds(std::chrono::steady_clock::now() - begin);
}

}  // namespace bertie
