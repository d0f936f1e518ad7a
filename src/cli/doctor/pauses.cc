#include "cli/doctor/pauses.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace bertie::cli {
namespace {

using Watch = std::chrono::steady_clock;

Pauses WatchOneProcessor(double seconds) {
  // Interrupts are shorter.
  constexpr double kPause = 0.05, kLong = 1;
  Pauses pauses;
  const auto begin = Watch::now();
  const auto end =
      begin + std::chrono::duration_cast<Watch::duration>(std::chrono::duration<double>(seconds));
  for (auto last = begin; last < end;) {
    const auto now = Watch::now();
    const double gap = std::chrono::duration<double, std::milli>(now - last).count();
    last = now;
    if (gap < kPause) continue;
    pauses.longest_ms = std::max(pauses.longest_ms, gap);
    pauses.per_second += gap > kLong ? 1 / seconds : 0;
    pauses.lost += gap / 1000 / seconds;
  }
  return pauses;
}

}  // namespace

Pauses MeasurePauses(double seconds, ThreadPool& pool) {
  const int64_t threads = pool.size();
  std::vector<Pauses> found(static_cast<size_t>(threads));
  // A task is a thread's, since each is busy until all are over.
  pool.ParallelFor(threads, [&](int64_t task, int) {
    found[static_cast<size_t>(task)] = WatchOneProcessor(seconds);
  });
  Pauses all;
  for (const Pauses& one : found) {
    all.longest_ms = std::max(all.longest_ms, one.longest_ms);
    all.per_second += one.per_second;
    all.lost += one.lost / static_cast<double>(threads);
  }
  return all;
}

}  // namespace bertie::cli
