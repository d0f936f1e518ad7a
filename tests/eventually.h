// Waits for what another thread does.
#pragma once

#include <chrono>
#include <thread>

namespace bertie {

// Whether the condition holds within the time; asked every millisecond.
template <class Condition>
bool Eventually(Condition condition,
                std::chrono::milliseconds timeout = std::chrono::milliseconds(20000)) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace bertie
