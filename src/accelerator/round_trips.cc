#include "accelerator/round_trips.h"

#include <algorithm>

#include "base/elapsed.h"

namespace bertie::accelerator {

void RoundTrips::Add(std::chrono::steady_clock::duration time) {
  const double seconds = InSeconds(time);
  size_t bucket = 0;
  for (double bound = kFirst; bucket < kBounds && seconds > bound; bound *= 2) ++bucket;
  ++counts_[bucket];
  seconds_ += seconds;
  recent_[added_++ % kRecent] = time;
  // Sorting costs more than the rest of an answer's way; once in a while does.
  if (added_ < kFew || (added_ % kFew != 0 && p99_.count() > 0)) return;
  auto sorted = recent_;
  const size_t count = std::min(added_, kRecent);
  const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(count * 99 / 100);
  std::nth_element(sorted.begin(), place, sorted.begin() + static_cast<std::ptrdiff_t>(count));
  p99_ = *place;
}

}  // namespace bertie::accelerator
